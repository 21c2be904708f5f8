"""patch: JSON patch, merge patch, strategic merge patch, server-side apply.

Source: API concepts, "Patch" ; the media types and errors are upstream's.
"""

from __future__ import annotations

from typing import Any

import orjson

from kybern.api import codec, decoding, patch
from kybern.api.apply import apply, check_typed, undeclared_fields
from kybern.api.errors import BadRequest, Conflict, Invalid, NotFound, UnsupportedMediaType
from kybern.api.field import Errors
from kybern.api.go_values import go_value
from kybern.api.resource import Resource
from kybern.api.schema import ANY, Type
from kybern.api.strategic import strategic_merge_patch
from kybern.api.types import Object
from kybern.apiserver import body, options
from kybern.apiserver.answers import written
from kybern.apiserver.app import App
from kybern.apiserver.creating import create
from kybern.apiserver.options import WriteOptions
from kybern.apiserver.request import Request, Response
from kybern.apiserver.types import type_of
from kybern.apiserver.updating import Changer, Update

JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"


async def serve(app: App, request: Request, resource: Resource) -> Response:
    """Raises NotFound, Conflict, Invalid, BadRequest, UnsupportedMediaType, and what admission raises."""
    return await modify(app, request, resource, "")


async def modify(app: App, request: Request, resource: Resource, subresource: str) -> Response:
    """A patch of the object or of one of its parts."""
    info = request.info
    asked = options.read(request, "PatchOptions")
    media = media_type(request, strategic=not resource.custom)
    check_options(request, asked, media)
    update = Update(app, request, resource, asked, subresource, applied=media == APPLY)
    if media != APPLY:
        change = changer(request, resource, asked, media)
        return written(app, request, resource, await update.run(info.namespace, info.name, change))
    config = _configuration(request, resource, asked)
    try:
        entry = await update.run(info.namespace, info.name, lambda live: _applied(update, config, live))
    except NotFound:
        if subresource:
            raise
        body.check_name(config["metadata"], info.name)
        _check_no_uid(config, resource, info.name)
        config["metadata"].pop("resourceVersion", None)
        made = _applied(update, config, None)
        return written(app, request, resource, await create(app, request, resource, made, asked, applied=True), 201)
    return written(app, request, resource, entry)


def media_type(request: Request, *, strategic: bool) -> str:
    """Which kind of patch the body is. Raises UnsupportedMediaType."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    accepted = [JSON_PATCH, MERGE, STRATEGIC, APPLY] if strategic else [JSON_PATCH, MERGE, APPLY]
    if media not in accepted:
        raise UnsupportedMediaType(
            f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}",
            details={},
        )
    return media


def check_options(request: Request, asked: WriteOptions, media: str) -> None:
    errors = Errors()
    if media == APPLY:
        if not request.arg("fieldManager"):
            errors.required("fieldManager", "is required for apply patch")
    elif asked.force is not None:
        errors.forbidden("force", "may not be specified for non-apply patch")
    if errors:
        raise Invalid.of("PatchOptions", "meta.k8s.io", "", errors)


def changer(request: Request, resource: Resource, asked: WriteOptions, media: str) -> Changer:
    """What the patch does to an object of the request's version. Raises BadRequest where it can't be read."""
    content, typ = content_of(request), type_of(resource, request.info.version) or ANY
    version = request.info.version
    duplicates = codec.duplicates(request.body, codec.JSON, content) if asked.validation != "Ignore" else ()

    def change(current: Object) -> Object:
        new = patched(current, content, typ, media)
        try:
            unknown = body.check(new, resource, version)
        except BadRequest as error:
            raise _unfit(new, content, media, error.message.partition(": ")[2]) from None
        if asked.validation == "Strict" and (unknown or duplicates):
            said = ", ".join(decoding.strict_texts(unknown, duplicates))
            raise _unfit(new, content, media, f"strict decoding error: {said}")
        body.complain(request, new, asked, unknown, duplicates)
        _check_identity(current, new, resource, version)
        return new

    return change


def _unfit(new: Object, content: Any, media: str, why: str) -> Invalid:
    """The error of a patch that doesn't leave an object of the kind."""
    errors = Errors()
    errors.invalid("patch", go_value(content) if media == STRATEGIC else orjson.dumps(new).decode(), why)
    return Invalid.of("", "", "", errors)


