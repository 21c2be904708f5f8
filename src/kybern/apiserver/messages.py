"""Stored objects as protobuf messages: made at most once for all who ask, and kept for as long as somebody does.

Nothing of this is there until a client asks for protobuf: JSON is what is stored, and costs nothing more for it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from kybern.api import protobuf_encode
from kybern.apiserver.codec import Codec

if TYPE_CHECKING:
    from kybern.apiserver.watch_cache import Change, Item, WatchCache

SWEEP_SECONDS = 300.0
"""How long messages are kept that nobody asks for: so long at least, and at most twice as long."""


class Messages:
    """The messages of a cache's objects in one served version. Hears of changes: what is no more isn't kept."""

    def __init__(self, cache: WatchCache, codec: Codec) -> None:
        self._cache = cache
        self._codec = codec
        self._asked: dict[Item, bytes] = {}
        self._before: dict[Item, bytes] = {}
        """What was asked for since the last sweep, and what only before that."""
        self._encode = protobuf_encode.encoder(codec.served, codec.resource.kind)
        cache.listeners.add(self)
        self._timer = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)

    def of(self, item: Item) -> bytes:
        """An object's message. Raises Unencodable."""
        found = self._asked.get(item)
        if found is None:
            found = self._before.pop(item, None) or self.as_of(item, item.revision)
            if self._cache.items.get(item.key) is item:
                self._asked[item] = found
        return found

    def as_of(self, item: Item, revision: int) -> bytes:
        """The same of an object that is said to be of another revision."""
        return self._encode(self._codec.object(item.value, revision))

    def on_change(self, change: Change) -> None:
        if change.previous is not None:
            self._asked.pop(change.previous, None)
            self._before.pop(change.previous, None)

    def on_lost(self) -> None:
        """The cache starts over, with items of its own."""
        self._asked.clear()
        self._before.clear()

    def _sweep(self) -> None:
        self._before, self._asked = self._asked, {}
        if self._before:
            self._timer = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep)
            return
        self._cache.listeners.discard(self)
        del self._cache.messages[self._codec]


def messages_of(cache: WatchCache, codec: Codec) -> Messages:
    """Those of a version; made when one is first asked for. Raises Unencodable."""
    found = cache.messages.get(codec)
    if found is None:
        found = cache.messages[codec] = Messages(cache, codec)
    return found
