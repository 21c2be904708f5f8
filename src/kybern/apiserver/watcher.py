"""One client's watch: initial objects, changes as they come, bookmarks, and its end.

Changes are encoded once for all watchers that want the same shape; a watcher decides what a change is to it (an object
that leaves its selection is DELETED, one that enters it ADDED) and hands the shared bytes on. A watcher whose client
doesn't keep up queues what it owes; one that owes too much is dropped, and resumes from where it was or gets a 410.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from kybern.api import tables
from kybern.api.errors import APIError
from kybern.api.types import Object
from kybern.apiserver.codec import Codec, decode
from kybern.apiserver.negotiation import PLAIN, TABLE, Shape
from kybern.apiserver.request import JSON, Frame, Sink, Stream
from kybern.apiserver.selection import Selection
from kybern.apiserver.watch_cache import Change, Item, WatchCache

log = logging.getLogger(__name__)

BOOKMARK_SECONDS = 60.0
MAX_OWED, MAX_OWED_BYTES = 8192, 16 << 20
"""What a watch may be behind: changes, and their bytes; initial objects don't count. The cache's ring keeps no more
either, so who owes more couldn't go on from there."""

ADDED, MODIFIED, DELETED = "ADDED", "MODIFIED", "DELETED"
_TYPE_HEADS = {type_: f'{{"type":"{type_}","object":'.encode() for type_ in (ADDED, MODIFIED, DELETED)}


def _nothing() -> None: ...


class View:
    """How a watch's objects look: served version and shape. Equal views share frames by `key`."""

    __slots__ = ("codec", "include", "key", "shape")

    content_type = JSON

    def __init__(self, codec: Codec, shape: Shape = PLAIN, include: str = "Metadata") -> None:
        self.codec = codec
        self.shape = shape
        self.include = include
        self.key = f"{codec.served}/{shape.kind}/{shape.version}/{include}/{shape.protobuf}"

    def encode(self, type_: str, item: Item, revision: int, *, headers: bool = False) -> Frame:
        """The watch event of an object as of `item`, said to be of `revision`. `headers`: of a Table's first event."""
        head = _TYPE_HEADS[type_]
        if not self.shape.kind:
            return Frame(b"%b%b}\n" % (head, self.codec.document(item.value, revision)))
        obj = decode(item.value, revision)
        if self.shape.kind != TABLE:
            return self.event(type_, tables.partial(obj, self.shape.version))
        resource = self.codec.resource
        made = tables.table(
            resource, [obj], include=self.include, list_meta={"resourceVersion": str(revision)}, headers=headers,
            version=self.codec.version, meta_version=self.shape.version,
        )  # fmt: skip
        if self.include == "Object" and not self.codec.plain:
            made["rows"][0]["object"] = resource.from_storage(obj, self.codec.version)
        return Frame(b"%b%b}\n" % (head, orjson.dumps(made)))

    def bookmark(self, revision: int, *, initial_end: bool) -> Frame:
        """A BOOKMARK event."""
        meta: Object = {"resourceVersion": str(revision), "creationTimestamp": None}
        if initial_end:
            meta["annotations"] = {"k8s.io/initial-events-end": "true"}
        obj: Object = {"kind": self.codec.resource.kind, "apiVersion": self.codec.served, "metadata": meta}
        if self.shape.kind == TABLE:
            obj = tables.table(
                self.codec.resource, [], list_meta=meta, headers=False, version=self.codec.version,
                meta_version=self.shape.version,
            )  # fmt: skip
        elif self.shape.kind:
            obj = tables.partial(obj, self.shape.version)
        return self.event("BOOKMARK", obj)

    def event(self, type_: str, obj: Object) -> Frame:
        """An event of any object."""
        return Frame(b'{"type":"%b","object":%b}\n' % (type_.encode(), orjson.dumps(obj)))


