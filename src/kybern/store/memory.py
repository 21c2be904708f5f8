"""The store in memory: the model behind the Store protocol, with leases that expire and history that is bounded.

Nothing survives the process. `sqlite.py` is this plus a durable log.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from kybern.process.clock import clock
from kybern.store.base import Entry, Event, LeaseNotFound, Mismatch, Page, StoreError, StoreUnavailable, Watch
from kybern.store.model import ABSENT, Model, Write


@dataclass(slots=True, frozen=True)
class Retention:
    """How much history is kept for reads at old revisions and for watches that resume: whichever ends first."""

    seconds: float = 300.0
    events: int = 50_000
    size: int = 32 << 20
    """Bytes of values that only the history still holds."""
    interval: float = 5.0
    """Seconds between looks at it."""


@dataclass(slots=True)
class Lease:
    """A running lease: its end in epoch seconds, and the timer for it."""

    expires: float
    timer: asyncio.TimerHandle | None = None


class MemoryStore:
    """A Store in this process's memory."""

    def __init__(self, retention: Retention | None = None) -> None:
        self.model = Model()
        self.retention = retention or Retention()
        self.leases: dict[int, Lease] = {}
        self._last_lease = 0
        self._marks: deque[tuple[float, int]] = deque()
        """When the revision was what, at each look: says how old history is."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticker: asyncio.TimerHandle | None = None
        self._closed = False

    async def revision(self) -> int:
        self._check_open()
        return self.model.revision

    async def get(self, key: str, *, revision: int = 0) -> Entry | None:
        self._check_open()
        return self.model.get(key, revision)

    async def list(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        self._check_open()
        return self.model.page(prefix, start, limit, revision)

    async def create(self, key: str, value: bytes, *, lease: int = 0) -> Entry:
        return await self._write(Write(key, value, ABSENT, lease))

    async def update(self, key: str, value: bytes, *, expect: int, lease: int = 0) -> Entry:
        return await self._write(Write(key, value, expect, lease))

    async def delete(self, key: str, *, expect: int = 0) -> Entry:
        return await self._write(Write(key, None, expect))

    async def watch(
        self,
        prefix: str,
        *,
        after: int,
        on_events: Callable[[Sequence[Event]], None],
        on_lost: Callable[[StoreError], None],
    ) -> Watch:
        self._check_open()
        return self.model.watch(prefix, after, on_events, on_lost)

    async def compact(self, revision: int) -> None:
        self._check_open()
        self.model.compact(revision)

    async def grant(self, ttl: float) -> int:
        self._check_open()
        lease = self._new_lease_id()
        self._start_lease(lease, clock.time() + ttl)
        return lease

    async def remaining(self, lease: int) -> float:
        self._check_open()
        if lease not in self.leases:
            raise LeaseNotFound(lease)
        return max(0.0, self.leases[lease].expires - clock.time())

    async def advance(self, revision: int) -> None:
        self._check_open()
        assert not self.model.entries and not self.model.history, "only an empty store may be advanced"
        self.model.revision = self.model.compacted = max(revision, self.model.revision)

    async def size(self) -> int:
        return sum(len(entry.key) + len(entry.value) for entry in self.model.entries.values())

    def problem(self) -> str:
        return "the store is closed" if self._closed else ""

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._ticker:
            self._ticker.cancel()
        for lease in self.leases.values():
            if lease.timer:
                lease.timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.model.watches.lose(StoreUnavailable("the store was closed"))

    async def _write(self, write: Write) -> Entry:
        self._check_write(write)
        event = write.against(self.model.entries.get(write.key), self.model.revision + 1)
        self._take_in([event])
        return event.entry

    def _take_in(self, events: Sequence[Event]) -> None:
        """Make decided events (durable ones, where that is promised) the state, and tell the watches."""
        for event in events:
            self.model.apply(event)
            lease = 0 if event.deleted else event.entry.lease
            if lease and lease not in self.leases:
                self._on_expiry(lease)  # it ended while the write was under way
        self.model.watches.notify(events)
        if self._ticker is None and not self._closed:
            self._ticker = asyncio.get_running_loop().call_later(self.retention.interval, self._tick)

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailable("the store is closed")

    def _check_write(self, write: Write) -> None:
        self._check_open()
        if write.lease and write.lease not in self.leases:
            raise LeaseNotFound(write.lease)

    # History

    def _tick(self) -> None:
        """Drop history beyond the retention, now and then while there is any."""
        self._ticker = None
        revision = self._retained_from()
        if revision > self.model.compacted + 1:
            self._compact_model(revision)
        if self.model.history and not self._closed:
            self._ticker = asyncio.get_running_loop().call_later(self.retention.interval, self._tick)

    def _compact_model(self, revision: int) -> None:
        self.model.compact(revision)

    def _retained_from(self) -> int:
        """The oldest revision that the retention keeps."""
        model, kept, now = self.model, self.retention, asyncio.get_running_loop().time()
        self._marks.append((now, model.revision))
        oldest = model.compacted + 1
        while self._marks and now - self._marks[0][0] > kept.seconds:
            oldest = max(oldest, self._marks.popleft()[1])
        oldest = max(oldest, model.revision - kept.events + 1)
        excess, index = model.superseded_bytes - kept.size, 0
        while excess > 0 and index < len(model.history) - 1:
            previous = model.history[index].previous
            excess -= len(previous.value) if previous else 0
            index += 1
        return max(oldest, model.compacted + 1 + index)

    # Leases

    def _new_lease_id(self) -> int:
        """An id never used before, also not before a restart: a key must not outlive its lease into another one."""
        self._last_lease = max(self._last_lease + 1, int(clock.time() * 1000))
        return self._last_lease

    def _start_lease(self, lease: int, expires: float) -> None:
        delay = max(0.0, expires - clock.time())
        timer = asyncio.get_running_loop().call_later(delay, self._on_expiry, lease)
        self.leases[lease] = Lease(expires, timer)

    def _on_expiry(self, lease: int) -> None:
        self._spawn(self._expire(lease))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _expire(self, lease: int) -> None:
        """Delete what is bound to the lease, then the lease; try again later where the store can't just now."""
        try:
            await asyncio.gather(*(self._delete_bound(key, lease) for key in sorted(self.model.bound.get(lease, ()))))
            if not self.model.bound.get(lease):
                await self._forget_lease(lease)
                return
        except StoreUnavailable:
            if self._closed:
                return
        self._start_lease(lease, clock.time() + 1.0)

    async def _delete_bound(self, key: str, lease: int) -> None:
        current = self.model.entries.get(key)
        if current is None or current.lease != lease:
            return
        try:
            await self._write(Write(key, None, current.mod_revision))
        except Mismatch:
            return  # written again meanwhile; if still bound, the next round sees it

    async def _forget_lease(self, lease: int) -> None:
        self.leases.pop(lease, None)
        self.model.bound.pop(lease, None)
