"""Wall time, random numbers and ids: the only module that asks the system for them, so tests can set them.

Waiting is on the event loop (`asyncio.sleep`), which tests can run in virtual time.
"""

from __future__ import annotations

import os
import random as _random
import time
from collections.abc import Callable
from datetime import UTC, datetime


class Clock:
    """Wall time. Replace `now_fn` in a test to step it."""

    def __init__(self, now_fn: Callable[[], float] = time.time) -> None:
        self.now_fn = now_fn
        self._second: tuple[int, str] = (-1, "")

    def time(self) -> float:
        """Seconds since the epoch."""
        return self.now_fn()

    def now(self) -> datetime:
        """The time, in UTC."""
        return datetime.fromtimestamp(self.now_fn(), UTC)

    def stamp(self) -> str:
        """metav1.Time: `2026-01-31T12:00:00Z`."""
        return f"{self._prefix(int(self.now_fn() // 1))}Z"

    def micro_stamp(self) -> str:
        """metav1.MicroTime: `2026-01-31T12:00:00.000000Z`."""
        micros = int(self.now_fn() * 1_000_000)
        second = micros // 1_000_000
        return f"{self._prefix(second)}.{micros - second * 1_000_000:06d}Z"

    def _prefix(self, second: int) -> str:
        """The second, which is asked for many times before the next one comes."""
        if self._second[0] != second:
            self._second = (second, datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
        return self._second[1]


clock = Clock()
"""The process's clock."""

random = _random.Random()
"""The process's random numbers; seed it to repeat a run. Not for secrets."""


def monotonic() -> float:
    """Seconds on a clock that never goes back; for measuring, not for waiting."""
    return time.monotonic()


def new_uid() -> str:
    """A fresh object UID."""
    # What uuid.uuid4() gives, in a third of the time: every request has an id.
    drawn = os.urandom(16).hex()
    variant = "89ab"[int(drawn[16], 16) & 3]
    return f"{drawn[:8]}-{drawn[8:12]}-4{drawn[13:16]}-{variant}{drawn[17:20]}-{drawn[20:]}"


_ALPHANUMS = "bcdfghjklmnpqrstvwxz2456789"


def name_suffix(length: int = 5) -> str:
    """The random tail of generated names: no vowels, so no words."""
    return "".join(random.choices(_ALPHANUMS, k=length))


def parse_time(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time. Raises ValueError."""
    return datetime.fromisoformat(text.replace("Z", "+00:00") if text.endswith("Z") else text).timestamp()


def format_time(seconds: float) -> str:
    """metav1.Time of an epoch time."""
    return f"{datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec='seconds')}Z"
