"""Connections inside the test process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

End = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@contextlib.asynccontextmanager
async def wire() -> AsyncIterator[tuple[End, End]]:
    """Two ends of one connection, the system's small buffers between them."""
    ends = [await asyncio.open_connection(sock=half) for half in socket.socketpair()]
    try:
        yield ends[0], ends[1]
    finally:
        for _, writer in ends:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
