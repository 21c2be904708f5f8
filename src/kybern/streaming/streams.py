"""The contract of one stream among several on a connection, whichever protocol carries them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

SEND_CHUNK = 32 << 10
"""Bytes put in one frame or message."""
INBOX_LIMIT = 128 << 10
"""Bytes that may wait in a stream for its reader before the connection stops reading."""


class Stream(Protocol):
    """One stream: bytes both ways, each way ended on its own. One reader and one writer at a time."""

    async def read(self) -> bytes:
        """The next bytes, at least one; nothing at the end. Raises ConnectionError if it was cut off."""
        ...

    async def write(self, data: bytes) -> None:
        """Send it; returns once the connection can take more. Raises ConnectionError."""
        ...

    async def close_write(self) -> None:
        """Half-close: say that nothing more will be written. Idempotent, and silent on a lost connection."""
        ...


class Inbox:
    """What has arrived for a stream and was not read yet. `put` waits while there is too much: the back-pressure."""

    def __init__(self, limit: int = INBOX_LIMIT) -> None:
        self._limit = limit
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._discarding = False
        self._error: ConnectionError | None = None
        self._readable = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._ended

    async def put(self, data: bytes) -> None:
        """Add bytes; what comes after the end, or for a stream that nobody reads, is dropped."""
        if not data:
            return
        await self._room.wait()
        if self._ended or self._discarding:
            return
        self._chunks.append(data)
        self._size += len(data)
        self._readable.set()
        if self._size >= self._limit:
            self._room.clear()

    async def get(self) -> bytes:
        """The next bytes; nothing at the end. Raises the error it was ended with, after what came before."""
        await self._readable.wait()
        if not self._chunks:
            if self._error is not None:
                raise self._error
            return b""
        data = self._chunks.popleft()
        self._size -= len(data)
        if self._size < self._limit:
            self._room.set()
        if not self._chunks and not self._ended:
            self._readable.clear()
        return data

    def unread(self, data: bytes) -> None:
        """Put back what the reader took too much."""
        if data:
            self._chunks.appendleft(data)
            self._size += len(data)
            self._readable.set()

    def end(self, error: ConnectionError | None = None) -> None:
        """Nothing more will come. Idempotent."""
        if not self._ended:
            self._ended, self._error = True, error
            self._readable.set()
            self._room.set()

    def discard(self) -> None:
        """Nobody will read: drop what is here and what comes."""
        self._discarding = True
        self._chunks.clear()
        self._size = 0
        self._room.set()


async def pump(source: Stream, target: Stream) -> None:
    """Move one direction from stream to stream until the source ends, then half-close the target."""
    while data := await source.read():
        await target.write(data)
    await target.close_write()


async def read_all(stream: Stream, limit: int = 1 << 20) -> bytes:
    """All of a small stream; what exceeds `limit` bytes is dropped."""
    content = bytearray()
    while data := await stream.read():
        content += data[: max(0, limit - len(content))]
    return bytes(content)
