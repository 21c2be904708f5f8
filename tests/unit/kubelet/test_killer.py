"""How the containers of a pod end: hooks, grace, and who goes before whom."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from kybern.api.types import Object
from kybern.kubelet import killer
from kybern.kubelet.killer import kill_pod
from kybern.kubelet.recorder import PodEvents, log_only
from kybern.testing.builders import container
from tests.unit.kubelet.making import made, running, sidecar, state


class Runtime:
    """Notes what happens; a container takes `lasting` seconds to end."""

    def __init__(self, lasting: float = 0.0) -> None:
        self.seen: list[str] = []
        self.grace: dict[str, int] = {}
        self.lasting = lasting

    async def exec_sync(self, id: str, command: list[str], timeout: float) -> tuple[int, bytes]:
        self.seen.append(f"hook {id}")
        await asyncio.sleep(float(command[0]))
        return 0, b""

    async def stop_container(self, id: str, grace: int) -> None:
        self.seen.append(f"stop {id}")
        self.grace[id] = grace
        await asyncio.sleep(self.lasting)
        self.seen.append(f"ended {id}")

    async def stop_sandbox(self, id: str) -> None:
        self.seen.append("sandbox")


async def kill(pod: Object, runtime: Runtime, grace: int) -> Runtime:
    specs = [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
    host: Any = SimpleNamespace(runtime=runtime)
    await kill_pod(host, PodEvents(log_only, lambda: pod), pod, state(*map(running, specs)), grace)
    return runtime


def hooked(spec: Object, seconds: float) -> Object:
    return {**spec, "lifecycle": {"preStop": {"exec": {"command": [str(seconds)]}}}}


async def test_sidecars_end_last_in_reverse_order_but_their_hooks_run_at_once() -> None:
    pod = made(container("app"), inits=[hooked(sidecar("one"), 0), sidecar("two")])
    seen = (await kill(pod, Runtime(0.02), 30)).seen
    assert seen.index("hook one-0") < seen.index("ended app-0")
    stops = [one for one in seen if not one.startswith("hook")]
    assert stops == ["stop app-0", "ended app-0", "stop two-0", "ended two-0", "stop one-0", "ended one-0", "sandbox"]


@pytest.mark.parametrize("going", [False, True])
async def test_a_hook_that_takes_all_the_grace_leaves_two_seconds(going: bool) -> None:
    pod = made(hooked(container("app"), 5))
    if going:
        pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    async with asyncio.timeout(4):
        runtime = await kill(pod, Runtime(), 1)
    assert runtime.grace == {"app-0": killer.MINIMUM_GRACE}


async def test_sidecars_wait_for_their_turn_no_longer_than_the_grace() -> None:
    pod = made(container("app"), inits=[sidecar()])
    async with asyncio.timeout(4):
        runtime = await kill(pod, Runtime(1.5), 1)
    assert runtime.seen[:3] == ["stop app-0", "stop side-0", "ended app-0"]
    assert runtime.grace["side-0"] == killer.MINIMUM_GRACE


async def test_by_force_there_is_no_grace() -> None:
    pod = made(hooked(container("app"), 5), inits=[sidecar()])
    pod["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    runtime = await kill(pod, Runtime(), 0)
    assert runtime.grace == {"app-0": 0, "side-0": 0}
    assert "hook app-0" not in runtime.seen
