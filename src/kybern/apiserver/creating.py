"""Creating an object: the steps between a decoded body and the store, in order.

    defaults -> managedFields -> admission -> metadata -> prepare_create -> validation -> validating admission ->
    allocation -> store

What admission and the server fill in is nobody's in managedFields, and admission sees neither a uid nor a made name.

Used by create, by update and apply where the object doesn't exist, and by verbs that make objects.
"""

from __future__ import annotations

from kybern.api import gated_fields, managedfields, meta
from kybern.api.errors import AlreadyExists, APIError, BadRequest, Invalid
from kybern.api.field import Errors
from kybern.api.resource import Preparation, Resource
from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, Attributes
from kybern.apiserver.app import App
from kybern.apiserver.options import WriteOptions
from kybern.apiserver.registry import already_exists
from kybern.apiserver.request import Request
from kybern.apiserver.types import stored_type, type_of
from kybern.store.base import Entry, TooLarge

NAME_ATTEMPTS = 8


async def create(
    app: App, request: Request, resource: Resource, obj: Object, options: WriteOptions, *, applied: bool = False
) -> Entry:
    """Store `obj`, in the request's version and checked against its type. A dry run gives an entry of revision 0.
    `applied`: its managedFields are made already. Raises APIErrors of every step."""
    if obj["metadata"].get("resourceVersion"):
        raise BadRequest("resourceVersion should not be set on objects to be created")
    stored = resource.to_storage(obj)
    metadata = stored["metadata"] = dict(stored["metadata"])
    meta.wipe(metadata)
    request.warnings += meta.single_owners(metadata)
    if not applied:
        metadata.pop("managedFields", None)
    if resource.has_status and not resource.status_at_creation:
        stored.pop("status", None)
    resource.default(stored)
    if not applied:
        _track(request, resource, stored, options)
    stored, generated = await admitted(app, request, resource, stored, options)
    hooks = app.registry.hooks.get((resource.group, resource.plural))
    claim = await hooks.before_create(stored, options.dry_run) if hooks is not None else None
    try:
        if options.dry_run:
            return await _pretend(app, resource, stored)
        return await _insert(app, resource, stored, generated)
    except (APIError, TooLarge):
        if claim is not None:
            await claim.undo()
        raise


async def admitted(
    app: App, request: Request, resource: Resource, stored: Object, options: WriteOptions
) -> tuple[Object, str]:
    """The object after admission, preparation and validation; and what its name is made of, if it is made."""
    metadata, status = stored["metadata"], stored.get("status")
    attributes = Attributes(
        CREATE, resource, metadata.get("namespace", ""), metadata.get("name", ""), request.user, stored, None, "",
        options.dry_run, options.as_object(), request.warnings, request,
    )  # fmt: skip
    if app.admission is not None:
        await app.admission.admit(attributes)
        assert attributes.object is not None
        stored = attributes.object
        if resource.has_status and not resource.status_at_creation:
            # Plugins may no more fill it in than the client may.
            if status is None:
                stored.pop("status", None)
            else:
                stored["status"] = status
    metadata = stored["metadata"] = dict(stored["metadata"])
    generated = "" if metadata.get("name") else str(metadata.get("generateName") or "")
    meta.fill_create(metadata, generation=resource.has_generation)
    if generated:
        resource.default(stored)
    attributes.name = metadata.get("name", "")
    user = request.user
    gated_fields.drop(resource.group_kind, stored)
    resource.prepare_create(stored, Preparation(user.name, "", request.warnings, user.uid, user.groups, user.extra))
    errors, metadata = Errors(), stored["metadata"]
    request.warnings += meta.single_owners(metadata, meta.AFTER_ADMISSION)
    meta.validate_create(
        metadata, errors, namespaced=resource.namespaced, name_rule=resource.validates_name, custom=resource.custom
    )
    if resource.custom:
        request.warnings += meta.unqualified_finalizers(metadata, None)
    resource.validate(stored, errors)
    if errors:
        raise Invalid.of(resource.kind, resource.group, metadata.get("name", ""), errors)
    resource.canonicalize(stored)
    if app.admission is not None:
        await app.admission.validate(attributes)
    return stored, generated


def _track(request: Request, resource: Resource, stored: Object, options: WriteOptions) -> None:
    typ = stored_type(resource)
    if typ is not None:
        ignore = ("status",) if resource.has_status else ()
        served = f"{resource.group}/{request.info.version}" if resource.group else request.info.version
        shown = None
        if served in resource.reshapes:
            shown, typ = resource.in_shape_of(stored, served), type_of(resource, request.info.version) or typ
        managedfields.on_create(stored, options.manager, served, typ, "", ignore, shown)


async def _insert(app: App, resource: Resource, stored: Object, prefix: str) -> Entry:
    for left in range(NAME_ATTEMPTS - 1, -1, -1):
        try:
            return await app.registry.insert(resource, stored)
        except TooLarge:
            # It may fit without managedFields, which can be large.
            if stored["metadata"].pop("managedFields", None) is None:
                raise
            return await app.registry.insert(resource, stored)
        except AlreadyExists:
            if not prefix or not left:
                raise
            stored["metadata"]["name"] = meta.generate_name(prefix)
            resource.default(stored)
    raise AssertionError("unreachable")


async def _pretend(app: App, resource: Resource, stored: Object) -> Entry:
    metadata = stored["metadata"]
    cache = await app.registry.ready(resource)
    item = cache.get(metadata.get("namespace", "") if resource.namespaced else "", metadata["name"])
    if item is not None:
        raise already_exists(resource, item, metadata["name"])
    return pretended(resource, stored)


def pretended(resource: Resource, stored: Object, revision: int = 0) -> Entry:
    """The entry that a write would have made."""
    from kybern.apiserver.codec import encode

    metadata = stored["metadata"]
    key = resource.key(metadata.get("namespace", ""), metadata["name"])
    return Entry(key, encode(stored), 0, revision)
