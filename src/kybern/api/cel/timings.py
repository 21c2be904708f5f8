"""How long compiling and evaluating took; whoever serves metrics reads it here.

Source: Kubernetes documentation, "Kubernetes Metrics Reference".
"""

from __future__ import annotations

from bisect import bisect_left

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds."""


class Timings:
    """A histogram."""

    __slots__ = ("numbers", "seconds")

    def __init__(self) -> None:
        self.numbers, self.seconds = [0] * (len(BUCKETS) + 1), 0.0

    def observe(self, seconds: float) -> None:
        """Note one."""
        self.numbers[bisect_left(BUCKETS, seconds)] += 1
        self.seconds += seconds


COMPILATION, EVALUATION = Timings(), Timings()
"""Of the rules of a schema's node, and of all rules over an object."""
