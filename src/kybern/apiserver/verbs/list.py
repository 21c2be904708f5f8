"""list: a join of stored bytes; in pages, as of a revision, selected, as a Table or as metadata only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson

from kybern.api import protobuf_encode, tables
from kybern.api.protobuf_encode import Unencodable
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver import paging
from kybern.apiserver.answers import go_type, included, instead, rendered, served_rows
from kybern.apiserver.app import App
from kybern.apiserver.codec import Codec, codec_of, decode
from kybern.apiserver.messages import messages_of
from kybern.apiserver.negotiation import PROTOBUF, TABLE, Shape, check_kind, shape_of
from kybern.apiserver.request import JSON, Request, Response
from kybern.apiserver.selection import selection
from kybern.apiserver.watch_cache import Item, WatchCache

BATCH = 100
"""Items joined at a time: large lists are sent as they are made, so that they never are in memory whole."""
BATCH_BYTES = 512 * 1024
"""Of large items fewer are joined: each client that reads slowly holds what was made for it."""


async def serve(app: App, request: Request, resource: Resource) -> Response:
    """Raises BadRequest, Invalid (options), Expired."""
    cache = await app.registry.ready(resource)
    shape = shape_of(request)
    namespace = request.info.namespace if resource.namespaced else ""
    asked = paging.options(request)
    if request.arg("resourceVersion") != "0":
        await cache.fresh_for_list()
    chosen = selection(request, resource, cache)
    found = await paging.page(app.registry.store_of(resource), cache, chosen, namespace, asked)
    return await answer(request, resource, cache, found, shape)


async def answer(
    request: Request, resource: Resource, cache: WatchCache, found: paging.Page, shape: Shape
) -> Response:
    """A page of a list in the shape asked for. Raises NotAcceptable."""
    meta: Object = {"resourceVersion": str(found.revision)}
    if found.next:
        meta["continue"] = found.next
        if found.remaining is not None:
            meta["remainingItemCount"] = found.remaining
    codec = codec_of(resource, request.info.version)
    if shape.protobuf and not shape.kind:
        try:
            return await _messages(cache, codec, meta, found.items)
        except Unencodable as error:
            shape = instead(request, error)
    if shape.plain:
        return _joined(codec, meta, found.items)
    if shape.kind:
        check_kind(shape, go_type(resource, listed=True), listed=True)
        objects = (decode(item.value, item.revision) for item in found.items)
        if shape.kind != TABLE:
            return rendered(request, tables.partial_list(objects, meta, shape.version), shape)
        made = tables.table(
            resource, objects, include=included(request), list_meta=meta, version=request.info.version,
            meta_version=shape.version,
        )  # fmt: skip
        return rendered(request, served_rows(resource, request, made), shape)
    objects_served = [codec.object(item.value, item.revision) for item in found.items]
    return rendered(request, {**_head(codec, meta), "items": objects_served}, shape)


def _head(codec: Codec, meta: Object) -> Object:
    return {"kind": f"{codec.resource.kind}List", "apiVersion": codec.served, "metadata": meta}


def _joined(codec: Codec, meta: Object, items: list[Item]) -> Response:
    head = orjson.dumps(_head(codec, meta))[:-1] + b',"items":['
    if len(items) <= BATCH and sum([len(item.value) for item in items]) <= BATCH_BYTES:
        return Response(200, b"%b%b]}" % (head, _part(codec, items)))
    if not codec.plain:
        parts = [_part(codec, items[at : at + BATCH]) for at in range(0, len(items), BATCH)]
        return Response(200, b"%b%b]}" % (head, b",".join(parts)))
    # Known before it is made: each item, the commas between, the head and the two brackets.
    length = len(head) + 2 + len(items) - 1 + codec.item_lengths(items)
    return Response(200, _parts(codec, head, items), JSON, [("content-length", str(length))])


def _part(codec: Codec, items: list[Item]) -> bytes:
    pieces: list[bytes | memoryview] = []
    for item in items:
        pieces += codec.item(item.value, item.revision)
        pieces.append(b",")
    return b"".join(pieces[:-1])


async def _messages(cache: WatchCache, codec: Codec, meta: Object, items: list[Item]) -> Response:
    """The list in protobuf. All is encoded before anything is sent: whether it can be, and how long it is."""
    kept = messages_of(cache, codec)
    start = protobuf_encode.list_start(meta)
    parts: list[bytes] = []
    for at in range(0, len(items), BATCH):
        if at:
            await asyncio.sleep(0)
        for item in items[at : at + BATCH]:
            message = kept.of(item)
            parts += (protobuf_encode.ITEM + protobuf_encode.varint(len(message)), message)
    size = sum(map(len, parts))
    head = protobuf_encode.head(codec.served, f"{codec.resource.kind}List")
    head += protobuf_encode.varint(len(start) + size) + start
    if len(items) <= BATCH:
        return Response(200, b"".join((head, *parts, protobuf_encode.END)), PROTOBUF)
    length = len(head) + size + len(protobuf_encode.END)
    return Response(200, _pieces(head, parts), PROTOBUF, [("content-length", str(length))])


async def _pieces(head: bytes, parts: list[bytes]) -> AsyncIterator[bytes]:
    piece, size = [head], len(head)
    for part in parts:
        piece.append(part)
        size += len(part)
        if size >= BATCH_BYTES:
            yield b"".join(piece)
            piece, size = [], 0
    yield b"".join((*piece, protobuf_encode.END))


async def _parts(codec: Codec, head: bytes, items: list[Item]) -> AsyncIterator[bytes]:
    end = 0
    while end < len(items):
        at, end = end, _batch_end(items, end)
        last = end == len(items)
        yield b"%b%b%b" % (head if at == 0 else b"", _part(codec, items[at:end]), b"]}" if last else b",")


def _batch_end(items: list[Item], at: int) -> int:
    """Where the batch ends that begins at an index."""
    size, end = 0, min(at + BATCH, len(items))
    for index in range(at, end):
        size += len(items[index].value)
        if size >= BATCH_BYTES:
            return index + 1
    return end
