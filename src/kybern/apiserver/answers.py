"""Answers made of stored objects, in the shape that was asked for."""

from __future__ import annotations

from typing import Any

import orjson
import yaml

from kybern.api import tables
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver.codec import codec_of, decode
from kybern.apiserver.negotiation import TABLE, Shape, negotiate
from kybern.apiserver.request import JSON, Request, Response
from kybern.store.base import Entry

YAML = "application/yaml"


def rendered(obj: Any, shape: Shape, status: int = 200) -> Response:
    """An answer of one decoded document, as JSON or YAML."""
    if shape.yaml:
        return Response(status, yaml.safe_dump(obj, sort_keys=False, allow_unicode=True).encode(), YAML)
    return Response(status, orjson.dumps(obj), JSON)


def stored_object(request: Request, resource: Resource, value: bytes, revision: int, status: int = 200) -> Response:
    """An answer of one stored object in the request's version. Raises NotAcceptable."""
    shape = negotiate(request.headers.get("accept", ""))
    codec = codec_of(resource, request.info.version)
    if shape.plain:
        return Response(status, codec.document(value, revision))
    if shape.kind == TABLE:
        stored = decode(value, revision)
        include = request.arg("includeObject") or "Metadata"
        list_meta = {"resourceVersion": str(revision)}
        made = tables.table(resource, [stored], include=include, list_meta=list_meta, version=request.info.version)
        return rendered(served_rows(resource, request, made), shape, status)
    if shape.kind:
        return rendered(tables.partial(decode(value, revision)), shape, status)
    return rendered(codec.object(value, revision), shape, status)


def written(request: Request, resource: Resource, entry: Entry, status: int = 200) -> Response:
    """An answer of what a write made; what a dry run would have made has no resourceVersion of its own."""
    if entry.mod_revision:
        return stored_object(request, resource, entry.value, entry.mod_revision, status)
    return unstored_object(request, resource, orjson.loads(entry.value), status)


def unstored_object(request: Request, resource: Resource, obj: Object, status: int = 200) -> Response:
    """The same for an object in the storage version that is not stored (dry run), or as it was (deletion)."""
    shape = negotiate(request.headers.get("accept", ""))
    if shape.kind == TABLE:
        return rendered(tables.table(resource, [obj], version=request.info.version), shape, status)
    if shape.kind:
        return rendered(tables.partial(obj), shape, status)
    return rendered(resource.from_storage(obj, request.info.version), shape, status)


def served_rows(resource: Resource, request: Request, table: Object) -> Object:
    """A Table whose whole objects, if it has them, are in the request's version."""
    codec = codec_of(resource, request.info.version)
    if not codec.plain:
        for row in table["rows"]:
            if row["object"] and row["object"].get("kind") != "PartialObjectMetadata":
                row["object"] = resource.from_storage(row["object"], request.info.version)
    return table
