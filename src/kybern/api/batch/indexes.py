"""Sets of a Job's indexes in text: `0,2-5,9`. Source: API reference, JobStatus v1 batch (completedIndexes)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

Intervals = list[tuple[int, int]]
"""Ascending, apart from each other; both ends belong to it."""


class IndexSet:
    """A set of indexes, kept as intervals: a Job may have 10^5 of them."""

    def __init__(self, intervals: Iterable[tuple[int, int]] = ()) -> None:
        self._intervals: Intervals = list(intervals)

    @classmethod
    def of(cls, indexes: Iterable[int]) -> IndexSet:
        """The set of these."""
        return cls(_joined((index, index) for index in set(indexes)))

    @classmethod
    def parse(cls, text: str, limit: int) -> IndexSet:
        """A status field's text. Indexes from `limit` on are dropped, as are parts that can't be read."""
        found = []
        for part in filter(None, text.split(",")):
            low, _, high = part.partition("-")
            if low.isdigit() and (high or low).isdigit() and int(low) < limit:
                found.append((int(low), min(int(high or low), limit - 1)))
        return cls(_joined(found))

    def __contains__(self, index: int) -> bool:
        return any(low <= index <= high for low, high in self._intervals)

    def __len__(self) -> int:
        return sum(high - low + 1 for low, high in self._intervals)

    def __or__(self, other: IndexSet) -> IndexSet:
        return IndexSet(_joined([*self._intervals, *other._intervals]))

    def __str__(self) -> str:
        """Two neighbours are written apart: `1,2`, but `1-3`."""
        return ",".join(
            f"{low}" if low == high else f"{low},{high}" if high == low + 1 else f"{low}-{high}"
            for low, high in self._intervals
        )

    def without(self, count: int, limit: int) -> list[int]:
        """The first `count` indexes below `limit` that are not in the set."""
        found: list[int] = []
        for gap in self._gaps(limit):
            found += list(gap)[: count - len(found)]
            if len(found) >= count:
                break
        return found

    def common(self, wanted: IndexSet) -> int:
        """How many indexes are in both."""
        return sum(
            max(0, min(high, other_high) - max(low, other_low) + 1)
            for low, high in self._intervals
            for other_low, other_high in wanted._intervals
        )

    def _gaps(self, limit: int) -> Iterator[range]:
        edges = [(-1, -1), *self._intervals, (limit, limit)]
        for (_, before), (after, _) in pairwise(edges):
            yield range(before + 1, min(after, limit))


def check(text: str, limit: int) -> tuple[IndexSet, str]:
    """The set that a text says, and what is wrong with it in upstream's words, "" if nothing is."""
    found: Intervals = []
    for part in text.split(",") if text else ():
        ends = part.split("-")
        if len(ends) > 2:
            says = "violates the requirement that an index interval can have at most two parts separated by '-'"
            return IndexSet(), f'the fragment "{part}" {says}'
        for end in ends:
            if not end.isdigit():
                return IndexSet(), f'cannot convert string to integer for index: "{end}"'
            if int(end) >= limit:
                return IndexSet(), f'too large index: "{end}"'
        low, high = int(ends[0]), int(ends[-1])
        if len(ends) == 2 and low >= high:
            return IndexSet(), f"non-increasing order, previous: {low}, current: {high}"
        if found and found[-1][1] >= low:
            return IndexSet(), f"non-increasing order, previous: {found[-1][1]}, current: {low}"
        found.append((low, high))
    return IndexSet(_joined(found)), ""


def overlap(one: str, other: str, limit: int) -> int | None:
    """The first index that two texts have in common; None if there is none, or a text can't be read."""
    left, right = IndexSet.parse(one, limit)._intervals, IndexSet.parse(other, limit)._intervals
    shared = [max(a, c) for a, b in left for c, d in right if a <= d and c <= b]
    return min(shared, default=None)


def _joined(intervals: Iterable[tuple[int, int]]) -> Intervals:
    """Ascending, with those that touch made one."""
    found: Intervals = []
    for low, high in sorted(intervals):
        if found and low <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(found[-1][1], high)
        else:
            found.append((low, high))
    return found
