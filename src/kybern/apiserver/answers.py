"""Answers made of stored objects, and of errors, in the shape that was asked for."""

from __future__ import annotations

from typing import Any

import orjson

from kybern.api import tables
from kybern.api.errors import APIError, BadRequest, NotAcceptable
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver.codec import codec_of, decode
from kybern.apiserver.negotiation import TABLE, Shape, check_kind, shape_of
from kybern.apiserver.request import JSON, Request, Response, status_response
from kybern.store.base import Entry

YAML = "application/yaml"


def rendered(obj: Any, shape: Shape, status: int = 200) -> Response:
    """An answer of one decoded document, as JSON or YAML."""
    if shape.yaml:
        import yaml

        return Response(status, yaml.safe_dump(obj, sort_keys=True, allow_unicode=True).encode(), YAML)
    if shape.pretty:
        return Response(status, orjson.dumps(obj, option=orjson.OPT_INDENT_2), JSON)
    return Response(status, orjson.dumps(obj), JSON)


def refused(request: Request, error: APIError) -> Response:
    """The Status of an error, as the request wants to read it; as JSON where that can't be."""
    response = status_response(error)
    try:
        shape = shape_of(request)
    except NotAcceptable:
        return response
    if shape.yaml or shape.pretty:
        shown = rendered(error.status(), shape, error.code)
        response.body, response.headers = shown.body, [*shown.headers, *response.headers[1:]]
    return response


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


def stored_object(request: Request, resource: Resource, value: bytes, revision: int, status: int = 200) -> Response:
    """An answer of one stored object in the request's version. Raises NotAcceptable."""
    shape = shape_of(request)
    codec = codec_of(resource, request.info.version)
    if shape.plain:
        return Response(status, codec.document(value, revision))
    if shape.kind:
        return _cut_down(request, resource, decode(value, revision), shape, status)
    return rendered(codec.object(value, revision), shape, status)


def _cut_down(request: Request, resource: Resource, stored: Object, shape: Shape, status: int) -> Response:
    """A Table or the metadata of one object in the storage version."""
    check_kind(shape, go_type(resource, listed=False), listed=False)
    if shape.kind != TABLE:
        return rendered(tables.partial(stored, shape.version), shape, status)
    revision = stored["metadata"].get("resourceVersion")
    list_meta = {"resourceVersion": revision} if revision else {}
    made = tables.table(
        resource, [stored], include=included(request), list_meta=list_meta, version=request.info.version,
        meta_version=shape.version,
    )  # fmt: skip
    return rendered(served_rows(resource, request, made), shape, status)


def written(request: Request, resource: Resource, entry: Entry, status: int = 200) -> Response:
    """An answer of what a write made; what a dry run would have made has no resourceVersion of its own."""
    if entry.mod_revision:
        return stored_object(request, resource, entry.value, entry.mod_revision, status)
    return unstored_object(request, resource, orjson.loads(entry.value), status)


def unstored_object(request: Request, resource: Resource, obj: Object, status: int = 200) -> Response:
    """The same for an object in the storage version that is not stored (dry run), or as it was (deletion)."""
    shape = shape_of(request)
    if shape.kind:
        return _cut_down(request, resource, obj, shape, status)
    return rendered(resource.from_storage(obj, request.info.version), shape, status)


def served_rows(resource: Resource, request: Request, table: Object) -> Object:
    """A Table whose whole objects, if it has them, are in the request's version."""
    codec = codec_of(resource, request.info.version)
    if not codec.plain:
        for row in table["rows"]:
            if row["object"] and row["object"].get("kind") != "PartialObjectMetadata":
                row["object"] = resource.from_storage(row["object"], request.info.version)
    return table
