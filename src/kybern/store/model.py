"""What an embedded store holds, as plain synchronous data: sorted current state, history, watches. No I/O.

Every write takes exactly one revision, so `history` is contiguous: event i has revision `compacted + 1 + i`. A value is
one bytes object shared by the index, the history and the events given to watches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sortedcontainers import SortedList

from kybern.store.base import Compacted, Entry, Event, FutureRevision, KeyExists, Mismatch, Page, StoreError
from kybern.store.watches import Listener, Watches

ABSENT = -1
"""`Write.expect` of a create: the key must not be there."""


@dataclass(slots=True, frozen=True)
class Write:
    """A wish. `value` None deletes; `expect` is a mod_revision, 0 for any existing one, or ABSENT."""

    key: str
    value: bytes | None
    expect: int
    lease: int = 0

    def against(self, current: Entry | None, revision: int) -> Event:
        """The event it makes at `revision`, given what is there now. Raises KeyExists, Mismatch."""
        if self.expect == ABSENT:
            if current is not None:
                raise KeyExists(f"key exists: {self.key}")
            assert self.value is not None
            return Event(False, Entry(self.key, self.value, revision, revision, self.lease), None)
        if current is None or (self.expect and current.mod_revision != self.expect):
            raise Mismatch(current)
        if self.value is None:
            gone = Entry(self.key, current.value, current.create_revision, revision, current.lease)
            return Event(True, gone, current)
        return Event(False, Entry(self.key, self.value, current.create_revision, revision, self.lease), current)


class ModelWatch(Listener):
    """A registered watch; always up to date, because events are handed over as they are applied."""

    def __init__(
        self,
        model: Model,
        prefix: str,
        after: int,
        on_events: Callable[[Sequence[Event]], None],
        on_lost: Callable[[StoreError], None],
    ) -> None:
        super().__init__(prefix, after, on_events, on_lost)
        self._model = model

    @property
    def revision(self) -> int:
        return self._model.revision

    async def progress(self) -> None:
        """Nothing to ask for."""

    def cancel(self) -> None:
        if not self.cancelled:
            self.cancelled = True
            self._model.watches.remove(self)


class Model:
    """The state of an embedded store. Not thread-safe: use it from the event loop only."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.keys: SortedList[str] = SortedList()
        self.revision = 0
        self.compacted = 0
        self.history: list[Event] = []
        self.superseded_bytes = 0
        """Size of the values that only the history still holds."""
        self.bound: dict[int, set[str]] = {}
        """Lease id to the keys it will delete."""
        self.watches = Watches()

    def get(self, key: str, revision: int = 0) -> Entry | None:
        """See Store.get."""
        if revision:
            for event in self._since(revision):
                if event.entry.key == key:
                    return event.previous
        return self.entries.get(key)

    def page(self, prefix: str, start: str, limit: int, revision: int) -> Page:
        """See Store.list."""
        low, high = max(prefix, start), prefix[:-1] + chr(ord(prefix[-1]) + 1)
        past: dict[str, Entry | None] = {}
        if revision:
            for event in self._since(revision):
                if event.entry.key.startswith(prefix):
                    past.setdefault(event.entry.key, event.previous)
        if past:
            return self._past_page(past, low, high, limit, revision)
        keys, entries = self.keys, self.entries
        first, end = keys.bisect_left(low), keys.bisect_left(high)
        stop = min(end, first + limit) if limit else end
        found = [entries[key] for key in keys.islice(first, max(first, stop))]
        return Page(found, revision or self.revision, max(0, end - stop))

    def _past_page(self, past: Mapping[str, Entry | None], low: str, high: str, limit: int, revision: int) -> Page:
        """A listing with the keys in `past` put back to what they were then."""
        keys = set(self.keys.irange(low, high, inclusive=(True, False)))
        keys.update(key for key in past if low <= key < high)
        then = [past[key] if key in past else self.entries[key] for key in sorted(keys)]
        found = [entry for entry in then if entry is not None]
        shown = found[:limit] if limit else found
        return Page(shown, revision, len(found) - len(shown))

    def _since(self, revision: int) -> Sequence[Event]:
        """The events after `revision`, oldest first. Raises Compacted, FutureRevision."""
        if revision > self.revision:
            raise FutureRevision(self.revision)
        if revision <= self.compacted:
            raise Compacted(self.compacted)
        return self.history[revision - self.compacted :]

    def apply(self, event: Event) -> None:
        """Take in the next event. Watches hear of it through `watches.notify`."""
        entry, previous = event.entry, event.previous
        assert entry.mod_revision == self.revision + 1, "revisions are contiguous"
        self.revision = entry.mod_revision
        self.history.append(event)
        if previous is None:
            self.keys.add(entry.key)
        else:
            self.superseded_bytes += len(previous.value)
            if previous.lease:
                self.bound[previous.lease].discard(entry.key)
        if event.deleted:
            del self.entries[entry.key]
            self.keys.remove(entry.key)
            return
        self.entries[entry.key] = entry
        if entry.lease:
            self.bound.setdefault(entry.lease, set()).add(entry.key)

    def adopt(self, entry: Entry) -> Entry | None:
        """Recovery: put in an entry from before the history, in order of revision. Gives what it replaces."""
        previous = self.entries.get(entry.key)
        self.entries[entry.key] = entry
        if entry.lease:
            self.bound.setdefault(entry.lease, set()).add(entry.key)
        if previous is None:
            self.keys.add(entry.key)
        elif previous.lease and previous.lease != entry.lease:
            self.bound[previous.lease].discard(entry.key)
        return previous

    def drop(self, key: str) -> Entry | None:
        """Recovery: take out a key deleted before the history. Gives what was there."""
        previous = self.entries.pop(key, None)
        if previous is not None:
            self.keys.remove(key)
            if previous.lease:
                self.bound[previous.lease].discard(key)
        return previous

    def watch(
        self,
        prefix: str,
        after: int,
        on_events: Callable[[Sequence[Event]], None],
        on_lost: Callable[[StoreError], None],
    ) -> ModelWatch:
        """See Store.watch. What is in the history is handed over before this returns."""
        if after < self.compacted:
            raise Compacted(self.compacted)
        watch = ModelWatch(self, prefix, after, on_events, on_lost)
        self.watches.add(watch)
        backlog = [e for e in self.history[after - self.compacted :] if e.entry.key.startswith(prefix)]
        if backlog:
            watch.hand_over(backlog)
        return watch

    def compact(self, revision: int) -> list[int]:
        """See Store.compact. Gives the revisions whose records nothing needs any more, oldest first."""
        if revision > self.revision:
            raise FutureRevision(self.revision)
        count = revision - 1 - self.compacted
        if count <= 0:
            return []
        dropped = self.history[:count]
        del self.history[:count]
        self.compacted += count
        garbage: list[int] = []
        for event in dropped:
            if event.previous is not None:
                self.superseded_bytes -= len(event.previous.value)
                garbage.append(event.previous.mod_revision)
            if event.deleted:
                garbage.append(event.entry.mod_revision)
        return garbage
