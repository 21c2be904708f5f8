"""What clients saw while something failed, and whether a cluster that keeps its promises can have shown them that.

Nothing here talks to a cluster. Every check gives complaints, one a line; none if all is well. Names belong to one
writer each, but for COUNTER, which all of them count up. A name is never used again after its deletion.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

COUNTER = "counter"

Kept = tuple[int, str]
"""resourceVersion and value of an object."""


@dataclass(frozen=True, slots=True)
class Write:
    """One attempt. Not `acknowledged`: whether it was carried out is unknown. `version`: what was answered, 0 where
    nothing was, and for deletions. Times are seconds of one monotonic clock."""

    verb: Literal["create", "update", "delete"]
    name: str
    value: str
    version: int
    server: str
    began: float
    ended: float
    acknowledged: bool = True


@dataclass(frozen=True, slots=True)
class Read:
    """A read that began after a write of that object was acknowledged. `least`: the version written, 0 for a deletion.
    `found`: the version read, 0 for none."""

    name: str
    server: str
    least: int
    found: int


@dataclass(frozen=True, slots=True)
class Event:
    """What a watch said."""

    type: str
    name: str
    value: str
    version: int


@dataclass(slots=True)
class Stretch:
    """What one watcher was told after version `start` without ever listing anew; connections may have been several.
    `end`: how far it has come, by events and bookmarks. `listed`: the list it began with, versions by name."""

    server: str
    start: int
    events: list[Event] = field(default_factory=list)
    end: int = 0
    listed: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.end = max(self.end, self.start, *(event.version for event in self.events), 0)

    def add(self, event: Event) -> None:
        """Bookmarks only say how far it has come."""
        if event.type != "BOOKMARK":
            self.events.append(event)
        self.end = max(self.end, event.version)


@dataclass(slots=True)
class History:
    """Everything seen. `finals`: by server, what each had at the end, by name."""

    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    stretches: list[Stretch] = field(default_factory=list)
    finals: dict[str, dict[str, Kept]] = field(default_factory=dict)


def complaints(history: History) -> list[str]:
    """Everything that must not have been."""
    return [
        *lost_writes(history),
        *lost_counts(history),
        *watch_faults(history.stretches, history.writes),
        *list_faults(history),
        *stale_reads(history.reads),
        *differences(history.finals),
    ]


def lost_writes(history: History) -> Iterator[str]:
    """Each object is as its last acknowledged write left it, or as a later one of unknown outcome did."""
    by_name: dict[str, list[Write]] = defaultdict(list)
    for write in sorted(history.writes, key=lambda write: write.began):
        if write.name != COUNTER:
            by_name[write.name].append(write)
    for server, kept in history.finals.items():
        for name, writes in by_name.items():
            possible: set[str | None] = {None}
            for write in writes:
                left = None if write.verb == "delete" else write.value
                possible = {left} if write.acknowledged else possible | {left}
            found = kept[name][1] if name in kept else None
            if found not in possible:
                yield f"{server}: {name} is {found!r}, but the writes that were acknowledged leave {_any(possible)}"


def lost_counts(history: History) -> Iterator[str]:
    """No two writers were told that they had counted to the same number, and every count counts."""
    counts = [write for write in history.writes if write.name == COUNTER and write.verb == "update"]
    seen: set[str] = set()
    for write in counts:
        if write.acknowledged and write.value in seen:
            yield f"two updates of {COUNTER} to {write.value} were acknowledged: one is lost"
        if write.acknowledged:
            seen.add(write.value)
    for server, kept in history.finals.items():
        if COUNTER in kept and not len(seen) <= int(kept[COUNTER][1]) <= len(counts):
            yield f"{server}: {COUNTER} is {kept[COUNTER][1]} after {len(seen)} to {len(counts)} updates"


def watch_faults(stretches: list[Stretch], writes: Iterable[Write] = ()) -> Iterator[str]:
    """Every watcher saw each change once, in the order of versions, and none that another saw is missing."""
    known: dict[int, tuple[str, str]] = {
        write.version: (write.name, write.value) for write in writes if write.acknowledged and write.version
    }
    for stretch in stretches:
        last = stretch.start
        for event in stretch.events:
            if event.version <= last:
                yield f"{stretch.server}: event {_told(event)} came after version {last}"
            last = max(last, event.version)
            said = (event.name, event.value)
            if known.setdefault(event.version, said) != said:
                yield f"{stretch.server}: event {_told(event)} is {known[event.version]} elsewhere"
    for stretch in stretches:
        seen = {event.version for event in stretch.events}
        for version in sorted(known.keys() - seen):
            if stretch.start < version <= stretch.end:
                yield f"{stretch.server}: the change of {known[version][0]} at {version} never came"
    yield from _untold_deletions(stretches, writes)


def _untold_deletions(stretches: list[Stretch], writes: Iterable[Write]) -> Iterator[str]:
    """Deletions are acknowledged without a version: that one watcher heard of each is enough, as all agree."""
    told = {event.name for stretch in stretches for event in stretch.events if event.type == "DELETED"}
    for write in writes:
        if stretches and write.verb == "delete" and write.acknowledged and write.name not in told:
            yield f"no watcher heard that {write.name} was deleted"


def list_faults(history: History) -> Iterator[str]:
    """Each list that a watcher began with had all that was known to be at its version, and nothing that was gone."""
    events = [event for stretch in history.stretches for event in stretch.events]
    gone = {event.name: event.version for event in events if event.type == "DELETED"}
    made = {event.version: event.name for event in events if event.type != "DELETED"}
    made |= {write.version: write.name for write in history.writes if write.acknowledged and write.version}
    deleted = {write.name for write in history.writes if write.verb == "delete"}
    for stretch in history.stretches:
        newest = {made[version]: version for version in sorted(made) if version <= stretch.start}
        for name, version in newest.items():
            if name in stretch.listed and stretch.listed[name] < version:
                yield f"{stretch.server}: a list at {stretch.start} has {name} at {stretch.listed[name]}, not {version}"
            elif name not in stretch.listed and name not in deleted:
                yield f"{stretch.server}: a list at {stretch.start} lacks {name}"
        for name in stretch.listed:
            if gone.get(name, stretch.start + 1) <= stretch.start:
                yield f"{stretch.server}: a list at {stretch.start} has {name}, deleted at {gone[name]}"


def stale_reads(reads: Iterable[Read]) -> Iterator[str]:
    """A read through any server sees what was acknowledged before it began."""
    for read in reads:
        if not read.least and read.found:
            yield f"{read.server}: {read.name} was still there after its deletion"
        elif read.found < read.least:
            yield f"{read.server}: {read.name} was read at {read.found or 'no version'}, after {read.least} was written"


def differences(finals: dict[str, dict[str, Kept]]) -> Iterator[str]:
    """At the end every server has the same."""
    servers = sorted(finals)
    for server in servers[1:]:
        first, other = finals[servers[0]], finals[server]
        for name in sorted(first.keys() | other.keys()):
            if first.get(name) != other.get(name):
                yield f"{name} is {first.get(name)} at {servers[0]} and {other.get(name)} at {server}"


def longest_pause(writes: Iterable[Write], since: float, server: str = "") -> float:
    """The longest time, in seconds, that clients of `server` ("": of any) went without an acknowledgement."""
    ends = [w.ended for w in writes if w.acknowledged and w.ended > since and server in ("", w.server)]
    times = [since, *sorted(ends)]
    return max((after - before for before, after in itertools.pairwise(times)), default=0.0)


def _any(values: set[str | None]) -> str:
    return " or ".join(sorted(repr(value) for value in values))


def _told(event: Event) -> str:
    return f"{event.type} {event.name} at {event.version}"
