"""A request's body while it arrives: for what is passed on and may be longer than what is kept."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable

KEPT = 256 * 1024
"""Bytes beyond which the client has to wait."""


class Arriving:
    """Fed by the listener, read by one reader. `length` is the body's in bytes, None where it isn't announced; `pause`
    and `resume` hold the client back."""

    def __init__(self, length: int | None, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self.length = length
        self._pause, self._resume = pause, resume
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._held = self._lost = False
        self.ended = False
        """Whether all of it has come."""
        self._changed = asyncio.Event()

    def feed(self, piece: bytes) -> None:
        """The next bytes have come."""
        self._pieces.append(piece)
        self._size += len(piece)
        if self._size > KEPT and not self._held:
            self._held = True
            self._pause()
        self._changed.set()

    def finish(self) -> None:
        """It is complete."""
        self.ended = True
        self._changed.set()

    def lose(self) -> None:
        """The client is gone; what is missing won't come. No matter if nothing is missing."""
        self._lost = not self.ended
        self._changed.set()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, piece by piece. Raises ConnectionResetError where it is cut short."""
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                self._size -= len(piece)
                if self._held and self._size <= KEPT:
                    self._held = False
                    self._resume()
                yield piece
            if self.ended:
                return
            if self._lost:
                raise ConnectionResetError("the client is gone")
            self._changed.clear()
            await self._changed.wait()
