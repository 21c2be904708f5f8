"""Answers made of stored objects, and of errors, in the shape that was asked for."""

from __future__ import annotations

import logging
from typing import Any

import orjson

from kybern.api import protobuf_encode, tables
from kybern.api.errors import APIError, BadRequest, NotAcceptable
from kybern.api.protobuf_encode import Unencodable
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver.app import App
from kybern.apiserver.codec import codec_of, decode
from kybern.apiserver.messages import messages_of
from kybern.apiserver.negotiation import JSON, PROTOBUF, TABLE, YAML, Shape, check_kind, shape_of, unconverted
from kybern.apiserver.request import Request, Response, status_response
from kybern.apiserver.watch_cache import Item, WatchCache
from kybern.store.base import Entry

log = logging.getLogger(__name__)


def rendered(request: Request, obj: Any, shape: Shape, status: int = 200) -> Response:
    """An answer of one decoded document, as JSON, YAML or protobuf; as another of those that the request accepts where
    there is no protobuf of it. Raises NotAcceptable."""
    if shape.protobuf:
        try:
            return Response(status, protobuf_encode.encode(obj), PROTOBUF)
        except Unencodable as error:
            shape = instead(request, error)
    return _text(obj, shape, status)


def _text(obj: Any, shape: Shape, status: int) -> Response:
    if shape.yaml:
        import yaml

        return Response(status, yaml.safe_dump(obj, sort_keys=True, allow_unicode=True).encode(), YAML)
    if shape.pretty:
        return Response(status, orjson.dumps(obj, option=orjson.OPT_INDENT_2), JSON)
    return Response(status, orjson.dumps(obj), JSON)


def instead(request: Request, error: Unencodable, *, stream: bool = False) -> Shape:
    """The shape for what can't be written in protobuf. Raises NotAcceptable."""
    log.info("%s %s can't be answered in protobuf: %s", request.method, request.path, error)
    return shape_of(request, stream=stream, protobuf=False)


def refused(request: Request, error: APIError) -> Response:
    """The Status of an error, as the request wants to read it; as JSON where that can't be."""
    response = status_response(error)
    try:
        shape = unconverted(request)
        shown = response if shape.plain else rendered(request, error.status(), shape, error.code)
    except NotAcceptable:
        return response
    response.body, response.headers = shown.body, [*shown.headers[:1], *response.headers[1:]]
    return response


def success(request: Request, details: Object | None = None, code: int = 200) -> Response:
    """The Status of something done that has no object to show. Raises NotAcceptable."""
    body: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    body |= {"details": details} if details else {"code": code}
    return rendered(request, body, shape_of(request), code)


def go_type(resource: Resource, *, listed: bool) -> str:
    """How messages of upstream's name the type of an object, or of a list of them."""
    if resource.custom:
        return "*unstructured.UnstructuredList" if listed else "*unstructured.Unstructured"
    return f"*{resource.group.partition('.')[0] or 'core'}.{resource.kind}{'List' if listed else ''}"


def included(request: Request) -> str:
    """What the rows of a Table are to hold. Raises BadRequest."""
    asked = request.arg("includeObject")
    if asked and asked not in tables.INCLUDE:
        raise BadRequest(
            f'Unable to convert to Table as requested: includeObject: Invalid value: "{asked}": '
            "must be 'Metadata', 'Object', 'None', or empty"
        )
    return asked or "Metadata"


def kept_object(
    request: Request, resource: Resource, cache: WatchCache, item: Item, shape: Shape, status: int = 200
) -> Response:
    """An answer of an object in a cache, which keeps its protobuf for the next who asks. Raises NotAcceptable."""
    codec = codec_of(resource, request.info.version)
    try:
        message = messages_of(cache, codec).of(item)
    except Unencodable as error:
        return stored_object(request, resource, instead(request, error), item.value, item.revision, status)
    return Response(status, protobuf_encode.wrapped(codec.served, resource.kind, message), PROTOBUF)


def stored_object(
    request: Request, resource: Resource, shape: Shape, value: bytes, revision: int, status: int = 200
) -> Response:
    """An answer of one stored object in the request's version. Raises NotAcceptable."""
    codec = codec_of(resource, request.info.version)
    if shape.plain:
        return Response(status, codec.document(value, revision))
    if shape.kind:
        return _cut_down(request, resource, decode(value, revision), shape, status)
    return rendered(request, codec.object(value, revision), shape, status)


def _cut_down(request: Request, resource: Resource, stored: Object, shape: Shape, status: int) -> Response:
    """A Table or the metadata of one object in the storage version."""
    check_kind(shape, go_type(resource, listed=False), listed=False)
    if shape.kind != TABLE:
        return rendered(request, tables.partial(stored, shape.version), shape, status)
    revision = stored["metadata"].get("resourceVersion")
    list_meta = {"resourceVersion": revision} if revision else {}
    made = tables.table(
        resource, [stored], include=included(request), list_meta=list_meta, version=request.info.version,
        meta_version=shape.version,
    )  # fmt: skip
    return rendered(request, served_rows(resource, request, made), shape, status)


def written(app: App, request: Request, resource: Resource, entry: Entry, status: int = 200) -> Response:
    """An answer of what a write made; what a dry run would have made has no resourceVersion of its own. Raises
    NotAcceptable."""
    if not entry.mod_revision:
        return unstored_object(request, resource, orjson.loads(entry.value), status)
    shape = shape_of(request)
    if shape.protobuf and not shape.kind:
        # Watches may have told of it already, and then it is encoded.
        cache = app.registry.cache(resource)
        item = cache.items.get(entry.key)
        if item is not None and item.revision == entry.mod_revision and item.value == entry.value:  # no dry run
            return kept_object(request, resource, cache, item, shape, status)
    return stored_object(request, resource, shape, entry.value, entry.mod_revision, status)


def unstored_object(request: Request, resource: Resource, obj: Object, status: int = 200) -> Response:
    """The same for an object in the storage version that is not stored (dry run), or as it was (deletion)."""
    shape = shape_of(request)
    if shape.kind:
        return _cut_down(request, resource, obj, shape, status)
    return rendered(request, resource.from_storage(obj, request.info.version), shape, status)


def served_rows(resource: Resource, request: Request, table: Object) -> Object:
    """A Table whose whole objects, if it has them, are in the request's version."""
    codec = codec_of(resource, request.info.version)
    if not codec.plain:
        for row in table["rows"]:
            if row["object"] and row["object"].get("kind") != "PartialObjectMetadata":
                row["object"] = resource.from_storage(row["object"], request.info.version)
    return table
