"""A cache of one resource kept fresh by list and watch, shared by all who need it in a process.

The watch resumes from the last version seen; when the server has forgotten that (410), the list is taken anew and
only what differs is told to the handlers. Source: client-go's reflector and shared informer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from contextlib import aclosing

from kybern.api.errors import APIError, Expired, Gone
from kybern.api.types import Object, key_of
from kybern.client.rest import Client, ResourceClient
from kybern.client.transport import severity
from kybern.process.clock import random

log = logging.getLogger(__name__)

Handler = Callable[[Object | None, Object | None], None]
Transform = Callable[[Object], Object]
Objects = list[Object]
IndexFunction = Callable[[Object], Iterable[str]]

_FIRST_BACKOFF, _MAX_BACKOFF = 0.2, 30.0
_WATCH_SECONDS = 300


def drop_managed_fields(obj: Object) -> Object:
    """Nobody who reads a cache needs managedFields, and it is often the largest part of an object."""
    obj["metadata"].pop("managedFields", None)
    return obj


class _Index:
    def __init__(self, function: IndexFunction) -> None:
        self.function = function
        self.keys: dict[str, dict[str, None]] = {}

    def replace(self, key: str, old: Object | None, new: Object | None) -> None:
        before = set(self.function(old)) if old else set()
        after = set(self.function(new)) if new else set()
        for value in before - after:
            members = self.keys.get(value, {})
            members.pop(key, None)
            if not members:
                self.keys.pop(value, None)
        for value in after - before:
            self.keys.setdefault(value, {})[key] = None


class Informer:
    """Read from it freely; never change an object that it gave."""

    def __init__(
        self,
        resource: ResourceClient,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        transform: Transform | None = drop_managed_fields,
    ) -> None:
        self.resource = resource
        self.store: dict[str, Object] = {}
        self.resource_version = ""
        self._namespace = namespace
        self._label_selector, self._field_selector = label_selector, field_selector
        self._transform = transform
        self._handlers: list[Handler] = []
        self._indexes: dict[str, _Index] = {}
        self._synced = asyncio.Event()

    @property
    def has_synced(self) -> bool:
        """Whether the first list is in."""
        return self._synced.is_set()

    def get(self, key: str) -> Object | None:
        """By `namespace/name`, or `name`."""
        return self.store.get(key)

    def list(self, namespace: str = "") -> Objects:
        """Everything, or all of one namespace (through the index "namespace" if there is one)."""
        if not namespace:
            return [*self.store.values()]
        if "namespace" in self._indexes:
            return self.by_index("namespace", namespace)
        prefix = f"{namespace}/"
        return [obj for key, obj in self.store.items() if key.startswith(prefix)]

    def add_index(self, name: str, fn: IndexFunction) -> None:
        """Keep objects findable by the values `fn` gives. Adding a name again is a no-op."""
        if name in self._indexes:
            return
        index = self._indexes[name] = _Index(fn)
        for key, obj in self.store.items():
            index.replace(key, None, obj)

    def by_index(self, name: str, value: str) -> Objects:
        """The objects for which the index's function gave `value`."""
        return [self.store[key] for key in self._indexes[name].keys.get(value, ())]

    def on_change(self, handler: Handler) -> None:
        """Call `handler(old, new)` at each change: (None, new) is an addition, (old, None) a deletion. What is
        cached already is told as additions at once."""
        self._handlers.append(handler)
        for obj in [*self.store.values()]:
            self._call(handler, None, obj)

    async def synced(self) -> None:
        """Wait for the first list."""
        await self._synced.wait()

    async def run(self) -> None:
        """List and watch until cancelled."""
        backoff, failure = _FIRST_BACKOFF, ""
        while True:
            try:
                if not self.resource_version:
                    await self._relist()
                if await self._watch():
                    backoff, failure = _FIRST_BACKOFF, ""
                continue
            except (Expired, Gone):
                # The version is too old to watch from; nothing is wrong with the server.
                self.resource_version = ""
                log.debug("%s: version expired, listing anew", self.resource.plural)
            except APIError as error:
                # The same failure again is no news.
                level = logging.DEBUG if str(error) == failure else severity(error)
                failure = str(error)
                log.log(level, "%s: list and watch failed: %s", self.resource.plural, error)
            except Exception:
                log.exception("%s: list and watch failed", self.resource.plural)
            await asyncio.sleep(backoff * random.uniform(1, 2))
            backoff = min(backoff * 2, _MAX_BACKOFF)

    async def _relist(self) -> None:
        listing = await self.resource.list(
            self._namespace, label_selector=self._label_selector, field_selector=self._field_selector
        )
        found: dict[str, Object] = {}
        for obj in listing.items:
            found[key_of(obj)] = self._transform(obj) if self._transform else obj
        for key in [key for key in self.store if key not in found]:
            self._replace(key, None)
        for key, obj in found.items():
            cached = self.store.get(key)
            if cached is None or _version(cached) != _version(obj):
                self._replace(key, obj)
        self.resource_version = listing.resource_version
        self._synced.set()

    async def _watch(self) -> bool:
        """One watch, until the server ends it. True if anything came."""
        events = self.resource.watch(
            self._namespace,
            resource_version=self.resource_version,
            label_selector=self._label_selector,
            field_selector=self._field_selector,
            timeout_seconds=int(_WATCH_SECONDS * random.uniform(1, 2)),
        )
        heard = False
        async with aclosing(events) as stream:
            async for kind, obj in stream:
                heard = True
                self.resource_version = _version(obj)
                if kind == "BOOKMARK":
                    continue
                key = key_of(obj)
                if kind == "DELETED":
                    self._replace(key, None, last=obj)
                else:
                    self._replace(key, self._transform(obj) if self._transform else obj)
        if not heard:
            # A server that ends watches at once must not be asked in a tight loop.
            await asyncio.sleep(_FIRST_BACKOFF * random.uniform(1, 2))
        return heard

    def _replace(self, key: str, new: Object | None, last: Object | None = None) -> None:
        """Change the cache, then tell. `last` is a deleted object's final state, given to the handlers."""
        old = self.store.pop(key, None) if new is None else self.store.get(key)
        if new is None and old is None:
            return
        if new is not None:
            self.store[key] = new
        for index in self._indexes.values():
            index.replace(key, old, new)
        told = last if new is None and last is not None else old
        for handler in self._handlers:
            self._call(handler, told, new)

    def _call(self, handler: Handler, old: Object | None, new: Object | None) -> None:
        try:
            handler(old, new)
        except Exception:
            log.exception("%s: a change handler failed", self.resource.plural)


