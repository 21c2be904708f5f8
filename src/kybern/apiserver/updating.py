"""Changing an object: the steps between a changed object and the store, in order, repeated while others write too.

read -> change -> preconditions -> metadata -> defaults -> managedFields -> admission -> prepare_update -> validation ->
validating admission -> allocation -> store (or deletion, where it was only waiting for this)
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TypeAlias

from kybern.api import gated_fields, managedfields, meta
from kybern.api.errors import APIError, Conflict, Invalid
from kybern.api.field import Errors
from kybern.api.resource import Preparation, Resource
from kybern.api.types import Object
from kybern.apiserver.admission.base import UPDATE, Attributes
from kybern.apiserver.app import App
from kybern.apiserver.codec import codec_of, decode
from kybern.apiserver.creating import pretended
from kybern.apiserver.deletion import is_due
from kybern.apiserver.options import WriteOptions
from kybern.apiserver.request import Request
from kybern.apiserver.shapes import CustomShapes, Shapes, differing, shapes_of
from kybern.apiserver.types import stored_type
from kybern.apiserver.watch_cache import Item
from kybern.store.base import Entry, Mismatch, TooLarge

log = logging.getLogger(__name__)

ATTEMPTS = 10

Changer: TypeAlias = Callable[[Object], Object]
"""From the current object in the request's version (its own to change) to the new one."""

