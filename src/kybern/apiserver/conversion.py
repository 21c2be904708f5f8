"""A store over a store: objects of a custom kind are shown in one of its versions, whichever they are stored in, and
stored in the version that its definition says.

A kind with several versions has one of these, and so one watch cache, per version that is asked for: conversion, which
may be a webhook's, happens once for each change and not for each reader.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from kybern.api.apiextensions.custom import CustomResource
from kybern.apiserver.codec import encode, prefix
from kybern.store.base import Entry, Event, Page, Store, StoreError, Unreadable, Watch

BATCH = 100
"""Objects that are converted at a time."""
MEMORY = 256
"""Converted values that are remembered: those of our own writes come back through the watch."""


class ConvertingStore:
    """`inner`, with the values of one kind in `resource`'s version. Raises what the kind's converter raises."""

    def __init__(self, inner: Store, resource: CustomResource) -> None:
        self._inner, self._resource = inner, resource
        self._here = prefix(resource.kind, resource.api_version())
        self._there = prefix(resource.kind, resource.api_version(resource.written_as))
        self._known: OrderedDict[bytes, bytes] = OrderedDict()

    def __getattr__(self, name: str) -> Any:
        """What has no values passes through."""
        return getattr(self._inner, name)

    # Values

    def at_once(self, value: bytes) -> bytes | None:
        """The value in this version, where that needs no conversion."""
        if value.startswith(self._here) or isinstance(value, Unreadable):
            return value
        return self._known.get(value)

    async def values(self, stored: Sequence[bytes]) -> list[bytes]:
        """Stored values in this version."""
        found = [self.at_once(value) for value in stored]
        missing = [index for index, value in enumerate(found) if value is None]
        for start in range(0, len(missing), BATCH):
            part = missing[start : start + BATCH]
            made = await self._converted([stored[index] for index in part], self._resource.stored_as)
            for index, value in zip(part, made, strict=True):
                found[index] = value
                self._known[stored[index]] = value
        while len(self._known) > MEMORY:
            self._known.popitem(last=False)
        return [value for value in found if value is not None]

    async def _converted(self, values: Sequence[bytes], version: str) -> list[bytes]:
        made = await self._resource.converted([orjson.loads(value) for value in values], version)
        return [encode(obj) for obj in made]

    async def _shown(self, entry: Entry) -> Entry:
        [value] = await self.values([entry.value])
        return _with(entry, value)

    async def _written(self, value: bytes) -> bytes:
        if value.startswith(self._there):
            return value
        return (await self._converted([value], self._resource.written_as))[0]

    async def outdated(self, key: str) -> bool:
        """Whether the value would be stored in another version if it were written today."""
        entry = await self._inner.get(key)
        return entry is not None and not entry.value.startswith(self._there)

    # The store

    async def get(self, key: str, *, revision: int = 0) -> Entry | None:
        entry = await self._inner.get(key, revision=revision)
        return await self._shown(entry) if entry is not None else None

    async def list(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        page = await self._inner.list(prefix, start=start, limit=limit, revision=revision)
        values = await self.values([entry.value for entry in page.entries])
        entries = [_with(entry, value) for entry, value in zip(page.entries, values, strict=True)]
        return Page(entries, page.revision, page.remaining)

    async def create(self, key: str, value: bytes, *, lease: int = 0) -> Entry:
        return await self._shown(await self._inner.create(key, await self._written(value), lease=lease))

    async def update(self, key: str, value: bytes, *, expect: int, lease: int = 0) -> Entry:
        written = await self._written(value)
        return await self._shown(await self._inner.update(key, written, expect=expect, lease=lease))

    async def watch(
        self,
        prefix: str,
        *,
        after: int,
        on_events: Callable[[Sequence[Event]], None],
        on_lost: Callable[[StoreError], None],
    ) -> Watch:
        made = _ConvertedWatch(self, after, on_events, on_lost)
        made.begin(await self._inner.watch(prefix, after=after, on_events=made.take, on_lost=made.lose))
        return made


def _with(entry: Entry, value: bytes) -> Entry:
    if value is entry.value:
        return entry
    return Entry(entry.key, value, entry.create_revision, entry.mod_revision, entry.lease)


class _ConvertedWatch:
    """A watch whose events are handed on in order, as soon as they are converted."""

    def __init__(
        self,
        store: ConvertingStore,
        after: int,
        on_events: Callable[[Sequence[Event]], None],
        on_lost: Callable[[StoreError], None],
    ) -> None:
        self.inner: Watch | None = None
        self._store, self._on_events, self._on_lost = store, on_events, on_lost
        self._waiting: deque[Sequence[Event]] = deque()
        self._handed = after
        self._moved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._problem: StoreError | None = None

    @property
    def revision(self) -> int:
        if self._waiting or self._problem or self.inner is None:
            return self._handed
        return self.inner.revision

    async def progress(self) -> None:
        assert self.inner is not None
        await self.inner.progress()
        wanted = self.inner.revision
        while self.revision < wanted:
            if self._problem is not None:
                raise self._problem
            await self._moved.wait()

    def begin(self, inner: Watch) -> None:
        """The watch of the store below is there. Raises StoreError if it is lost already."""
        self.inner = inner
        if self._problem is not None:
            inner.cancel()
            raise self._problem

    def cancel(self) -> None:
        self._waiting.clear()
        self._tell()
        if self._task is not None:
            self._task.cancel()
        if self.inner is not None:
            self.inner.cancel()

    def take(self, events: Sequence[Event]) -> None:
        """Events of the store below."""
        if not self._waiting:
            values = [self._store.at_once(event.entry.value) for event in events]
            if None not in values:
                self._hand(events, [value for value in values if value is not None])
                return
        self._waiting.append(events)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._convert(), name="conversion")

    def _hand(self, events: Sequence[Event], values: Sequence[bytes]) -> None:
        made = [
            Event(event.deleted, _with(event.entry, value), event.previous)
            for event, value in zip(events, values, strict=True)
        ]
        self._handed = events[-1].entry.mod_revision
        self._on_events(made)

    async def _convert(self) -> None:
        try:
            while self._waiting:
                events = self._waiting[0]
                values = await self._store.values([event.entry.value for event in events])
                self._waiting.popleft()
                self._hand(events, values)
                self._tell()
        except StoreError as error:
            self.lose(error)

    def lose(self, error: StoreError) -> None:
        """Nothing more comes."""
        self._problem = error
        self._waiting.clear()
        self._tell()
        if self.inner is not None:
            self.inner.cancel()
            self._on_lost(error)

    def _tell(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
