"""What the store holds of one resource, kept current by one store watch and fanned out to every watcher.

Reads are answered from here: an item is the stored bytes plus the labels and field values that selectors ask for,
taken out once. Recent changes stay in a ring from which watches resume; a watch from before it gets 410 Expired.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from kybern.api.errors import Expired
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver.codec import Codec, codec_of, decode
from kybern.apiserver.storage_metrics import WAITS, Lists, StoreTimes
from kybern.process.clock import monotonic
from kybern.process.metrics import Tally
from kybern.store.base import Event, Store, StoreError, Unreadable, Untransformable, Watch

if TYPE_CHECKING:
    from kybern.apiserver.messages import Messages

log = logging.getLogger(__name__)

RING_CHANGES = 8192
RING_BYTES = 16 << 20
"""The ring forgets its oldest changes beyond either."""
RESTART_SECONDS = 1.0

_NONE: Mapping[str, str] = {}


class Item:
    """One object as of `revision`. `labels` and `fields` are None until someone selects by them."""

    __slots__ = ("fields", "key", "labels", "object", "revision", "value")

    def __init__(self, key: str, value: bytes, revision: int) -> None:
        self.key = key
        self.value = value
        self.revision = revision
        self.labels: Mapping[str, str] | None = None
        self.fields: Mapping[str, str] | None = None
        self.object: Object | None = None
        """Decoded, where a lister asked for it."""


class Change:
    """One change. `previous` is None for a creation. A deletion's item has the last value and the deletion's revision.
    `frames` holds its encodings, shared by all watchers."""

    __slots__ = ("deleted", "frames", "item", "previous")

    def __init__(self, deleted: bool, item: Item, previous: Item | None) -> None:
        self.deleted = deleted
        self.item = item
        self.previous = previous
        self.frames: dict[tuple[str, str], Any] = {}


class Listener(Protocol):
    """Who hears of changes: a watch, which ends when changes may have been missed, or an index, which stays."""

    def on_change(self, change: Change) -> None: ...

    def on_lost(self) -> None:
        """Changes may have been missed."""
        ...


class WatchCache:
    """The cache of one resource (of one storage prefix)."""

    def __init__(self, resource: Resource, store: Store, times: StoreTimes | None = None) -> None:
        self.resource = resource
        self._times = times or StoreTimes()
        self.codecs: set[Codec] = set()
        """Of those who watch, or have."""
        self.filled: int = 0
        """How often it was read anew."""
        self.received: int = 0
        """How many changes came."""
        self.dropped: int = 0
        """How many watches fell behind."""
        self.capacity: int = RING_CHANGES
        self.initial: int = 0
        """How many objects were read to fill it."""
        self.bytes: int = 0
        """The values of all items."""
        self.undecodable: int = 0
        """How many values came that can't be read."""
        self.lists: Lists = Lists()
        self.stored_lists: Lists = Lists()
        """From the store, and not from here: of old revisions, and to fill this."""
        self.waits = Tally(WAITS)
        """Seconds until it was fresh, for each list that asks for the latest."""
        self.prefix = resource.prefix()
        self.items: dict[str, Item] = {}
        self.listeners: set[Listener] = set()
        self.version = 0
        self.last = 0
        """The revision of the latest change of this resource, or of the start."""
        self.oldest = 0
        """Every change after this revision is in the ring."""
        self.ring: deque[Change] = deque()
        self.hints: dict[int, Object] = {}
        """id(bytes) -> object, left by the writer while it writes, so that labels need not be decoded again."""
        self.unreadable: dict[str, str] = {}
        """Keys whose values can't be decrypted, and why; they aren't among the items."""
        self.messages: dict[Codec, Messages] = {}
        """The objects in protobuf, by served version, where somebody asked for that."""
        self.running = False
        self._ring_bytes = 0
        self._keys: list[str] = []
        self._store = store
        self._watch: Watch | None = None
        self._starting = asyncio.Lock()
        self._restarting: asyncio.Future[None] | None = None

    @property
    def revision(self) -> int:
        """The store revision up to which this cache is complete."""
        return self._watch.revision if self._watch else self.last

    async def start(self) -> None:
        """Fill from the store and follow it. Idempotent. Raises StoreUnavailable."""
        async with self._starting:
            if self.running:
                return
            began = monotonic()
            page = await self._store.list(self.prefix)
            self._times.observe("list", self.resource, began)
            self.filled += 1
            before = self.items
            self.unreadable = {e.key: e.value.problem for e in page.entries if isinstance(e.value, Unreadable)}
            entries = [e for e in page.entries if e.key not in self.unreadable] if self.unreadable else page.entries
            self.items = {entry.key: Item(entry.key, entry.value, entry.mod_revision) for entry in entries}
            self.initial += len(entries)
            self.bytes = sum(len(entry.value) for entry in entries)
            self.undecodable += len(self.unreadable)
            self.stored_lists.add(len(page.entries), len(entries))
            self._keys = [entry.key for entry in entries]
            self._tell_difference(before, page.revision)
            self.ring.clear()
            self._ring_bytes = 0
            self.oldest = self.last = page.revision
            self.version += 1
            self._watch = await self._store.watch(
                self.prefix, after=page.revision, on_events=self._on_events, on_lost=self._on_lost
            )
            self.running = True

    async def fresh_for_list(self) -> None:
        """The same as `fresh`, and counted. Raises StoreUnavailable."""
        began = monotonic()
        await self.fresh()
        self.waits.observe(monotonic() - began)

    async def fresh(self) -> None:
        """Return once this holds all that any server of the cluster has acknowledged. Raises StoreUnavailable."""
        if self._watch is not None:
            await self._watch.progress()

    async def readable(self, key: str) -> str:
        """Why the value of a key, which was unreadable, is so still. If it isn't, all is read anew and the answer is
        empty. Raises StoreUnavailable."""
        entry = await self._store.get(key)
        if entry is not None and isinstance(entry.value, Unreadable):
            return entry.value.problem
        if key in self.unreadable:
            self.stop()
            await self.start()
        return ""

    async def check_readable(self, prefix: str) -> None:
        """Raises Untransformable where a value below the prefix can't be decrypted."""
        for key in sorted(self.unreadable):
            if key.startswith(prefix) and (problem := await self.readable(key)):
                raise Untransformable(f'unable to transform key "{key}": {problem}')

    def stop(self) -> None:
        """Stop following the store; watches end."""
        self.running = False
        if self._watch:
            self._watch.cancel()
            self._watch = None
        for listener in list(self.listeners):
            listener.on_lost()

    def _on_lost(self, error: StoreError) -> None:
        log.warning("watch of %s lost, starting over: %s", self.prefix, error)
        self._watch = None
        self.stop()
        self._restarting = asyncio.ensure_future(self._restart())

    async def _restart(self) -> None:
        while not self.running:
            try:
                await self.start()
            except StoreError as error:
                log.warning("reading %s: %s", self.prefix, error)
                await asyncio.sleep(RESTART_SECONDS)

    def _tell_difference(self, before: dict[str, Item], revision: int) -> None:
        """Bring the listeners that stay (indexes) from what was known before to what is known now."""
        if not self.listeners:
            return
        changes = [
            Change(True, Item(key, item.value, revision), item) for key, item in before.items() if key not in self.items
        ]
        for key, item in self.items.items():
            old = before.get(key)
            if old is None or old.revision != item.revision:
                changes.append(Change(False, item, old))
        for change in changes:
            for listener in tuple(self.listeners):
                listener.on_change(change)

    def _on_events(self, events: Sequence[Event]) -> None:
        for event in events:
            entry = event.entry
            previous = self.items.get(entry.key)
            item = Item(entry.key, entry.value, entry.mod_revision)
            if type(entry.value) is Unreadable:
                if not event.deleted:
                    self._hide(item, previous, entry.value.problem)
                    continue
                if previous is not None:
                    item.value = previous.value
            if self.unreadable and self.unreadable.pop(entry.key, None) is not None and event.deleted:
                continue
            if event.deleted:
                self._forget(item, previous)
            else:
                self.bytes += len(item.value) - (len(previous.value) if previous is not None else 0)
                hint = self.hints.get(id(entry.value))
                if hint is not None:
                    self._extract(item, hint)
                self.items[entry.key] = item
                if previous is None:
                    self._insert(entry.key)
            self.last = entry.mod_revision
            self.version += 1
            self.received += 1
            change = Change(event.deleted, item, previous)
            self._remember(change)
            for listener in tuple(self.listeners):
                listener.on_change(change)

    def _insert(self, key: str) -> None:
        if not self._keys or key > self._keys[-1]:
            self._keys.append(key)
        else:
            insort(self._keys, key)

    def _forget(self, item: Item, previous: Item | None) -> None:
        if previous is None:
            return
        self.bytes -= len(previous.value)
        del self.items[item.key]
        del self._keys[bisect_left(self._keys, item.key)]
        item.labels, item.fields = previous.labels, previous.fields

    def _hide(self, item: Item, previous: Item | None, problem: str) -> None:
        """A value came that can't be read: watches end, and who starts over is told so; for indexes it is gone."""
        self.unreadable[item.key] = problem
        self.undecodable += 1
        self.ring.clear()
        self._ring_bytes = 0
        self.oldest = self.last = item.revision
        self.version += 1
        for listener in tuple(self.listeners):
            listener.on_lost()
        if previous is None:
            return
        item.value = previous.value
        self._forget(item, previous)
        for listener in tuple(self.listeners):
            listener.on_change(Change(True, item, previous))

    def _remember(self, change: Change) -> None:
        self.ring.append(change)
        self._ring_bytes += len(change.item.value)
        while len(self.ring) > RING_CHANGES or self._ring_bytes > RING_BYTES:
            gone = self.ring.popleft()
            self._ring_bytes -= len(gone.item.value)
            self.oldest = gone.item.revision

    def since(self, revision: int) -> Iterator[Change]:
        """The changes after a revision, oldest first. Raises Expired."""
        if revision < self.oldest:
            raise Expired(f"too old resource version: {revision} ({self.oldest})")
        newer: list[Change] = []
        for change in reversed(self.ring):
            if change.item.revision <= revision:
                break
            newer.append(change)
        return reversed(newer)

    def _extract(self, item: Item, obj: Object) -> None:
        item.labels = obj["metadata"].get("labels") or _NONE
        item.fields = self.resource.selectable(obj) if self.resource.selectable_fields else _NONE

    def labels(self, item: Item) -> Mapping[str, str]:
        """The object's labels."""
        if item.labels is None:
            self._extract(item, decode(item.value, item.revision))
        return item.labels or _NONE

    def fields(self, item: Item) -> Mapping[str, str]:
        """The object's selectable fields, metadata.name and metadata.namespace aside (see `place`)."""
        if item.fields is None:
            self._extract(item, decode(item.value, item.revision))
        return item.fields or _NONE

    def get(self, namespace: str, name: str) -> Item | None:
        """The object's item, if it exists."""
        return self.items.get(self.resource.key(namespace, name))

    def select(self, namespace: str = "", start: str = "") -> list[Item]:
        """The items of a namespace ("" for all) in key order, from a key on (inclusive)."""
        if not namespace and not start:
            if len(self._keys) == len(self.items):
                return [self.items[key] for key in self._keys]
            return sorted(self.items.values(), key=lambda item: item.key)
        prefix = self.resource.prefix(namespace)
        low = bisect_left(self._keys, max(prefix, start))
        high = bisect_left(self._keys, f"{prefix[:-1]}0")  # "0" is the character after "/"
        return [self.items[key] for key in self._keys[low:high]]


