"""The supervisor restarts what dies, stops what it started, and leaves containerd alone."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from kybern.cluster import supervisor
from kybern.cluster.components import Component
from kybern.cluster.layout import Layout
from kybern.cluster.processes import Process

SLEEP = (sys.executable, "-c", "import time; time.sleep(60)")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "data")
    layout.make()
    return layout


async def running(path: Path, other_than: int = 0) -> Process:
    for _ in range(300):
        found = Process.read(path)
        if found and found.pid != other_than:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError(f"{path.name} does not run")


async def test_a_killed_child_is_started_again(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "FIRST_BACKOFF", 0.01)
    keeper = asyncio.ensure_future(supervisor._keep(layout, Component("x", SLEEP)))
    try:
        first = await running(layout.run / "x.json")
        await first.stop(5)
        second = await running(layout.run / "x.json", other_than=first.pid)
    finally:
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
    assert not second.alive()


async def test_containerd_outlives_the_supervisor(layout: Layout) -> None:
    keeper = asyncio.ensure_future(supervisor._keep(layout, Component("containerd", SLEEP)))
    process = await running(layout.run / "containerd.json")
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)
    assert process.alive()
    await supervisor._stop_leftovers(layout, [Component("containerd", SLEEP)])
    assert not process.alive()


async def test_what_a_child_says_is_kept(layout: Layout) -> None:
    assert await supervisor._run_once(layout, Component("x", (sys.executable, "-c", "print('said')"))) == 0
    assert (layout.logs / "x.log").read_text() == "said\n"


def test_a_reused_pid_is_not_ours(tmp_path: Path) -> None:
    me = Process.current()
    Process(me.pid, me.started - 100).write(tmp_path / "p.json")
    assert Process.read(tmp_path / "p.json") is None
    me.write(tmp_path / "p.json")
    assert Process.read(tmp_path / "p.json") == me
