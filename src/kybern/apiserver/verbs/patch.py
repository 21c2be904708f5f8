"""patch: JSON patch, merge patch, strategic merge patch, server-side apply.

Source: API concepts, "Patch" ; the media types and errors are upstream's.
"""

from __future__ import annotations

from typing import Any

import orjson

from kybern.api import codec, decoding, patch
from kybern.api.apply import apply, undeclared_fields
from kybern.api.errors import BadRequest, Invalid, NotFound, UnsupportedMediaType
from kybern.api.field import Errors
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
    _check_options(request, asked, media)
    update = Update(app, request, resource, asked, subresource, applied=media == APPLY)
    if media != APPLY:
        change = changer(request, resource, asked, media)
        return written(request, resource, await update.run(info.namespace, info.name, change))
    config = _configuration(request, resource, asked)
    try:
        entry = await update.run(info.namespace, info.name, lambda live: _applied(update, config, live))
    except NotFound:
        if subresource:
            raise
        made = _applied(update, config, None)
        return written(request, resource, await create(app, request, resource, made, asked, applied=True), 201)
    return written(request, resource, entry)


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


def _check_options(request: Request, asked: WriteOptions, media: str) -> None:
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
    strict = asked.explicit_validation and asked.validation != "Ignore"
    duplicates = codec.duplicates(request.body) if strict else ()

    def change(current: Object) -> Object:
        new = patched(current, content, typ, media)
        unknown = body.check(new, resource, version)
        body.complain(request, new, asked, unknown, duplicates)
        _check_identity(current, new, resource, version)
        return new

    return change


def content_of(request: Request) -> Any:
    """The patch in the body. Raises BadRequest."""
    try:
        return orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"error decoding patch: {error}") from None


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
    name = current["metadata"]["name"]
    if metadata.get("name") != name:
        raise BadRequest(
            f"the name of the object ({metadata.get('name') or ''}) does not match the name on the URL ({name})"
        )
    if metadata.get("namespace") != current["metadata"].get("namespace"):
        raise BadRequest(body.NAMESPACES_DIFFER)


def _configuration(request: Request, resource: Resource, asked: WriteOptions) -> Object:
    """The body of a server-side apply. Raises BadRequest."""
    version = request.info.version
    config = codec.decode(request.body, codec.YAML)
    if not config.get("apiVersion") or not config.get("kind"):
        raise BadRequest("invalid object type: apiVersion and kind are required")
    body.identify(config, resource, version)
    unknown = body.check(config, resource, version)
    if unknown:
        raise undeclared_fields(config, unknown)
    strict = asked.explicit_validation and asked.validation != "Ignore"
    body.complain(request, config, asked, (), codec.duplicates(request.body) if strict else ())
    config["metadata"] = config.get("metadata") or {}
    body.place(config, resource, request.info.namespace, request.info.name)
    return config


def _applied(update: Update, config: Object, live: Object | None) -> Object:
    resource, asked = update.resource, update.options
    version = update.request.info.version
    served = f"{resource.group}/{version}" if resource.group else version
    typ = type_of(resource, version) or ANY
    made = apply(live, config, asked.manager, bool(asked.force), typ, served, update.subresource, update.untouched)
    made.setdefault("kind", resource.kind)
    made.setdefault("apiVersion", served)
    return made
