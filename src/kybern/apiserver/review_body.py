"""Reading the bodies of requests whose objects are answered, not stored: reviews and token requests."""

from __future__ import annotations

from kybern.api import codec, decoding, schema
from kybern.api.errors import BadRequest
from kybern.api.types import Object
from kybern.apiserver.request import JSON, Request


def read(request: Request, api_version: str, kind: str) -> Object:
    """The body as an object of that kind, with metadata and spec. Raises BadRequest, UnsupportedMediaType."""
    obj = codec.decode(request.body, request.headers.get("content-type", JSON)) if request.body else {}
    given = (obj.setdefault("apiVersion", api_version), obj.setdefault("kind", kind))
    if given != (api_version, kind):
        raise BadRequest(
            f"the object provided is unrecognized (must be of type {kind}): "
            f"{given[1]} in version {given[0]} is not {kind} in version {api_version}"
        )
    found = schema.builtin().kind(api_version, kind)
    if found is not None:
        decoding.check(found, obj)
    obj.setdefault("metadata", {})
    obj.setdefault("spec", {})
    return obj
