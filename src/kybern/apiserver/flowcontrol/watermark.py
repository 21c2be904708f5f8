"""The most requests that were served at a time, second by second."""

from __future__ import annotations

from kybern.process.clock import monotonic

PERIOD = 1.0
"""Seconds."""


class Watermark:
    """Tell it of each rise; `value` is the highest number within the last whole second."""

    __slots__ = ("_before", "_high", "_since")

    def __init__(self) -> None:
        self._since = monotonic()
        self._high = self._before = 0

    def rise(self, number: int) -> None:
        """There are so many now, one more than a moment ago."""
        if monotonic() - self._since >= PERIOD:
            self._turn(number - 1)
        if number > self._high:
            self._high = number

    def value(self, number: int) -> int:
        """`number`: how many there are now."""
        if monotonic() - self._since >= PERIOD:
            self._turn(number)
        return self._before

    def _turn(self, number: int) -> None:
        """A second is over, or several, in which nothing rose."""
        now = monotonic()
        self._before = self._high if now - self._since < 2 * PERIOD else number
        self._high, self._since = number, now
