"""A store over a store: values of chosen keys are encrypted below and plain above.

What can't be decrypted is given as `Unreadable`, so that one bad value doesn't hide the others. Values of kinds that
aren't encrypted pass through as the same object.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from kybern.store.base import Entry, Event, Mismatch, Page, Store, StoreError, Unreadable, Watch
from kybern.store.encryption import ENCRYPTED, PLAIN, Cipher, KeyAway, Undecipherable

ROOT = "/registry"

log = logging.getLogger(__name__)


class EncryptedStore:
    """`inner`, with values sealed by the cipher that `cipher_of` names for a key: at first none, and what is encrypted
    is unreadable. `prefix` is where in etcd /registry is: a value is tied to its whole key there."""

    def __init__(
        self, inner: Store, cipher_of: Callable[[str], Cipher] = lambda key: PLAIN, prefix: str = ROOT
    ) -> None:
        self.inner = inner
        self.cipher_of = cipher_of
        """May be replaced at any time; what was read before stays as it was."""
        self._prefix = "/" + prefix.strip("/")
        self._writing: dict[bytes, bytes] = {}
        """Sealed values under way to the store, so that they need no opening when the watches tell of them."""
        self._behind: set[_OpenedWatch] = set()

    # Values

    def _context(self, key: str) -> bytes:
        return f"{self._prefix}{key.removeprefix(ROOT)}".encode()

    def _at_once(self, entry: Entry) -> Entry:
        """The entry with its plain value. Raises KeyAway."""
        value, cipher = entry.value, self.cipher_of(entry.key)
        if cipher is PLAIN and not value.startswith(ENCRYPTED):
            return entry
        plain = self._writing.get(value)
        if plain is None:
            try:
                plain, _ = cipher.open(value, self._context(entry.key))
            except Undecipherable as problem:
                plain = Unreadable.because(value, str(problem))
        if plain is value:
            return entry
        return Entry(entry.key, plain, entry.create_revision, entry.mod_revision, entry.lease)

    async def _opened(self, entry: Entry) -> Entry:
        while True:
            try:
                return self._at_once(entry)
            except KeyAway as away:
                await away.fetch()

    def _event_at_once(self, event: Event) -> Event:
        entry, previous = self._at_once(event.entry), event.previous
        before = self._at_once(previous) if previous is not None else None
        if entry is event.entry and before is previous:
            return event
        return Event(event.deleted, entry, before)

    async def _opened_event(self, event: Event) -> Event:
        before = await self._opened(event.previous) if event.previous is not None else None
        return Event(event.deleted, await self._opened(event.entry), before)

    async def outdated(self, key: str) -> bool:
        """Whether the value would be encrypted otherwise if it were written today."""
        cipher = self.cipher_of(key)
        entry = await self.inner.get(key) if cipher is not PLAIN else None
        while entry is not None:
            try:
                return cipher.open(entry.value, self._context(key))[1]
            except KeyAway as away:
                await away.fetch()
            except Undecipherable:
                return True
        return False

    # Reading

    async def revision(self) -> int:
        return await self.inner.revision()

    async def get(self, key: str, *, revision: int = 0) -> Entry | None:
        entry = await self.inner.get(key, revision=revision)
        return await self._opened(entry) if entry is not None else None

    async def list(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        page = await self.inner.list(prefix, start=start, limit=limit, revision=revision)
        return page._replace(entries=[await self._opened(entry) for entry in page.entries])

    async def watch(
        self,
        prefix: str,
        *,
        after: int,
        on_events: Callable[[Sequence[Event]], None],
        on_lost: Callable[[StoreError], None],
    ) -> Watch:
        watch = _OpenedWatch(self, on_events, on_lost)
        watch.inner = await self.inner.watch(prefix, after=after, on_events=watch.hear, on_lost=watch.lose)
        return watch

    # Writing

    async def create(self, key: str, value: bytes, *, lease: int = 0) -> Entry:
        cipher = self.cipher_of(key)
        if cipher is PLAIN:
            return await self.inner.create(key, value, lease=lease)
        sealed = cipher.seal(value, self._context(key))
        async with self._passing(sealed, value):
            return _with(value, await self.inner.create(key, sealed, lease=lease))

    async def update(self, key: str, value: bytes, *, expect: int, lease: int = 0) -> Entry:
        cipher = self.cipher_of(key)
        if cipher is PLAIN:
            return await self.inner.update(key, value, expect=expect, lease=lease)
        sealed = cipher.seal(value, self._context(key))
        async with self._passing(sealed, value):
            return _with(value, await self.inner.update(key, sealed, expect=expect, lease=lease))

    async def delete(self, key: str, *, expect: int = 0) -> Entry:
        if self.cipher_of(key) is PLAIN:
            return await self.inner.delete(key, expect=expect)
        async with self._passing(b"", b""):
            return await self._opened(await self.inner.delete(key, expect=expect))

    @asynccontextmanager
    async def _passing(self, sealed: bytes, value: bytes) -> AsyncIterator[None]:
        """Around a write: know the sealed value meanwhile, and let no watch be behind when the write returns."""
        if sealed is not value:
            self._writing[sealed] = value
        try:
            yield
        except Mismatch as refused:
            raise Mismatch(await self._opened(refused.current) if refused.current else None) from None
        finally:
            self._writing.pop(sealed, None)
            while tasks := [watch.task for watch in self._behind if watch.task is not None]:
                await asyncio.wait(tasks)

    # The rest is the inner store's.

    async def compact(self, revision: int) -> None:
        await self.inner.compact(revision)

    async def grant(self, ttl: float) -> int:
        return await self.inner.grant(ttl)

    async def remaining(self, lease: int) -> float:
        return await self.inner.remaining(lease)

    async def advance(self, revision: int) -> None:
        await self.inner.advance(revision)

    async def size(self) -> int:
        return await self.inner.size()

    def problem(self) -> str:
        return self.inner.problem()

    async def close(self) -> None:
        await self.inner.close()


def _with(value: bytes, entry: Entry) -> Entry:
    if entry.value is value:
        return entry
    return Entry(entry.key, value, entry.create_revision, entry.mod_revision, entry.lease)


class _OpenedWatch:
    """A watch that tells plain values. Events whose key has to be fetched first are told late, in order."""

    inner: Watch

    def __init__(
        self,
        store: EncryptedStore,
        on_events: Callable[[Sequence[Event]], None],
        on_lost: Callable[[StoreError], None],
    ) -> None:
        self._store = store
        self._on_events = on_events
        self._on_lost = on_lost
        self._owed: deque[Event] = deque()
        self.task: asyncio.Task[None] | None = None
        """Under way while events are owed."""

    @property
    def revision(self) -> int:
        return self._owed[0].entry.mod_revision - 1 if self._owed else self.inner.revision

    async def progress(self) -> None:
        await self.inner.progress()
        if self.task is not None:
            await asyncio.wait([self.task])

    def cancel(self) -> None:
        self._stop()
        self.inner.cancel()

    def hear(self, events: Sequence[Event]) -> None:
        """What the inner store tells."""
        told: list[Event] = []
        if not self._owed:
            with suppress(KeyAway):
                for event in events:
                    told.append(self._store._event_at_once(event))  # noqa: PERF401
        self._owed.extend(events[len(told) :])
        if self._owed and self.task is None:
            self.task = asyncio.ensure_future(self._catch_up())
            self._store._behind.add(self)
        if told:
            self._on_events(told)

    def lose(self, error: StoreError) -> None:
        """What the inner store says last."""
        self._stop()
        self._on_lost(error)

    async def _catch_up(self) -> None:
        try:
            while self._owed:
                event = await self._store._opened_event(self._owed[0])
                self._owed.popleft()
                try:
                    self._on_events([event])
                except Exception:
                    log.exception("a watcher failed")
        finally:
            self.task = None
            self._store._behind.discard(self)

    def _stop(self) -> None:
        self._owed.clear()
        if self.task is not None:
            self.task.cancel()
