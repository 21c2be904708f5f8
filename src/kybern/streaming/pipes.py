"""Byte streams as the protocols here see them, and the tunnel that joins two connections."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

CHUNK = 64 << 10
"""Bytes moved at a time."""


class Reader(Protocol):
    """The reading half of a connection; asyncio.StreamReader is one."""

    async def read(self, n: int = -1, /) -> bytes:
        """Up to n bytes as soon as there are some; nothing at the end."""
        ...


class Writer(Protocol):
    """The writing half of a connection; asyncio.StreamWriter is one."""

    def write(self, data: bytes, /) -> None: ...

    async def drain(self) -> None:
        """Wait until the other side has taken enough: the back-pressure."""
        ...

    def close(self) -> None: ...


async def copy(reader: Reader, writer: Writer) -> int:
    """Move bytes until the reader ends, no faster than the writer takes them. Gives how many."""
    moved = 0
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
        moved += len(data)
    return moved


async def tunnel(reader_a: Reader, writer_a: Writer, reader_b: Reader, writer_b: Writer) -> None:
    """Join two connections until either ends or fails, then close both. What had been read by then is delivered."""
    directions = [
        asyncio.ensure_future(copy(reader_a, writer_b)),
        asyncio.ensure_future(copy(reader_b, writer_a)),
    ]
    try:
        await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for direction in directions:
            direction.cancel()
        for result in await asyncio.gather(*directions, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, (OSError, EOFError)):
                raise result
        for writer in (writer_a, writer_b):
            with contextlib.suppress(OSError):
                writer.close()
