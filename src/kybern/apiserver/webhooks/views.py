"""A write as webhooks see it: its objects in the version a webhook wants, and a changed one taken back.

Subresources with a kind of their own (Binding, Eviction, Scale, PodExecOptions) are shown as that kind.
"""

from __future__ import annotations

from typing import NamedTuple

from kybern.api import decoding
from kybern.api.apiextensions.custom import CustomResource
from kybern.api.autoscaling import scale
from kybern.api.errors import BadRequest
from kybern.api.patch import clone
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver import body
from kybern.apiserver.admission.base import CREATE, Attributes
from kybern.apiserver.types import type_named
from kybern.apiserver.webhooks.review import Named

_KEPT = (
    "creationTimestamp", "deletionGracePeriodSeconds", "deletionTimestamp", "generation", "resourceVersion",
    "selfLink", "uid",
)  # fmt: skip
"""Of metadata, what the server alone writes."""


class Target(NamedTuple):
    """As what a write is shown: a resource in a version."""

    resource: Resource
    version: str

    @property
    def named(self) -> Named:
        """Its group, version and plural."""
        return Named(self.resource.group, self.version, self.resource.plural)


def kind_of(a: Attributes, target: Target) -> Named:
    """The kind of the objects that are shown."""
    if a.subresource == "scale":
        return Named("autoscaling", "v1", "Scale")
    own = a.object or a.old
    if own is not None and _foreign(a, own):
        group, _, version = str(own["apiVersion"]).rpartition("/")
        return Named(group, version, own["kind"])
    return Named(target.resource.group, target.version, target.resource.kind)


def _foreign(a: Attributes, obj: Object) -> bool:
    """Whether an object isn't of the resource's kind."""
    return bool(a.subresource) and bool(obj.get("kind")) and obj["kind"] != a.resource.kind


async def shown(a: Attributes, obj: Object | None, target: Target) -> Object | None:
    """An object of the write for a webhook; None stays None. Not to be changed."""
    if obj is None or _foreign(a, obj):
        return obj
    if a.subresource == "scale":
        return scale.of(a.resource, obj)
    return await in_version(a.resource, obj, target)


async def in_version(resource: Resource, obj: Object, target: Target) -> Object:
    """A stored object of the resource in another version, or as the kind of another group with the same storage."""
    if not isinstance(resource, CustomResource) or target.version == resource.stored_as:
        return target.resource.from_storage(obj, target.version)
    [made] = await resource.converted([obj], target.version)
    return made


async def taken(a: Attributes, before: Object, changed: Object, target: Target) -> Object:
    """The object of the write, `before`, after a webhook has changed what it was shown: pruned, defaulted, and with
    what this way in may not touch as it was. Raises BadRequest where it can't be decoded."""
    if _foreign(a, before):
        return changed
    if a.subresource == "scale":
        decoding.check(type_named(scale.API_VERSION, scale.KIND), changed)
        made = clone(before)
        scale.apply(a.resource, changed, made)
        return made
    body.identify(changed, target.resource, target.version)
    body.check(changed, target.resource, target.version)
    if not isinstance(changed.get("metadata"), dict):
        raise BadRequest("metadata is missing")
    if isinstance(a.resource, CustomResource) and target.version != a.resource.stored_as:
        [made] = await a.resource.converted([changed], a.resource.stored_as)
    else:
        made = target.resource.to_storage(changed)
    metadata = made["metadata"] = dict(made["metadata"])
    for name in _KEPT:
        if name in before["metadata"]:
            metadata[name] = before["metadata"][name]
        else:
            metadata.pop(name, None)
    if a.operation != CREATE:
        metadata |= {name: before["metadata"][name] for name in ("name", "namespace") if name in before["metadata"]}
    made = _within(a, before, made)
    a.resource.default(made)
    return made


def _within(a: Attributes, before: Object, made: Object) -> Object:
    """`made` with the part that this way in doesn't write taken from `before`."""
    if a.subresource == "status":
        return {**before, "metadata": made["metadata"], **({"status": made["status"]} if "status" in made else {})}
    writes = a.resource.status_at_creation if a.operation == CREATE else a.subresource in a.resource.status_writers
    if not a.resource.has_status or writes:
        return made
    made.pop("status", None)
    return {**made, "status": before["status"]} if "status" in before else made


