"""When a refused request should be sent again: later, the more are refused.

Source: Kubernetes documentation, "API Priority and Fairness"; the doubling and halving are upstream's.
"""

from __future__ import annotations

from collections import deque

from kybern.process.clock import monotonic

MAX_SECONDS = 32
TOO_MANY = 3
"""Refused requests a second of the time they were told to wait, from which on the time doubles."""


class RetryAfter:
    """Per priority level. Tell it of each refusal by `dropped`."""

    def __init__(self) -> None:
        self._levels: dict[str, _History] = {}

    def dropped(self, level: str) -> None:
        """Note a refusal."""
        found = self._levels.get(level)
        if found is None:
            found = self._levels[level] = _History()
        found.dropped(int(monotonic()))

    def seconds(self, level: str) -> int:
        """How long to wait."""
        found = self._levels.get(level)
        return found.after if found else 1


class _History:
    def __init__(self) -> None:
        self.after = 1
        self._raised = -MAX_SECONDS
        self._second, self._number = -1, 0
        self._past: deque[tuple[int, int]] = deque()

    def dropped(self, second: int) -> None:
        if second == self._second:
            self._number += 1
            return
        if self._number:
            self._past.append((self._second, self._number))
        while self._past and second - self._past[0][0] > MAX_SECONDS:
            self._past.popleft()
        self._second, self._number = second, 1
        recent = sum(number for then, number in self._past if second - then <= self.after)
        if second - self._raised >= self.after and recent >= TOO_MANY * self.after:
            self.after, self._raised = min(self.after * 2, MAX_SECONDS), second
        elif recent < self.after and self.after > 1:
            self.after -= 1
