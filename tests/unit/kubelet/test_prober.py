"""Probes of containers that ran before this kubelet began, and answers that are no answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kybern.api.types import Object
from kybern.kubelet.probes.prober import Prober
from kybern.testing.builders import container
from tests.unit.kubelet.making import made, running, state


class Runtime:
    """Runs every command with this exit code, or raises."""

    def __init__(self) -> None:
        self.result: int | Exception = 0
        self.asked = 0

    async def exec_sync(self, id: str, command: list[str], timeout: float) -> tuple[int, bytes]:
        self.asked += 1
        if isinstance(self.result, Exception):
            raise self.result
        return self.result, b"said"


PROBE = {"exec": {"command": ["check"]}, "periodSeconds": 0.01, "failureThreshold": 1}
APP = container("app", startupProbe=PROBE, readinessProbe=PROBE)


def known(id: str) -> Object:
    return {"containerStatuses": [{"name": "app", "containerID": f"containerd://{id}", "ready": True, "started": True}]}


@pytest.fixture
async def stage() -> AsyncIterator[tuple[Prober, Runtime, list[str]]]:
    runtime: Any = Runtime()
    said: list[str] = []
    prober = Prober(runtime, lambda: None, lambda name, type_, reason, message: said.append(message))
    yield prober, runtime, said
    prober.close()


async def until(true: Any) -> None:
    async with asyncio.timeout(5):
        while not true():
            await asyncio.sleep(0.01)


async def test_what_was_ready_stays_so_until_its_probe_fails(stage: tuple[Prober, Runtime, list[str]]) -> None:
    prober, runtime, said = stage
    prober.sync(made(APP), state(running(APP, started_at=0.0)), "", known("app-0"))
    assert prober.probed()["app-0"].started and prober.probed()["app-0"].ready
    runtime.result = 1
    await until(lambda: not prober.probed()["app-0"].ready)
    assert prober.probed()["app-0"].started
    assert not prober.view()["app-0"].kill_reason
    assert said[0] == "Readiness probe failed: said"


async def test_a_new_attempt_begins_unready_whatever_was_said_of_the_last(
    stage: tuple[Prober, Runtime, list[str]],
) -> None:
    prober = stage[0]
    prober.sync(made(APP), state(running(APP, 1, started_at=0.0)), "", known("app-0"))
    assert not prober.probed()["app-1"].started and not prober.probed()["app-1"].ready
    await until(lambda: prober.probed()["app-1"].ready)
    assert prober.probed()["app-1"].started


async def test_a_probe_that_goes_wrong_is_made_again(stage: tuple[Prober, Runtime, list[str]]) -> None:
    prober, runtime, said = stage
    runtime.result = UnicodeError("label too long")
    only = container("app", readinessProbe=PROBE)
    prober.sync(made(only), state(running(only, started_at=0.0)), "")
    await until(lambda: runtime.asked > 2)
    assert said[0] == "Readiness probe errored and resulted in unknown state: label too long"
    runtime.result = 0
    await until(lambda: prober.probed()["app-0"].ready)
