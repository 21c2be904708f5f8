"""Watches in protobuf: each event is its length, in four bytes, and a WatchEvent that holds the object as a body would.

Source: API concepts, "Kubernetes Protobuf encoding".
"""

from __future__ import annotations

import logging

from kybern.api import protobuf_encode, tables
from kybern.api.errors import NotAcceptable
from kybern.api.protobuf_encode import Unencodable, delimited
from kybern.api.types import Object
from kybern.apiserver.codec import Codec, decode
from kybern.apiserver.messages import messages_of
from kybern.apiserver.negotiation import PROTOBUF, Shape
from kybern.apiserver.request import Frame
from kybern.apiserver.watch_cache import Item, WatchCache
from kybern.apiserver.watcher import View

log = logging.getLogger(__name__)


class ProtobufView(View):
    """Objects, or their metadata, in protobuf. Raises Unencodable where the kind has none."""

    __slots__ = ("_cache",)

    content_type = f"{PROTOBUF};stream=watch"

    def __init__(self, cache: WatchCache, codec: Codec, shape: Shape) -> None:
        super().__init__(codec, shape)
        self._cache = cache
        if not shape.kind:
            messages_of(cache, codec)

    def encode(self, type_: str, item: Item, revision: int, *, headers: bool = False) -> Frame:
        """The event of an object; of one that can't be encoded, an ERROR, at which clients list anew."""
        if self.shape.kind:
            return self.event(type_, tables.partial(decode(item.value, revision), self.shape.version))
        messages = messages_of(self._cache, self.codec)
        try:
            message = messages.of(item) if revision == item.revision else messages.as_of(item, revision)
        except Unencodable as error:
            log.info("a watch of %s can't go on in protobuf: %s", self.codec.resource.plural, error)
            return self.event("ERROR", NotAcceptable(str(error), details={}).status())
        return _frame(type_, protobuf_encode.wrapped(self.codec.served, self.codec.resource.kind, message))

    def event(self, type_: str, obj: Object) -> Frame:
        return _frame(type_, protobuf_encode.encode(obj))


def _frame(type_: str, body: bytes) -> Frame:
    """A WatchEvent: its type, and a RawExtension with the object's body."""
    event = b"\x0a%b\x12%b" % (delimited(type_.encode()), delimited(b"\x0a" + delimited(body)))
    return Frame(b"%b%b" % (len(event).to_bytes(4), event))
