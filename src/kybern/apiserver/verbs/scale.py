"""scale: the replicas of any scalable kind, as an autoscaling/v1 Scale. Source: API reference, Scale v1 autoscaling."""

from __future__ import annotations

from kybern.api import codec, decoding, tables
from kybern.api.apply import apply
from kybern.api.autoscaling import scale
from kybern.api.errors import BadRequest, Conflict, Invalid, MethodNotSupported
from kybern.api.field import Errors
from kybern.api.patch import clone
from kybern.api.resource import Resource
from kybern.api.schema import ANY
from kybern.api.types import Object
from kybern.apiserver import options
from kybern.apiserver.answers import included, rendered
from kybern.apiserver.app import App
from kybern.apiserver.codec import decode
from kybern.apiserver.negotiation import TABLE, check_kind, shape_of
from kybern.apiserver.request import Request, Response
from kybern.apiserver.types import type_named, type_of
from kybern.apiserver.updating import Changer, Update
from kybern.apiserver.verbs import patch


async def serve(app: App, request: Request, resource: Resource) -> Response:
    """get, update and patch of the Scale. Raises NotFound, Conflict, Invalid, BadRequest."""
    info = request.info
    if info.verb == "get":
        item = await app.registry.item(resource, info.namespace if resource.namespaced else "", info.name)
        return _answer(request, scale.of(resource, decode(item.value, item.revision)))
    if info.verb not in ("update", "patch"):
        raise MethodNotSupported("the server does not allow this method on the requested resource", details={})
    asked = options.read(request, "UpdateOptions" if info.verb == "update" else "PatchOptions")
    media = patch.media_type(request, strategic=True) if info.verb == "patch" else ""
    update = Update(app, request, resource, asked, "scale", applied=media == patch.APPLY)
    if media == patch.APPLY:
        change = _application(update)
    else:
        change = _patch(request, resource, media) if media else _replacement(request, resource)
    entry = await update.run(info.namespace, info.name, change)
    return _answer(request, scale.of(resource, decode(entry.value, entry.mod_revision)))


def _replacement(request: Request, resource: Resource) -> Changer:
    wanted = codec.decode(request.body, request.headers.get("content-type", ""))
    decoding.check(type_named(scale.API_VERSION, scale.KIND), wanted)

    def change(current: Object) -> Object:
        return _scaled(resource, current, wanted, request.info.name)

    return change


def _application(update: Update) -> Changer:
    """Server-side apply of a Scale: who applies it owns the object's replicas."""
    request, resource = update.request, update.resource
    patch.check_options(request, update.options, patch.APPLY)
    wanted = codec.decode(request.body, codec.YAML)
    decoding.check(type_named(scale.API_VERSION, scale.KIND), wanted)
    version = request.info.version
    served = f"{resource.group}/{version}" if resource.group else version
    typ = type_of(resource, version) or ANY

    def change(current: Object) -> Object:
        live = clone(current)
        named = {"name": request.info.name, **(wanted.get("metadata") or {})}
        merged = _scaled(resource, live, {"spec": {}, **wanted, "metadata": named}, request.info.name)
        config: Object = {"apiVersion": served, "kind": resource.kind, "metadata": {}}
        if (wanted.get("spec") or {}).get("replicas") is not None:
            scale.apply(resource, wanted, config)
        made = apply(
            current, config, update.options.manager, bool(update.options.force), typ, served, "scale",
            update.untouched, update.shapes,
        )  # fmt: skip
        made["metadata"]["resourceVersion"] = merged["metadata"]["resourceVersion"]
        return made

    return change


def _patch(request: Request, resource: Resource, media: str) -> Changer:
    content = patch.content_of(request)

    def change(current: Object) -> Object:
        before = scale.of(resource, current)
        wanted = patch.patched(before, content, type_named(scale.API_VERSION, scale.KIND), media)
        decoding.check(type_named(scale.API_VERSION, scale.KIND), wanted)
        return _scaled(resource, current, wanted, request.info.name)

    return change


def _scaled(resource: Resource, current: Object, wanted: Object, name: str) -> Object:
    """The object with the replicas of a Scale. Raises BadRequest, Conflict, Invalid."""
    if (wanted.get("kind") or scale.KIND) != scale.KIND:
        raise BadRequest(f'{wanted["kind"]} in version "v1" cannot be handled as a Scale: the kinds differ')
    metadata = wanted.get("metadata") or {}
    if metadata.get("name") not in (None, "", name):
        raise BadRequest(f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})")
    if metadata.get("uid") not in (None, "", current["metadata"]["uid"]):
        key, has = resource.key(current["metadata"].get("namespace", ""), name), current["metadata"]["uid"]
        raise Conflict.other_uid(resource.plural, resource.group, name, key, metadata["uid"], has)
    errors = Errors()
    scale.validate(wanted, errors)
    if errors:
        raise Invalid.of("Scale", "autoscaling", name, errors)
    if metadata.get("resourceVersion"):
        current["metadata"]["resourceVersion"] = metadata["resourceVersion"]
    scale.apply(resource, wanted, current)
    return current


class _Scale(Resource):
    """For Tables only."""

    group, columns = "autoscaling", scale.COLUMNS


def _answer(request: Request, obj: Object) -> Response:
    shape = shape_of(request)
    check_kind(shape, "*autoscaling.Scale", listed=False)
    if shape.kind == TABLE:
        obj = tables.table(_Scale(), [obj], include=included(request), meta_version=shape.version)
    elif shape.kind:
        obj = tables.partial(obj, shape.version)
    return rendered(request, obj, shape)
