"""Running one component as a process: event loop, logging, signals, one-line operator errors."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import gc
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import uvloop

log = logging.getLogger(__name__)


class OperatorError(Exception):
    """Something the operator must mend. One line: what is wrong and what to do. Ends the process with code 1."""


async def until_signalled() -> None:
    """Return at the first SIGTERM or SIGINT."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await stop.wait()


async def run_until_signalled(main: Coroutine[Any, Any, None]) -> None:
    """Run `main`; cancel it on SIGTERM/SIGINT and let it clean up. Re-raises what `main` raised."""
    task = asyncio.ensure_future(main)
    stop = asyncio.ensure_future(until_signalled())
    try:
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stop.cancel()
        if not task.done():
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def launch(run: Callable[[argparse.Namespace], Awaitable[int | None]], args: argparse.Namespace) -> int:
    """Run a command's coroutine on uvloop and turn operator errors into one line."""
    # The start-up objects (schema, modules) never die: keep the collector from walking them again and again.
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    gc.enable()

    async def main() -> int:
        return await run(args) or 0

    try:
        return uvloop.run(main())
    except OperatorError as error:
        said = str(error)
    except OSError as error:
        refused = refusal(error)
        if refused is None:
            raise
        said = refused
        log.debug("where it happened", exc_info=error)
    except KeyboardInterrupt:
        return 130
    sys.stderr.write(f"kybern: {' '.join(said.split())}\n")
    return 1


def reason(error: OSError) -> str:
    """In a few words, without the numbers that the loop and the sockets put before them."""
    if error.errno and error.errno > 0:
        return os.strerror(error.errno).lower()
    return str(error.strerror or error)


def refusal(error: OSError) -> str | None:
    """In one line what the system refused and what to do, for refusals that nobody foresaw; None for what isn't one
    but a mistake of ours."""
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.EACCES, errno.EPERM):
        advice = "run it as root (sudo), or choose a path that is yours" if os.geteuid() else "choose another path"
    elif error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "free some space, or choose a path on another disk"
    elif error.errno in (errno.EMFILE, errno.ENFILE):
        advice = "raise the limit of open files (ulimit -n)"
    elif error.errno == errno.ENOENT and error.filename and "/" not in str(error.filename):
        advice = "install that program, or add to PATH where it is"
    elif error.filename:
        advice = "check the path"
    else:
        return None
    return f"{where}{error.strerror}; {advice}"