def _version(obj: Object) -> str:
    version: str = obj["metadata"].get("resourceVersion", "")
    return version


class InformerFactory:
    """One informer per distinct question, however many ask it."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._informers: dict[tuple[str | bool, ...], Informer] = {}
        self._tasks: dict[Informer, asyncio.Task[None]] = {}
        self._started = False

    def informer(
        self,
        api_version: str,
        plural: str,
        *,
        namespaced: bool = True,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        metadata_only: bool = False,
        transform: Transform | None = drop_managed_fields,
    ) -> Informer:
        """The informer for these arguments; of `transform`, the first one given counts. Made after `start`, it runs
        at once."""
        key = (api_version, plural, namespace, label_selector, field_selector, metadata_only)
        found = self._informers.get(key)
        if found is None:
            resource = self.client.resource(api_version, plural, namespaced=namespaced, metadata_only=metadata_only)
            found = self._informers[key] = Informer(
                resource,
                namespace=namespace,
                label_selector=label_selector,
                field_selector=field_selector,
                transform=transform,
            )
            if self._started:
                self._run(found)
        return found

    def running(self, api_version: str, plural: str) -> Informer | None:
        """The informer of all objects of a resource, whole, if somebody has asked for one."""
        return self._informers.get((api_version, plural, "", "", "", False))

    def start(self) -> None:
        """Run all informers, those made later too. Idempotent."""
        self._started = True
        for informer in self._informers.values():
            if informer not in self._tasks:
                self._run(informer)

    async def synced(self) -> None:
        """Wait until every informer has its first list."""
        await asyncio.gather(*(informer.synced() for informer in [*self._informers.values()]))

    async def discard(self, informer: Informer) -> None:
        """Stop one and forget it (its resource is no longer served)."""
        self._informers = {key: kept for key, kept in self._informers.items() if kept is not informer}
        await _cancel([task] if (task := self._tasks.pop(informer, None)) else [])

    async def stop(self) -> None:
        """End all watches."""
        self._started = False
        tasks = [*self._tasks.values()]
        self._tasks.clear()
        await _cancel(tasks)

    def _run(self, informer: Informer) -> None:
        self._tasks[informer] = asyncio.create_task(informer.run(), name=f"informer {informer.resource.plural}")


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
