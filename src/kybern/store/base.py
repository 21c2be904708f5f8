"""The contract of every store: etcd's model. All implementations pass tests/contract/test_store.py.

Keys are strings ("/registry/pods/default/web"), values opaque bytes. One revision counter covers the whole store; each
write takes the next revision. `prefix` always ends in a slash; listings are in byte order of the key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(slots=True, frozen=True)
class Entry:
    """A key as of `mod_revision`. `lease` is 0 or the lease that deletes it on expiry."""

    key: str
    value: bytes
    create_revision: int
    mod_revision: int
    lease: int = 0


class Page(NamedTuple):
    """A listing as of `revision`; `remaining` counts the keys after the last one given."""

    entries: list[Entry]
    revision: int
    remaining: int


class Event(NamedTuple):
    """A change. Deletions (`deleted`) carry the last value in `entry`, with the revision of the deletion as its
    mod_revision. `previous` is the entry before the change, None for a creation."""

    deleted: bool
    entry: Entry
    previous: Entry | None


class StoreError(Exception):
    """Base of what a store raises."""


class KeyExists(StoreError):
    """create: the key is there already."""


class Mismatch(StoreError):
    """update/delete: the key isn't at the expected revision. `current` is what is there, None if nothing."""

    def __init__(self, current: Entry | None) -> None:
        super().__init__(f"key is at revision {current.mod_revision}" if current else "key does not exist")
        self.current = current


class Compacted(StoreError):
    """get/list/watch at a revision at or before the last compaction."""

    def __init__(self, compacted: int) -> None:
        super().__init__(f"revision has been compacted; the oldest is {compacted + 1}")
        self.compacted = compacted


class FutureRevision(StoreError):
    """get/list at a revision that has not happened. `current` is the latest."""

    def __init__(self, current: int) -> None:
        super().__init__(f"revision is in the future; the latest is {current}")
        self.current = current


class LeaseNotFound(StoreError):
    """create/update with a lease that was never granted or has expired."""

    def __init__(self, lease: int) -> None:
        super().__init__(f"lease {lease} does not exist")
        self.lease = lease


class TooLarge(StoreError):
    """create/update: the value is larger than the store takes. The message is etcd's."""

    def __init__(self) -> None:
        super().__init__("etcdserver: request is too large")


class StoreUnavailable(StoreError):
    """The store can't answer or can't make a write durable; the message says why and what to do."""


class Untransformable(StoreError):
    """A value can't be encrypted or decrypted just now; the message is upstream's."""


class Unreadable(bytes):
    """In place of a value that can't be decrypted: the bytes as stored, and in `problem` why. Any value that a store
    gives may be one, if the store decrypts."""

    problem: str

    @classmethod
    def because(cls, value: bytes, problem: str) -> Unreadable:
        made = cls(value)
        made.problem = problem
        return made


class Watch(Protocol):
    """A running watch."""

    @property
    def revision(self) -> int:
        """Every event up to and including this revision has been handed to `on_events`."""
        ...

    async def progress(self) -> None:
        """Have `revision` brought up to the store's latest, linearizable; no-op where that always holds. Raises
        StoreUnavailable."""
        ...

    def cancel(self) -> None:
        """End it; nothing is called afterwards. Idempotent."""
        ...


class Store(Protocol):
    """See the module. Every method may raise StoreUnavailable."""

    async def revision(self) -> int:
        """The latest revision, linearizable: no write acknowledged before the call is later than it."""
        ...

    async def get(self, key: str, *, revision: int = 0) -> Entry | None:
        """The key now, or as of `revision`. Raises Compacted, FutureRevision."""
        ...

    async def list(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        """Keys below prefix, from key `start` on (inclusive), at most `limit` (0: all), now or as of `revision`.
        Raises Compacted, FutureRevision."""
        ...

    async def create(self, key: str, value: bytes, *, lease: int = 0) -> Entry:
        """Raises KeyExists, LeaseNotFound, TooLarge. Durable when it returns, like every write."""
        ...

    async def update(self, key: str, value: bytes, *, expect: int, lease: int = 0) -> Entry:
        """Replace the key if its mod_revision is `expect`. Raises Mismatch, LeaseNotFound, TooLarge."""
        ...

    async def delete(self, key: str, *, expect: int = 0) -> Entry:
        """Delete the key if its mod_revision is `expect` (0: any). Gives the last value, with the revision of the
        deletion as mod_revision. Raises Mismatch."""
        ...

    async def watch(
        self,
        prefix: str,
        *,
        after: int,
        on_events: Callable[[Sequence[Event]], None],
        on_lost: Callable[[StoreError], None],
    ) -> Watch:
        """Hand over every change below prefix after revision `after`, each once and in order. The callbacks run on the
        event loop and must not block. on_events is called before this process' own writes return, and before a refused
        one says why, unless the store can't be heard at the moment. After on_lost nothing more comes. Raises Compacted
        (also when `after` is older than the last compaction)."""
        ...

    async def compact(self, revision: int) -> None:
        """Forget history before `revision` (current values stay). Raises FutureRevision; older ones are a no-op."""
        ...

    async def grant(self, ttl: float) -> int:
        """A new lease of `ttl` seconds; keys bound to it are deleted when it expires."""
        ...

    async def remaining(self, lease: int) -> float:
        """Seconds until the lease expires. Raises LeaseNotFound."""
        ...

    async def advance(self, revision: int) -> None:
        """Have the next write take a revision later than `revision`, as if history up to it were forgotten: for a store
        that takes over from another. Nothing may be in the store yet."""
        ...

    async def size(self) -> int:
        """Bytes that the database takes where it is kept."""
        ...

    def problem(self) -> str:
        """What keeps the store from answering at the moment, as far as is known without asking; "" if nothing."""
        ...

    async def close(self) -> None:
        """Flush and let go of files and tasks."""
        ...
