"""The way to what is stored, for the verbs and for the server's own loops (bootstrap, allocators).

One watch cache per storage prefix, made at first use: the kinds of two groups that share a prefix share the cache.
Writes go to the store and come back through the cache before they are acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from kybern.api import meta
from kybern.api.apiextensions.custom import CustomResource
from kybern.api.errors import AlreadyExists, Conflict, NotFound
from kybern.api.resource import Preparation, Resource
from kybern.api.scheme import Scheme
from kybern.api.types import Object
from kybern.apiserver.codec import decode, encode
from kybern.apiserver.conversion import ConvertingStore
from kybern.apiserver.hooks import Hooks
from kybern.apiserver.leases import Leases
from kybern.apiserver.storage_metrics import StoreTimes
from kybern.apiserver.watch_cache import CacheLister, Item, WatchCache
from kybern.process.clock import monotonic
from kybern.store.base import Entry, KeyExists, Mismatch, Store, StoreError, Untransformable

log = logging.getLogger(__name__)

ATTEMPTS = 20
"""How often a server-side read-change-write is tried before it gives up with a Conflict."""


class Lister(Protocol):
    """A cheap synchronous view of one resource for authorizers and admission; objects must not be changed."""

    @property
    def version(self) -> int:
        """Changes with every change of any object."""
        ...

    def get(self, namespace: str, name: str) -> Object | None: ...

    def list(self, namespace: str = "") -> list[Object]: ...

    def on_change(self, handler: Callable[[Object | None, Object | None], None]) -> None:
        """Call `handler(old, new)` for each change from now on, and at once for what exists (old None). For indexes."""
        ...


class Registry:
    """Scheme, store and one watch cache per resource in use. `outdated` says of a key whether its value should be
    written again though it is the same: it is encrypted as it wouldn't be today."""

    def __init__(
        self, scheme: Scheme, store: Store, *, outdated: Callable[[str], Awaitable[bool]] | None = None
    ) -> None:
        self.outdated = outdated
        self.scheme = scheme
        self.store = store
        self.caches: dict[str, WatchCache] = {}
        self._converting: dict[str, ConvertingStore] = {}
        self.hooks: dict[tuple[str, str], Hooks] = {}
        """What writes of a resource need done around them, by (group, plural); the verbs call them."""
        self.times = StoreTimes()
        self._leases = Leases(store)
        self._filling: set[asyncio.Task[None]] = set()

    def cache(self, resource: Resource) -> WatchCache:
        """The resource's cache, running or not."""
        key = resource.cache_key()
        found = self.caches.get(key)
        if found is None:
            found = self.caches[key] = WatchCache(resource, self.store_of(resource), self.times)
        return found

    def store_of(self, resource: Resource) -> Store:
        """The store with the resource's values as the resource shows them."""
        if not resource.views:
            return self.store
        found = self._converting.get(resource.cache_key())
        if found is None:
            assert isinstance(resource, CustomResource)
            found = self._converting[resource.cache_key()] = ConvertingStore(self.store, resource)
        return found

    def forget(self, resource: Resource) -> None:
        """Drop the resource's cache: the kind is gone or became another. Watches end; a later use starts anew."""
        for view in (resource, *resource.views.values()):
            self._converting.pop(view.cache_key(), None)
            cache = self.caches.pop(view.cache_key(), None)
            if cache is not None:
                cache.stop()

    async def ready(self, resource: Resource) -> WatchCache:
        """The resource's cache once it holds what the store holds. Raises StoreUnavailable."""
        cache = self.cache(resource)
        if not cache.running:
            await cache.start()
        return cache

    async def started(self, resource: Resource) -> None:
        """Return once the resource's watch cache holds what the store holds."""
        await self.ready(resource)

    def lister(self, group: str, plural: str) -> Lister:
        """The view of a resource. `await registry.started(resource)` first, else it starts empty and fills soon.
        Raises LookupError for a resource that the scheme doesn't know."""
        resource = self.scheme.resource(group, plural)
        if resource is None:
            raise LookupError(f"no resource {plural!r} in group {group!r}")
        cache = self.cache(resource)
        if not cache.running:
            task = asyncio.ensure_future(self._fill(cache))
            self._filling.add(task)
            task.add_done_callback(self._filling.discard)
        return CacheLister(cache)

    async def _fill(self, cache: WatchCache) -> None:
        try:
            await cache.start()
        except StoreError as error:
            log.warning("reading %s: %s", cache.prefix, error)

    async def item(self, resource: Resource, namespace: str, name: str, *, any_age: bool = False) -> Item:
        """What is stored; what was stored a moment ago will do for `any_age`. Raises NotFound,
        Untransformable, StoreUnavailable."""
        cache = await self.ready(resource)
        if not any_age:
            await cache.fresh()
        key = resource.key(namespace, name)
        found = cache.items.get(key)
        if found is None and key in cache.unreadable:
            if problem := await cache.readable(key):
                raise Untransformable(problem)
            found = cache.items.get(key)
        if found is None:
            raise NotFound.of(resource.plural, resource.group, name)
        return found

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """The object, a fresh copy in the storage version with its resourceVersion. Raises NotFound."""
        item = await self.item(resource, namespace, name)
        return decode(item.value, item.revision)

    async def insert(self, resource: Resource, obj: Object) -> Entry:
        """Store a new complete object in the storage version. Raises AlreadyExists."""
        cache = await self.ready(resource)
        metadata = obj["metadata"]
        key = resource.key(metadata.get("namespace", "") if resource.namespaced else "", metadata["name"])
        lease = await self._leases.lease(resource.time_to_live) if resource.time_to_live else 0
        value = encode(obj)
        cache.hints[id(value)] = obj
        began = monotonic()
        try:
            made = await self.store_of(resource).create(key, value, lease=lease)
            self.times.observe("create", resource, began)
            return made
        except KeyExists:
            self.times.observe("create", resource, began)
            raise already_exists(resource, cache.items.get(key), metadata["name"]) from None
        finally:
            del cache.hints[id(value)]

    async def settled(self, resource: Resource, key: str) -> bool:
        """Whether writing the same again would be no change."""
        if resource.views:
            store = self.store_of(resource)
            assert isinstance(store, ConvertingStore)
            if await store.outdated(key):
                return False
        return self.outdated is None or not await self.outdated(key)

    async def replace(self, resource: Resource, item: Item, obj: Object) -> Entry:
        """Store a changed object over `item`; nothing is written if nothing changed. Raises store.base.Mismatch."""
        value = encode(obj)
        if value == item.value and await self.settled(resource, item.key):
            return Entry(item.key, item.value, 0, item.revision)
        cache = self.cache(resource)
        lease = await self._leases.lease(resource.time_to_live) if resource.time_to_live else 0
        cache.hints[id(value)] = obj
        began = monotonic()
        try:
            made = await self.store_of(resource).update(item.key, value, expect=item.revision, lease=lease)
            self.times.observe("update", resource, began)
            return made
        finally:
            del cache.hints[id(value)]

    async def create(self, resource: Resource, obj: Object, *, dry_run: bool = False) -> Object:
        """Store an object of the server's own: defaults and metadata are filled in; no admission, no validation.
        Raises AlreadyExists."""
        made = resource.to_storage(obj)
        made = {**made, "metadata": dict(made["metadata"])}
        made.setdefault("kind", resource.kind)
        made.setdefault("apiVersion", resource.api_version())
        meta.fill_create(made["metadata"], generation=resource.has_generation)
        resource.default(made)
        resource.prepare_create(made, Preparation())
        if dry_run:
            return made
        entry = await self.insert(resource, made)
        return decode(entry.value, entry.mod_revision)

    async def guaranteed_update(
        self, resource: Resource, namespace: str, name: str, change: Callable[[Object], Object | None]
    ) -> Object:
        """Read, change, write, again if someone else wrote in between. `change` gets a fresh copy and gives the new
        object, or None to leave it. No admission, no validation. Raises NotFound, and Conflict if it never wins."""
        for _ in range(ATTEMPTS):
            item = await self.item(resource, namespace, name)
            new = change(decode(item.value, item.revision))
            if new is None:
                return decode(item.value, item.revision)
            try:
                entry = await self.replace(resource, item, new)
            except Mismatch:
                continue
            return decode(entry.value, entry.mod_revision)
        raise Conflict.stale(resource.plural, resource.group, name)

    async def remove(self, resource: Resource, item: Item) -> Entry:
        """Delete what is stored. Raises store.base.Mismatch if it isn't `item` any more."""
        began = monotonic()
        gone = await self.store.delete(item.key, expect=item.revision)
        self.times.observe("delete", resource, began)
        return gone

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str = "") -> Object:
        """Delete at once, whatever finalizers say. Raises NotFound, Conflict (uid)."""
        for _ in range(ATTEMPTS):
            item = await self.item(resource, namespace, name)
            obj = decode(item.value, item.revision)
            if uid and obj["metadata"].get("uid") != uid:
                raise Conflict.of(resource.plural, resource.group, name, "the UID does not match")
            try:
                await self.remove(resource, item)
            except Mismatch:
                continue
            return obj
        raise Conflict.stale(resource.plural, resource.group, name)

    async def close(self) -> None:
        """Stop following the store; watches end."""
        for task in self._filling:
            task.cancel()
        for cache in self.caches.values():
            cache.stop()


def already_exists(resource: Resource, item: Item | None, name: str) -> AlreadyExists:
    """The error of a name that is taken; `item` is what has it."""
    going = item is not None and "deletionTimestamp" in decode(item.value, item.revision)["metadata"]
    return AlreadyExists.of(resource.plural, resource.group, name, going=going)
