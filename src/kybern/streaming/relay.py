"""Joining sessions stream by stream, where the protocols on the two sides differ."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from kybern.streaming import exit_status
from kybern.streaming.port_forward import Forwarded, Forwarder
from kybern.streaming.remote_command import Session
from kybern.streaming.streams import Stream, pump, read_all


async def command(client: Session, remote: Session) -> exit_status.Status:
    """Move everything both ways until the command is over and its output delivered. Gives its status."""
    inputs = [
        asyncio.ensure_future(quietly(pump(source, target)))
        for source, target in ((client.stdin, remote.stdin), (client.resize, remote.resize))
        if source is not None and target is not None
    ]
    try:
        outputs = [
            deliver(source, target)
            for source, target in ((remote.stdout, client.stdout), (remote.stderr, client.stderr))
            if source is not None and target is not None
        ]
        await asyncio.gather(*outputs)
        return exit_status.decode(await read_all(remote.error))
    finally:
        for task in inputs:
            task.cancel()
        await asyncio.gather(*inputs, return_exceptions=True)


async def ports(pairs: Sequence[Forwarded], forwarder: Forwarder) -> None:
    """Open a connection at the far side for each pair, and move bytes until all have ended."""

    async def one(near: Forwarded) -> None:
        far = await forwarder.open(near.port)
        moves = (pump(near.data, far.data), pump(far.data, near.data), deliver(far.error, near.error))
        await asyncio.gather(*(quietly(move) for move in moves))

    await asyncio.gather(*(one(pair) for pair in pairs))


async def deliver(source: Stream, target: Stream) -> None:
    """Move bytes; the end of the source says nothing yet to the target's reader."""
    while data := await source.read():
        await target.write(data)


async def quietly(work: Awaitable[None]) -> None:
    """Input that can't be delivered any more is no error: the command may have ended without reading it."""
    with contextlib.suppress(ConnectionError):
        await work


async def until_gone(gone: asyncio.Event, work: Callable[[], Awaitable[None]]) -> None:
    """Do the work; give it up when the client is gone."""
    working, leaving = asyncio.ensure_future(work()), asyncio.ensure_future(gone.wait())
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        leaving.cancel()
        done = working.done()
        working.cancel()
        (result,) = await asyncio.gather(working, return_exceptions=True)
        if done and isinstance(result, Exception) and not isinstance(result, ConnectionError):
            raise result
