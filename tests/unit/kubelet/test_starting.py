"""Starting pods: who waits for whom, and tokens that can't be renewed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kybern.api.errors import APIError, ServiceUnavailable
from kybern.kubelet.host import Host
from kybern.kubelet.sync import Plan, Start
from kybern.kubelet.tokens import Tokens
from kybern.kubelet.worker import Worker
from kybern.process.clock import clock, format_time
from kybern.testing.builders import container
from tests.unit.kubelet.making import NOW, config, made, state


class Runtime:
    """Each command in a container lasts until `hook` is set."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.hook = asyncio.Event()

    async def create_container(self, sandbox: str, config: Any, sandbox_config: Any) -> str:
        return f"id-{config}"

    async def start_container(self, id: str) -> None:
        self.started.append(id)

    async def exec_sync(self, id: str, command: list[str], timeout: float) -> tuple[int, bytes]:
        await self.hook.wait()
        return 0, b""


def node(path: Path) -> Host:
    async def build(pod: Any, spec: Any, *rest: Any) -> str:
        return str(spec["name"])

    async def mount(*given: Any) -> dict[str, Path]:
        return {}

    async def ensure(*given: Any) -> object:
        return object()

    means: dict[str, Any] = {
        "runtime": Runtime(),
        "cache": None,
        "builder": SimpleNamespace(sandbox=lambda pod, attempt: None, container=build),
        "images": SimpleNamespace(ensure=ensure),
        "volumes": SimpleNamespace(mount=mount),
    }
    return Host(config=config(path), **means)


async def test_pods_that_wait_for_a_hook_keep_no_others_from_starting(tmp_path: Path) -> None:
    host = node(tmp_path)
    runtime: Any = host.runtime

    def start(name: str, **fields: Any) -> asyncio.Task[float]:
        worker = Worker(host, made(container(name, **fields)))
        return asyncio.create_task(worker._act(Plan(start=[Start(name, "container", 0)]), state()))

    hook = {"postStart": {"exec": {"command": ["wait-for-the-last"]}}}
    waiting = [start(f"w{number}", lifecycle=hook) for number in range(20)]
    async with asyncio.timeout(5):
        await start("last")
        assert "id-last" in runtime.started
        runtime.hook.set()
        await asyncio.gather(*waiting)


async def test_a_token_serves_until_it_expires_though_it_cannot_be_renewed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [NOW]
    monkeypatch.setattr(clock, "now_fn", lambda: now[0])
    down = False

    async def post(*given: Any) -> Any:
        if down:
            raise ServiceUnavailable("no answer")
        return {"status": {"token": f"t{int(now[0] - NOW)}", "expirationTimestamp": format_time(now[0] + 1000)}}

    given: Any = SimpleNamespace(resource=lambda *names: SimpleNamespace(post=post))
    tokens = Tokens(given)
    assert await tokens.token(made(), "", 1000) == "t0"
    down, now[0] = True, NOW + 900
    assert await tokens.token(made(), "", 1000) == "t0"
    now[0] = NOW + 1001
    with pytest.raises(APIError):
        await tokens.token(made(), "", 1000)
    down = False
    assert await tokens.token(made(), "", 1000) == "t1001"