class Watcher(Stream):
    """A watch that is answered. Made by verbs/watch.py, started by the listener."""

    __slots__ = (
        "_bookmarks", "_cache", "_deadline", "_first", "_initial", "_initial_end", "_loop", "_owed", "_owed_bytes",
        "_selection", "_since", "_sink", "_timers", "_view", "begun",
    )  # fmt: skip

    def __init__(
        self,
        cache: WatchCache,
        selection: Selection,
        view: View,
        *,
        initial: Iterable[Item] = (),
        missed: Iterable[Change] = (),
        initial_end: bool = False,
        bookmarks: bool = False,
        timeout: float,
    ) -> None:
        """`initial` objects are told first, then (if `initial_end`) a bookmark, then `missed` changes, then what
        happens. Registers with the cache at once, so that nothing is lost before `start`."""
        super().__init__(view.content_type)
        self.headers.append(("x-content-type-options", "nosniff"))
        self._cache = cache
        self._selection = selection
        self._view = view
        self._initial = deque(initial)
        self._initial_end = initial_end
        self._since = cache.revision
        self._owed: deque[Change] = deque(missed)
        self._owed_bytes = 0
        self._bookmarks = bookmarks
        self._deadline = timeout
        self._sink: Sink | None = None
        self.begun: Callable[[], None] = _nothing
        """Called once, when all is told that there was to tell at the start, or the watch ends before."""
        self._timers: list[asyncio.TimerHandle] = []
        self._first = view.shape.kind == TABLE
        self._loop = asyncio.get_running_loop()
        cache.listeners.add(self)
        cache.codecs.add(view.codec)

    def start(self, sink: Sink) -> None:
        self._sink = sink
        self._timers = [self._loop.call_later(self._deadline, self._expire)]
        if self._bookmarks:
            self._timers.append(self._loop.call_later(BOOKMARK_SECONDS, self._bookmark))
        self.resumed()

    def resumed(self) -> None:
        """Tell what is owed, as far as the client takes it in."""
        sink = self._sink
        if sink is None:
            return
        while self._initial and not sink.congested:
            item = self._initial.popleft()
            frame = self._encode(ADDED, item, item.revision)
            self._view.codec.told.observe(len(frame.data))
            sink.write(frame)
        if self._initial:
            return
        if self._initial_end and not sink.congested:
            self._initial_end = False
            if self._bookmarks:
                sink.write(self._view.bookmark(self._since, initial_end=True))
        while self._owed and not sink.congested:
            self._tell(sink, self._owed.popleft())
        if not self._owed:
            self._owed_bytes = 0
            self._settle()

    def _settle(self) -> None:
        begun, self.begun = self.begun, _nothing
        begun()

    def closed(self) -> None:
        self._settle()
        self._sink = None
        self._cache.listeners.discard(self)
        for timer in self._timers:
            timer.cancel()
        self._initial.clear()
        self._owed.clear()

    def on_change(self, change: Change) -> None:
        sink = self._sink
        if sink is None or self._owed or self._initial or self._initial_end or sink.congested:
            if not self._concerned(change):
                return
            self._owed.append(change)
            self._owed_bytes += len(change.item.value)
            if len(self._owed) > MAX_OWED or self._owed_bytes > MAX_OWED_BYTES:
                log.info("a watch of %s fell behind, and ends", self._cache.prefix)
                self._cache.dropped += 1
                self._end()
        else:
            self._tell(sink, change)

    def _concerned(self, change: Change) -> bool:
        matches, previous = self._selection.matches, change.previous
        return matches(change.item) or (previous is not None and matches(previous))

    def on_lost(self) -> None:
        """Changes may be missing: end, so that the client starts over."""
        self._end()

    def _tell(self, sink: Sink, change: Change) -> None:
        selection, item, previous = self._selection, change.item, change.previous
        after = not change.deleted and selection.matches(item)
        before = previous is not None and selection.matches(previous)
        if after:
            type_ = MODIFIED if before else ADDED
            source = item
        elif before:
            type_ = DELETED
            # One that left the selection is shown as it was while in it.
            source = item if change.deleted or previous is None else previous
        else:
            return
        frame = None if self._first else change.frames.get((type_, self._view.key))
        if frame is None:
            frame = self._encode(type_, source, item.revision)
            if not self._view.shape.kind or not self._first:
                change.frames[(type_, self._view.key)] = frame
        self._view.codec.told.observe(len(frame.data))
        sink.write(frame)

    def _encode(self, type_: str, item: Item, revision: int) -> Frame:
        headers, self._first = self._first, False
        return self._view.encode(type_, item, revision, headers=headers)

    def _bookmark(self) -> None:
        self._timers = [timer for timer in self._timers if not timer.cancelled()]
        sink = self._sink
        if sink is None:
            return
        if not (self._owed or self._initial or sink.congested):
            sink.write(self._view.bookmark(self._reached, initial_end=False))
        self._timers[1:] = [self._loop.call_later(BOOKMARK_SECONDS, self._bookmark)]

    def _expire(self) -> None:
        if self._sink is not None and self._bookmarks and not (self._owed or self._initial or self._sink.congested):
            self._sink.write(self._view.bookmark(self._reached, initial_end=False))
        self._end()

    @property
    def _reached(self) -> int:
        """The revision up to which everything has been told."""
        return self._cache.revision

    def _end(self) -> None:
        sink = self._sink
        self.closed()
        if sink is not None:
            sink.finish()


class FutureWatcher(Watcher):
    """A watch from a revision that is yet to come: it hears of nothing before."""

    __slots__ = ("_after",)

    def __init__(self, cache: WatchCache, selection: Selection, view: View, after: int, **more: Any) -> None:
        super().__init__(cache, selection, view, **more)
        self._after = after

    @property
    def _reached(self) -> int:
        return max(self._after, self._cache.revision)

    def on_change(self, change: Change) -> None:
        if change.item.revision > self._after:
            super().on_change(change)


class FailedWatch(Stream):
    """A watch that can't be: one ERROR event, then the end. That is how clients expect a 410."""

    __slots__ = ("_error", "_view")

    def __init__(self, error: APIError, view: View) -> None:
        super().__init__(view.content_type)
        self._error = error
        self._view = view

    def start(self, sink: Sink) -> None:
        sink.write(self._view.event("ERROR", self._error.status()))
        sink.finish()
