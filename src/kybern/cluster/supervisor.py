"""Keeps a cluster's processes running: starts them in order, restarts those that die, stops them in reverse.

Each child logs to `logs/NAME.log` and dies with the supervisor, except containerd: containers outlive a restart of
everything else, and `down` needs it to take the pods away.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import fcntl
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

from kybern.cluster import machines
from kybern.cluster.components import Component, components
from kybern.cluster.layout import JOINED, Layout, add_data_dir
from kybern.cluster.processes import Process
from kybern.process.clock import monotonic
from kybern.process.daemon import OperatorError, until_signalled

log = logging.getLogger(__name__)

FIRST_BACKOFF, LAST_BACKOFF, STEADY = 0.25, 30.0, 30.0
"""Seconds: a dead process is restarted after the first, doubling up to the last; one that ran STEADY starts over."""
LOG_LIMIT = 50 * 1024 * 1024
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser)


async def run(args: argparse.Namespace) -> int:
    layout = Layout.of(args)
    settings = layout.read_settings()
    if settings is None:
        raise OperatorError(f"there is no cluster in {layout.root}; `kybern up` makes one")
    with _only_one(layout.run / "supervisor.lock"):
        Process.current().write(layout.run / "supervisor.json")
        if settings.group and settings.role != JOINED:
            machines.settle(layout, settings)
        await _supervise(layout, partial(components, layout, settings))
    return 0


@contextlib.contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise OperatorError("a supervisor runs already; `kybern status` shows what it does") from error
        yield


async def _supervise(layout: Layout, wanted: Callable[[], list[Component]]) -> None:
    """Until a signal. SIGHUP has it look again at what is wanted."""
    await _stop_leftovers(layout, wanted())
    keepers: dict[Component, asyncio.Task[None]] = {}
    changed = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, changed.set)
    ended = asyncio.ensure_future(until_signalled())
    while not ended.done():
        now = wanted()
        for component in [*keepers]:
            if component not in now:
                await _end(component, keepers.pop(component))
        keepers = {c: keepers.get(c) or asyncio.ensure_future(_keep(layout, c)) for c in now}
        look = asyncio.ensure_future(changed.wait())
        await asyncio.wait({ended, look}, return_when=asyncio.FIRST_COMPLETED)
        look.cancel()
        changed.clear()
    for component, keeper in reversed(keepers.items()):
        await _end(component, keeper)


async def _end(component: Component, keeper: asyncio.Task[None]) -> None:
    keeper.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeper
    log.info("stopped %s", component.name)


async def _stop_leftovers(layout: Layout, wanted: list[Component]) -> None:
    """End what an earlier supervisor, killed or gone with the machine's power, left running."""
    left = [Process.read(layout.run / f"{component.name}.json") for component in wanted]
    await asyncio.gather(*(process.stop(10) for process in left if process))


async def _keep(layout: Layout, component: Component) -> None:
    """Run one component for ever."""
    backoff = FIRST_BACKOFF
    while True:
        began = monotonic()
        code = await _run_once(layout, component)
        if monotonic() - began >= STEADY:
            backoff = FIRST_BACKOFF
        log.warning("%s ended with %s; starting it again in %.2f s", component.name, code, backoff)
        await asyncio.sleep(backoff)
        backoff = min(backoff * 2, LAST_BACKOFF)


async def _run_once(layout: Layout, component: Component) -> int:
    survives = component.name == "containerd"
    with _log_file(layout.logs / f"{component.name}.log") as out:
        child = await asyncio.create_subprocess_exec(
            *component.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            env=_environment(),
            start_new_session=True,
            preexec_fn=None if survives else _die_with_parent,
        )
    Process.of(child.pid).write(layout.run / f"{component.name}.json")
    try:
        return await child.wait()
    except asyncio.CancelledError:
        if not survives:
            await _stop(child)
        raise


async def _stop(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        child.terminate()
    try:
        await asyncio.wait_for(child.wait(), 10)
    except TimeoutError:
        child.kill()
        await child.wait()


def _environment() -> dict[str, str]:
    # glibc keeps an arena per thread; two are enough for processes that are mostly one thread, and save memory.
    return {**os.environ, "MALLOC_ARENA_MAX": "2", "PYTHONUNBUFFERED": "1", "OPENBLAS_NUM_THREADS": "1"}


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _log_file(path: Path) -> IO[bytes]:
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


async def start(layout: Layout) -> Process:
    """Start a supervisor in the background unless one runs; gives it once it has the lock. Raises OperatorError."""
    state = layout.run / "supervisor.json"
    running = Process.read(state)
    if running:
        return running
    with _log_file(layout.logs / "supervisor.log") as out:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "kybern", "supervise", f"--data-dir={layout.root}"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            start_new_session=True,
        )
    for _ in range(200):
        running = Process.read(state)
        if running and running.pid == child.pid:
            return running
        if child.returncode is not None:
            break
        await asyncio.sleep(0.05)
    raise OperatorError(f"the supervisor did not start; see {layout.logs}/supervisor.log")


def look_again(layout: Layout) -> None:
    """Tell a running supervisor that what is wanted has changed. Raises OperatorError."""
    running = Process.read(layout.run / "supervisor.json")
    if running is None:
        raise OperatorError("no supervisor runs; `kybern up` starts it")
    os.kill(running.pid, signal.SIGHUP)
