"""Who led when: by the leases that watchers saw, and by what the components logged. Nothing here talks to a cluster."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from kybern.process.clock import parse_time
from tests.chaos.history import Event

SLACK = 0.05
"""Seconds by which two processes' looks at the one clock and their writes may be apart."""


@dataclass(frozen=True, slots=True)
class Hold:
    """A lease from `version` on. Times are seconds since the epoch; `holder` is empty once it is given back."""

    lease: str
    version: int
    holder: str
    acquired: float
    renewed: float
    duration: float


@dataclass(frozen=True, slots=True)
class Spell:
    """From when to when a process says that it led. `ended` is None where it did not come to say so."""

    lease: str
    node: str
    began: float
    ended: float | None


def holds(events: Iterable[Event]) -> list[Hold]:
    """What was told of leases, each version once. An event's value is the lease's spec in JSON."""
    found = {}
    for event in events:
        spec = json.loads(event.value)
        if event.type in ("ADDED", "MODIFIED") and spec.get("renewTime"):
            renewed = parse_time(spec["renewTime"])
            acquired = parse_time(spec["acquireTime"]) if spec.get("acquireTime") else renewed
            duration = float(spec.get("leaseDurationSeconds") or 0)
            holder = spec.get("holderIdentity") or ""
            found[event.version] = Hold(event.name, event.version, holder, acquired, renewed, duration)
    return [found[version] for version in sorted(found)]


def two_leaders(seen: Iterable[Hold]) -> Iterator[str]:
    """A lease goes from one holder to another only after it ran out or was given back."""
    by_lease: dict[str, list[Hold]] = defaultdict(list)
    for hold in seen:
        by_lease[hold.lease].append(hold)
    for lease, changes in by_lease.items():
        for before, after in pairwise(changes):
            if not before.holder or not after.holder or before.holder == after.holder:
                continue
            early = before.renewed + before.duration - after.acquired
            if early > SLACK:
                yield f"{after.holder} took {lease} {early:.2f} s before that of {before.holder} ran out"


_LINE = re.compile(r"^[IWEF](\d{4} [\d:.]+) +\d+ \S+\] (leading|no longer leading) [^/ ]+/(\S+)")


def spells(node: str, log: str, year: int) -> list[Spell]:
    """What a component's log says of its leading. Its lines don't name the year."""
    found: list[Spell] = []
    for line in log.splitlines():
        matched = _LINE.match(line)
        if not matched:
            continue
        stamp, word, lease = matched.groups()
        at = datetime.strptime(f"{year}{stamp}", "%Y%m%d %H:%M:%S.%f").timestamp()
        if word == "leading":
            found.append(Spell(lease, node, at, None))
        elif found and found[-1].ended is None:
            found[-1] = Spell(lease, node, found[-1].began, at)
    return found


def overlaps(seen: Iterable[Spell]) -> Iterator[str]:
    """Nobody began before the one that led before had ended, as far as they say so."""
    by_lease: dict[str, list[Spell]] = defaultdict(list)
    for spell in sorted(seen, key=lambda spell: spell.began):
        by_lease[spell.lease].append(spell)
    for lease, spells_of_it in by_lease.items():
        for before, after in pairwise(spells_of_it):
            if before.ended is not None and before.ended - after.began > SLACK:
                long = before.ended - after.began
                yield f"{before.node} and {after.node} both led {lease} for {long:.2f} s"
