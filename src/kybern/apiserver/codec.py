"""Stored bytes and API bytes of an object.

Stored: `{"kind":K,"apiVersion":V,"metadata":{...},...}` in the storage version, without metadata.resourceVersion (the
store's revision is that). API bytes splice the resourceVersion in behind `"metadata":{`, so reading encodes nothing.
A version other than the stored one is decoded, converted and encoded again.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

import orjson

from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver.storage_metrics import EVENT_SIZES
from kybern.process.metrics import Tally

if TYPE_CHECKING:
    from kybern.apiserver.watch_cache import Item


def encode(obj: Object) -> bytes:
    """The stored bytes of an object in its storage version. Does not change `obj`."""
    meta = obj["metadata"]
    if "resourceVersion" in meta:
        meta = {name: value for name, value in meta.items() if name != "resourceVersion"}
    laid_out = {"kind": None, "apiVersion": None, "metadata": None, **obj}
    laid_out["metadata"] = meta
    return orjson.dumps(laid_out)


def decode(value: bytes, revision: int) -> Object:
    """A fresh object of stored bytes, in the storage version."""
    obj: Object = orjson.loads(value)
    obj["metadata"] = {"resourceVersion": str(revision), **obj["metadata"]}
    return obj


def prefix(kind: str, api_version: str) -> bytes:
    """What the bytes of every object of a kind and version start with."""
    return f'{{"kind":"{kind}","apiVersion":"{api_version}","metadata":{{'.encode()


class Codec:
    """How one resource's stored bytes look in one served version."""

    __slots__ = (
        "_item_head",
        "_items_bare",
        "_length",
        "_prefix",
        "_prefix_rv",
        "plain",
        "resource",
        "served",
        "told",
        "version",
    )

    def __init__(self, resource: Resource, version: str) -> None:
        self.resource = resource
        self.version = version
        self.told = Tally(EVENT_SIZES)
        """The bytes of watch events."""
        self.served = f"{resource.group}/{version}" if resource.group else version
        self.plain = self.served == resource.api_version() and not resource.filled_when_read
        """Whether what is stored is what is served."""
        self._prefix = prefix(resource.kind, self.served)
        self._prefix_rv = self._prefix + b'"resourceVersion":"'
        self._length = len(self._prefix)
        self._items_bare = not resource.custom
        self._item_head = b'{"metadata":{"resourceVersion":"' if self._items_bare else self._prefix_rv

    def document(self, value: bytes, revision: int) -> bytes:
        """The whole object as the API shows it."""
        if self.plain:
            return b'%b%d",%b' % (self._prefix_rv, revision, value[self._length :])
        return orjson.dumps(self.object(value, revision))

    def object(self, value: bytes, revision: int) -> Object:
        """A fresh object in the served version."""
        obj = decode(value, revision)
        return obj if self.plain else self.resource.from_storage(obj, self.version)

    def item(self, value: bytes, revision: int) -> tuple[bytes, bytes | memoryview]:
        """The object as an item of a list, in two pieces to be joined: built-in kinds leave kind and apiVersion out."""
        if self.plain:
            return b'%b%d",' % (self._item_head, revision), memoryview(value)[self._length :]
        obj = self.object(value, revision)
        if self._items_bare:
            obj = {name: part for name, part in obj.items() if name not in ("kind", "apiVersion")}
        return b"", orjson.dumps(obj)

    def item_lengths(self, items: Iterable[Item]) -> int:
        """The bytes that `item` gives for all of them; only where `plain`."""
        fixed = len(self._item_head) + 2 - self._length
        return sum(fixed + len(item.value) + len(str(item.revision)) for item in items)


@lru_cache(maxsize=4096)
def _codec(resource: Resource, version: str) -> Codec:
    return Codec(resource, version)


def codec_of(resource: Resource, version: str = "") -> Codec:
    """The codec of a served version (the stored one by default)."""
    return _codec(resource, version or resource.stored_as)