def content_of(request: Request) -> Any:
    """The patch in the body. Raises BadRequest."""
    try:
        content = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"error decoding patch: {codec.json_problem(request.body, error)}") from None
    if codec.too_deep(request.body, content):
        raise BadRequest("error decoding patch: exceeded max depth")
    return content


def patched(current: Object, content: Any, typ: Type, media: str) -> Object:
    """The object, of type `typ`, after the patch; not yet checked."""
    if media == JSON_PATCH:
        return patch.json_patch(current, content)
    if media == MERGE:
        return patch.merge_patch(current, content)
    return strategic_merge_patch(current, content, typ)


def _check_identity(current: Object, new: Object, resource: Resource, version: str) -> None:
    body.identify(new, resource, version)
    metadata = new.get("metadata")
    if not isinstance(metadata, dict):
        raise decoding.cannot_be_handled(new, "metadata is missing")
    body.check_name(metadata, current["metadata"]["name"])
    namespace = current["metadata"].get("namespace")
    if namespace and not metadata.get("namespace"):
        metadata["namespace"] = namespace
    elif metadata.get("namespace") != namespace:
        raise BadRequest(body.NAMESPACES_DIFFER)


def _configuration(request: Request, resource: Resource, asked: WriteOptions) -> Object:
    """The body of a server-side apply. Raises BadRequest."""
    version = request.info.version
    try:
        config = codec.decode(request.body, codec.YAML)
    except BadRequest as error:
        raise BadRequest(f"error decoding YAML: {error.message}") from None
    repeated = codec.duplicates(request.body, codec.YAML, config) if asked.validation != "Ignore" else ()
    served = f"{resource.group}/{version}" if resource.group else version
    if (given := config.get("apiVersion") or "") != served:
        raise BadRequest(
            f"Incorrect version specified in apply patch. Specified patch version: {given}, expected: {served}"
        )
    if not config.get("kind"):
        raise BadRequest("invalid object type: kind is required")
    body.identify(config, resource, version)
    try:
        unknown = body.check(config, resource, version)
    except BadRequest:
        # Apply has words of its own for it.
        check_typed(codec.decode(request.body, codec.YAML), type_of(resource, version) or ANY, served)
        raise
    if unknown:
        raise undeclared_fields(config, unknown)
    said = [f"error converting YAML to JSON: {complaint}" for complaint in repeated]
    if said and asked.validation == "Strict":
        raise BadRequest(f"error strict decoding YAML: {said[0]}")
    request.warnings += said
    config["metadata"] = config.get("metadata") or {}
    if config["metadata"].get("name"):
        body.check_name(config["metadata"], request.info.name)
    body.place(config, resource, request.info.namespace)
    return config


def _check_no_uid(config: Object, resource: Resource, name: str) -> None:
    uid = config["metadata"].get("uid")
    if uid:
        why = f"uid mismatch: the provided object specified uid {uid}, and no existing object was found"
        raise Conflict.of(resource.plural, resource.group, name, why)


def _applied(update: Update, config: Object, live: Object | None) -> Object:
    resource, asked = update.resource, update.options
    version = update.request.info.version
    served = f"{resource.group}/{version}" if resource.group else version
    typ = type_of(resource, version) or ANY
    made = apply(
        live, config, asked.manager, bool(asked.force), typ, served, update.subresource, update.untouched,
        update.shapes,
    )  # fmt: skip
    made.setdefault("kind", resource.kind)
    made.setdefault("apiVersion", served)
    return made
