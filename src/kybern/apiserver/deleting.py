"""Carrying out what deletion.py decides, again while others write too."""

from __future__ import annotations

from typing import NamedTuple

from kybern.api.errors import Conflict
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver.admission.base import DELETE, Attributes
from kybern.apiserver.app import App
from kybern.apiserver.codec import decode
from kybern.apiserver.deletion import DeleteOptions, decide
from kybern.apiserver.request import Request
from kybern.store.base import Mismatch

ATTEMPTS = 10


class Deleted(NamedTuple):
    """The object as it is now, or last was; whether it is gone."""

    object: Object
    gone: bool


async def delete(
    app: App,
    request: Request,
    resource: Resource,
    namespace: str,
    name: str,
    asked: DeleteOptions,
    *,
    admitted: bool = False,
) -> Deleted:
    """Delete one object, or begin to. `admitted`: what has it deleted was admitted as such. Raises NotFound, Conflict,
    and what admission raises."""
    registry = app.registry
    for _ in range(ATTEMPTS):
        item = await registry.item(resource, namespace, name)
        obj = decode(item.value, item.revision)
        if app.admission is not None and not admitted:
            attributes = Attributes(
                DELETE, resource, namespace, name, request.user, None, obj, "", asked.dry_run, asked.as_object(),
                request.warnings, request,
            )  # fmt: skip
            await app.admission.admit(attributes)
            await app.admission.validate(attributes)
        outcome = decide(resource, obj, asked)
        if asked.dry_run or not (outcome.remove or outcome.object):
            return Deleted(outcome.object or obj, outcome.remove)
        try:
            if outcome.object is not None:
                entry = await registry.replace(resource, item, outcome.object)
                return Deleted(decode(entry.value, entry.mod_revision), False)
            entry = await registry.remove(resource, item)
        except Mismatch:
            continue
        hooks = registry.hooks.get((resource.group, resource.plural))
        if hooks is not None:
            await hooks.after_delete(obj)
        obj["metadata"]["resourceVersion"] = str(entry.mod_revision)
        return Deleted(obj, True)
    raise Conflict.stale(resource.plural, resource.group, name)
