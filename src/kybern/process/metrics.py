"""The process's metrics, in Prometheus' text format under upstream's names. Counters are named without `_total`."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest

__all__ = ["CONTENT_TYPE", "REGISTRY", "Counter", "Gauge", "Histogram", "Tally", "page"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def page() -> bytes:
    """All metrics, as /metrics answers."""
    return generate_latest(REGISTRY)


class Tally:
    """A histogram for hot paths: two additions an observation. `bounds` are upper bounds, ascending, shared."""

    __slots__ = ("bounds", "numbers", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.numbers: list[float] = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, weight: float = 1) -> None:
        """Note a value."""
        self.numbers[bisect_left(self.bounds, value)] += weight
        self.total += value * weight

    def add(self, other: Tally) -> None:
        """Count what another, of the same bounds, has counted."""
        self.numbers = [mine + theirs for mine, theirs in zip(self.numbers, other.numbers, strict=True)]
        self.total += other.total

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as prometheus_client's families take them."""
        made, below = [], 0.0
        for bound, number in zip([*map(str, self.bounds), "+Inf"], self.numbers, strict=True):
            below += number
            made.append((bound, below))
        return made