class CacheLister:
    """The synchronous view that authorizers and admission use. Objects are decoded once and must not be changed."""

    def __init__(self, cache: WatchCache) -> None:
        self._cache = cache

    @property
    def version(self) -> int:
        return self._cache.version

    def get(self, namespace: str, name: str) -> Object | None:
        item = self._cache.get(namespace, name)
        return self._object(item) if item else None

    def list(self, namespace: str = "") -> list[Object]:
        return [self._object(item) for item in self._cache.select(namespace)]

    def on_change(self, handler: Callable[[Object | None, Object | None], None]) -> None:
        """Call `handler(old, new)` for what exists now (old None) and from now on for each change, synchronously. For
        indexes: nothing stays decoded, and no `list` is needed. After a lost watch, all is told again."""
        self._cache.listeners.add(_Index(self._cache, handler))

    def _object(self, item: Item) -> Object:
        if item.object is None:
            item.object = codec_of(self._cache.resource).object(item.value, item.revision)
        return item.object


class _Index:
    def __init__(self, cache: WatchCache, handler: Callable[[Object | None, Object | None], None]) -> None:
        self._handler = handler
        self._cache = cache
        for item in cache.select():
            handler(None, decode(item.value, item.revision))

    def on_change(self, change: Change) -> None:
        old = decode(change.previous.value, change.previous.revision) if change.previous else None
        self._handler(old, None if change.deleted else decode(change.item.value, change.item.revision))

    def on_lost(self) -> None:
        """Nothing to do: when the cache has started over it tells the difference."""
