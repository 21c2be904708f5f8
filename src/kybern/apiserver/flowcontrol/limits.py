"""How many seats each priority level has: its share, what it lends to others, and what it borrows.

Source: KEP-1040, "Dispatching" and "Borrowing"; Kubernetes documentation, "API Priority and Fairness".
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import NamedTuple

from kybern.apiserver.flowcontrol.level import Level

MIN_TARGET = 0.001
SEATS_PERCENT = 0.15
"""The part of a level's seats that a single request may take."""


class Wish(NamedTuple):
    """What a level would have, and what it gets at least and at most."""

    target: float
    lower: float
    upper: float


def share(levels: Collection[Level], concurrency: int) -> None:
    """Divide the server's concurrency by the levels' shares."""
    shares = sum(level.shares for level in levels) or 1
    for level in levels:
        nominal = level.nominal = math.ceil(concurrency * level.shares / shares)
        part = level.spec.get("exempt" if level.exempt else "limited") or {}
        lent = round(nominal * (part.get("lendablePercent") or 0) / 100)
        borrowed = part.get("borrowingLimitPercent")
        level.lower = nominal - lent
        level.upper = concurrency if borrowed is None else nominal + round(nominal * borrowed / 100)
        level.upper = max(level.upper, level.lower)
        queuing = (part.get("limitResponse") or {}).get("queuing") or {}
        hand = queuing.get("handSize") or 0
        level.most = int(max(1, min(math.ceil(nominal * SEATS_PERCENT), nominal / hand))) if hand else 0


def borrow(levels: Collection[Level]) -> None:
    """Give each level the seats that it, and the others, needed of late."""
    remaining = sum(level.nominal for level in levels)
    limited = []
    for level in levels:
        level.demand.digest(level.limits)
        if level.exempt:
            level.target = max(level.lower, level.demand.high)
            remaining -= int(level.target)
            level.resize(int(level.target))
        else:
            limited.append(level)
    floors = [max(level.lower, min(level.nominal, level.demand.high)) for level in limited]
    wishes = [
        Wish(max(floor, level.demand.smoothed), floor, max(level.upper, floor))
        for floor, level in zip(floors, limited, strict=True)
    ]
    given, fraction = allocate(remaining, wishes, [level.lower for level in limited])
    for level, wish, seats in zip(limited, wishes, given, strict=True):
        level.target, level.fraction = wish.target, fraction
        level.resize(max(round(seats), 1 if level.nominal else 0))


def allocate(total: float, wishes: Sequence[Wish], least: Sequence[float]) -> tuple[list[float], float]:
    """Seats for each, and the fraction of their targets that those get who are at neither bound. Where there isn't
    enough for all the lower bounds, what is there above `least` is divided by what they lack."""
    lower = sum(wish.lower for wish in wishes)
    if total <= lower:
        spare, gap = total - sum(least), lower - sum(least)
        part = min(max(spare / gap, 0.0), 1.0) if gap > 0 else 1.0
        return [low + (wish.lower - low) * part for low, wish in zip(least, wishes, strict=True)], 0.0

    def at(fraction: float) -> list[float]:
        return [min(max(fraction * max(wish.target, MIN_TARGET), wish.lower), wish.upper) for wish in wishes]

    knots = {bound / max(wish.target, MIN_TARGET) for wish in wishes for bound in (wish.lower, wish.upper)}
    before, sum_before = 0.0, lower
    for knot in sorted(knots):
        here = sum(at(knot))
        if here >= total:
            fraction = before + (knot - before) * (total - sum_before) / (here - sum_before)
            return at(fraction), fraction
        before, sum_before = knot, here
    return at(before), before
