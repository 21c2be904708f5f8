"""From a request's body to an object of the resource: decoded, of the right kind, with fields of the right types.

Source: API concepts, "Field validation"; messages are upstream's.
"""

from __future__ import annotations

from collections.abc import Sequence

from kybern.api import codec, decoding
from kybern.api.apiextensions.custom import CustomResource
from kybern.api.errors import BadRequest
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver.options import WriteOptions
from kybern.apiserver.request import Request
from kybern.apiserver.types import type_of

NAMESPACES_DIFFER = "the namespace of the provided object does not match the namespace sent on the request"


def read(request: Request, resource: Resource, options: WriteOptions) -> Object:
    """The object in the body, in the request's version. Raises BadRequest, UnsupportedMediaType."""
    obj = codec.decode(request.body, request.headers.get("content-type", ""))
    identify(obj, resource, request.info.version)
    unknown = check(obj, resource, request.info.version)
    strict = options.explicit_validation and options.validation != "Ignore"
    complain(request, obj, options, unknown, codec.duplicates(request.body) if strict else ())
    metadata = obj.get("metadata")
    if metadata is None:
        metadata = obj["metadata"] = {}
    if not isinstance(metadata, dict):
        raise decoding.cannot_be_handled(
            obj, "json: cannot unmarshal into Go struct field .metadata of type v1.ObjectMeta"
        )
    return obj


def identify(obj: Object, resource: Resource, version: str) -> None:
    """See that it is of the resource's kind; fill in kind and apiVersion where left out. Raises BadRequest."""
    served = f"{resource.group}/{version}" if resource.group else version
    api_version, kind = obj.get("apiVersion") or served, obj.get("kind") or resource.kind
    if api_version != served:
        raise BadRequest(
            f"the API version in the data ({api_version}) does not match the expected API version ({served})"
        )
    if kind != resource.kind:
        raise BadRequest(f'{kind} in version "{version}" cannot be handled as a {resource.kind}: the kinds differ')
    obj["apiVersion"], obj["kind"] = served, kind


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
    """See that the object is of the namespace and name in the path; fill the namespace in. Raises BadRequest."""
    metadata = obj["metadata"]
    if resource.namespaced:
        if metadata.get("namespace", namespace) not in ("", namespace):
            raise BadRequest(NAMESPACES_DIFFER)
        metadata["namespace"] = namespace
    if name:
        given = metadata.get("name") or name
        if given != name:
            raise BadRequest(f"the name of the object ({given}) does not match the name on the URL ({name})")
        metadata["name"] = name
