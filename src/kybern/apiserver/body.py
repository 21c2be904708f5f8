"""From a request's body to an object of the resource: decoded, of the right kind, with fields of the right types.

Source: API concepts, "Field validation"; messages are upstream's.
"""

from __future__ import annotations

from collections.abc import Sequence

from kybern.api import codec, decoding, schema
from kybern.api.apiextensions.custom import CustomResource
from kybern.api.errors import BadRequest
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver.options import WriteOptions
from kybern.apiserver.request import Request
from kybern.apiserver.types import type_of

_SHOWN = 30
"""Bytes of a body that is no object."""
NAMESPACES_DIFFER = "the namespace of the provided object does not match the namespace sent on the request"


def read(request: Request, resource: Resource, options: WriteOptions) -> Object:
    """The object in the body, in the request's version. Raises BadRequest, UnsupportedMediaType."""
    content_type = request.headers.get("content-type", "")
    try:
        obj = codec.decode(request.body, content_type)
    except BadRequest as error:
        raise BadRequest(
            f"the object provided is unrecognized (must be of type {resource.kind}): {error.message} "
            f"({_summary(request.body)})"
        ) from None
    repeated = codec.duplicates(request.body, content_type, obj) if options.validation != "Ignore" else ()
    identify(obj, resource, request.info.version)
    unknown = check(obj, resource, request.info.version)
    complain(request, obj, options, unknown, repeated)
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = obj["metadata"] = {}
    if not isinstance(metadata, dict):
        raise decoding.cannot_be_handled(
            obj, "json: cannot unmarshal into Go struct field .metadata of type v1.ObjectMeta"
        )
    if request.trail is not None:
        request.trail.refer(metadata)
    return obj


def _summary(body: bytes) -> str:
    """What came instead of an object, in short."""
    if not body:
        return "<empty>"
    start = body[:_SHOWN].decode("utf-8", "replace") if body.startswith(b"{") else body[:_SHOWN].hex()
    return f"{start} ..." if len(body) > _SHOWN else start


def identify(obj: Object, resource: Resource, version: str) -> None:
    """See that it is of the resource's kind; fill in kind and apiVersion where left out. Raises BadRequest."""
    served = f"{resource.group}/{version}" if resource.group else version
    api_version, kind = obj.get("apiVersion") or served, obj.get("kind") or resource.kind
    if api_version != served:
        raise BadRequest(
            f"the API version in the data ({api_version}) does not match the expected API version ({served})"
        )
    if kind != resource.kind:
        raise BadRequest(
            f'{kind} in version "{version}" cannot be handled as a {resource.kind}: {_differs(resource, version, kind)}'
        )
    obj["apiVersion"], obj["kind"] = served, kind


def _differs(resource: Resource, version: str, kind: str) -> str:
    if resource.custom or schema.builtin().kind(resource.api_version(version), kind) is None:
        where = f"{resource.group}/{version}" if resource.group else version
        return f'no kind "{kind}" is registered for version "{where}" in scheme "pkg/api/legacyscheme/scheme.go:30"'
    package = resource.group.partition(".")[0] or "core"
    return f"converting ({version}.{kind}) to ({package}.{resource.kind}): unknown conversion"


def check(obj: Object, resource: Resource, version: str) -> list[str]:
    """Check types, drop unknown fields; gives their paths. Raises BadRequest."""
    if isinstance(resource, CustomResource):
        return resource.prune(obj, version)
    typ = type_of(resource, version)
    return decoding.check(typ, obj) if typ is not None else []


def complain(
    request: Request, obj: Object, options: WriteOptions, unknown: Sequence[str], duplicates: Sequence[str]
) -> None:
    """Refuse or warn of fields that are unknown or come twice, as fieldValidation says. Raises BadRequest."""
    if options.validation == "Ignore" or not (unknown or duplicates):
        return
    if options.validation == "Strict":
        raise decoding.strict_error(obj, unknown, duplicates)
    request.warnings += decoding.strict_texts(unknown, duplicates)


def place(obj: Object, resource: Resource, namespace: str, name: str = "") -> None:
    """See that the object is of the namespace and name in the path; fill the namespace in. Raises BadRequest.
    `name` is empty for a path without one."""
    metadata = obj["metadata"]
    if resource.namespaced:
        if metadata.get("namespace", namespace) not in ("", namespace):
            raise BadRequest(NAMESPACES_DIFFER)
        metadata["namespace"] = namespace
    if name:
        check_name(metadata, name)


def check_name(metadata: Object, name: str) -> None:
    """See that the object is named as in the path. Raises BadRequest."""
    given = metadata.get("name")
    if not given:
        raise BadRequest("the name of the object (based on URL) was undeterminable: name must be provided")
    if given != name:
        raise BadRequest(f"the name of the object ({given}) does not match the name on the URL ({name})")