@dataclass(slots=True)
class Update:
    """One update. `subresource` decides which part of the object it may touch."""

    app: App
    request: Request
    resource: Resource
    options: WriteOptions
    subresource: str = ""
    applied: bool = False
    """Whether the change makes managedFields itself (server-side apply)."""
    replaces: bool = False
    """Whether it is a whole object that a client sent (PUT): its resourceVersion is then a precondition of its own."""
    shapes: Shapes | CustomShapes | None = field(init=False)

    def __post_init__(self) -> None:
        self.shapes = shapes_of(self.resource, self.request.info.version)

    async def run(self, namespace: str, name: str, change: Changer) -> Entry:
        """Carry it out. A dry run stores nothing. Raises NotFound, Conflict, and the APIErrors of every step."""
        registry, resource = self.app.registry, self.resource
        for _ in range(ATTEMPTS):
            item = await registry.item(resource, namespace if resource.namespaced else "", name)
            old = decode(item.value, item.revision)
            if isinstance(self.shapes, CustomShapes):
                new, pinned = await self.shapes.settled(partial(self._changed, item, change))
            else:
                new, pinned = self._changed(item, change)
            stored = await self._prepared(new, old)
            try:
                return await self._store(item, stored, old)
            except Mismatch:
                if pinned:
                    break
        raise Conflict.stale(resource.plural, resource.group, name)

    def _changed(self, item: Item, change: Changer) -> tuple[Object, bool]:
        """The new object in storage shape, and whether it is bound to the revision of `item`."""
        resource = self.resource
        current = codec_of(resource, self.request.info.version).object(item.value, item.revision)
        new = change(current)
        metadata = new["metadata"]
        name, given = metadata.get("name", ""), metadata.get("resourceVersion")
        if given and given not in ("0", str(item.revision)):
            raise Conflict.stale(resource.plural, resource.group, name)
        if not given and self.replaces and not self.subresource and self.resource.versioned_updates:
            errors = Errors()
            errors.invalid("metadata.resourceVersion", 0, "must be specified for an update")
            raise Invalid.of(resource.kind, resource.group, name, errors)
        uid, has = metadata.get("uid"), current["metadata"].get("uid")
        if uid and uid != has:
            raise Conflict.other_uid(resource.plural, resource.group, name, item.key, uid, has)
        return resource.to_storage(new), self.replaces and bool(given) and given != "0"

    async def _prepared(self, new: Object, old: Object) -> Object:
        """The object as it is to be stored."""
        resource, request = self.resource, self.request
        stored = self._split(new, old)
        metadata = stored["metadata"]
        metadata["resourceVersion"] = old["metadata"]["resourceVersion"]
        meta.carry_over(metadata, old["metadata"])
        request.warnings += meta.single_owners(metadata)
        resource.default(stored)
        if isinstance(self.shapes, CustomShapes):
            await self._track_custom(self.shapes, stored, old)
        else:
            self._track(stored, old)
        attributes = Attributes(
            UPDATE, resource, metadata.get("namespace", ""), metadata["name"], request.user, stored, old,
            self.subresource, self.options.dry_run, self.options.as_object(), request.warnings, request,
        )  # fmt: skip
        if self.app.admission is not None:
            await self.app.admission.admit(attributes)
            assert attributes.object is not None
            # Plugins too may only touch what this way in may.
            stored = attributes.object = self._split(attributes.object, old)
        gated_fields.drop(resource.group_kind, stored, old)
        resource.prepare_update(stored, old, Preparation(request.user.name, self.subresource, request.warnings))
        if resource.has_generation and self.subresource != "status" and resource.changes_generation(stored, old):
            stored["metadata"]["generation"] = (old["metadata"].get("generation") or 0) + 1
        self._validate(stored, old)
        resource.canonicalize(stored)
        if self.app.admission is not None:
            await self.app.admission.validate(attributes)
        return stored

    def _split(self, new: Object, old: Object) -> Object:
        """`new` with what this way in may not touch taken from `old`."""
        metadata = dict(new["metadata"])
        if self.subresource == "status":
            stored = {**old, "metadata": metadata, "status": new.get("status") or {}}
            if self.resource.custom:
                stored["metadata"] = {**old["metadata"], "managedFields": metadata.get("managedFields")}
                if "status" not in new:
                    del stored["status"]
            for field in self.resource.status_keeps:
                metadata.pop(field, None)
                if field in old["metadata"]:
                    metadata[field] = old["metadata"][field]
            return stored
        stored = {**new, "metadata": metadata}
        if self.resource.has_status and self.subresource not in self.resource.status_writers:
            if "status" in old:
                stored["status"] = old["status"]
            else:
                stored.pop("status", None)
        return stored

    def _validate(self, stored: Object, old: Object) -> None:
        resource, errors = self.resource, Errors()
        self.request.warnings += meta.single_owners(stored["metadata"], meta.AFTER_ADMISSION)
        meta.validate_update(stored["metadata"], old["metadata"], errors, custom=resource.custom)
        if resource.custom:
            self.request.warnings += meta.unqualified_finalizers(stored["metadata"], old["metadata"])
        if self.subresource == "status":
            resource.validate_status(stored, old, errors)
        elif stored != old:
            if self.subresource:
                resource.validate(stored, errors)
                resource.validate_part(self.subresource, stored, old, errors)
            else:
                resource.validate_changed(stored, old, errors)
        self.request.warnings += errors.warnings
        if errors:
            raise Invalid.of(resource.kind, resource.group, stored["metadata"]["name"], errors)

    def _track(self, stored: Object, old: Object) -> None:
        resource, typ = self.resource, stored_type(self.resource)
        if self.applied or typ is None:
            return
        version = self.request.info.version
        served = f"{resource.group}/{version}" if resource.group else version
        untouched = self.untouched
        differences = differing(resource, old, stored, untouched, self.shapes)
        managedfields.on_update(
            old, stored, self.options.manager, served, typ, self.subresource, untouched, differences
        )

    async def _track_custom(self, shapes: CustomShapes, stored: Object, old: Object) -> None:
        try:
            await shapes.settled(partial(self._track, stored, old))
        except APIError as error:
            log.warning("nobody owns fields of %s any more: %s", stored["metadata"]["name"], error)
            stored["metadata"].pop("managedFields", None)

    @property
    def untouched(self) -> tuple[str, ...]:
        """The top-level fields that this way in doesn't write."""
        if self.subresource == "status" or self.subresource in self.resource.status_writers:
            return ("spec",)
        return ("status",) if self.resource.has_status else ()

    async def _store(self, item: Item, stored: Object, old: Object) -> Entry:
        registry, resource = self.app.registry, self.resource
        hooks = registry.hooks.get((resource.group, resource.plural))
        if stored == old and (self.options.dry_run or await registry.settled(resource, item.key)):
            return Entry(item.key, item.value, 0, item.revision)
        if is_due(resource, stored) and not self.options.dry_run:
            entry = await registry.remove(resource, item)
            if hooks is not None:
                await hooks.after_delete(old)
            return pretended(resource, stored, entry.mod_revision)
        claim = None
        if hooks is not None and not self.subresource:
            claim = await hooks.before_update(stored, old, self.options.dry_run)
        if self.options.dry_run:
            return pretended(resource, stored, item.revision)
        try:
            entry = await self._replace(item, stored)
        except (Mismatch, TooLarge):
            if claim is not None:
                await claim.undo()
            raise
        if claim is not None:
            await claim.keep()
        return entry

    async def _replace(self, item: Item, stored: Object) -> Entry:
        try:
            return await self.app.registry.replace(self.resource, item, stored)
        except TooLarge:
            # It may fit without managedFields, which can be large.
            if stored["metadata"].pop("managedFields", None) is None:
                raise
            return await self.app.registry.replace(self.resource, item, stored)
