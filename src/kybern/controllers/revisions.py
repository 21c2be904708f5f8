"""ControllerRevisions: the templates that a DaemonSet or StatefulSet has had, numbered, to roll back to.

Source: API reference, ControllerRevision v1 apps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from kybern.api.errors import AlreadyExists
from kybern.api.types import Object
from kybern.client.rest import ResourceClient
from kybern.controllers.deployment_revision import template_hash
from kybern.controllers.owners import controller_reference

POD_LABEL = "controller-revision-hash"
"""Which revision a pod is of."""
_NAME_MAX = 223


class Collision(Exception):
    """Another state of the same owner has the same hash."""


def snapshot(owner: Object) -> Object:
    """What a revision keeps: a strategic merge patch that brings the owner's present pod template back."""
    data = {"spec": {"template": {**owner["spec"]["template"], "$patch": "replace"}}}
    # Clients compare it with what they make themselves, byte for byte: keys are in order.
    made: Object = orjson.loads(orjson.dumps(data, option=orjson.OPT_SORT_KEYS))
    return made


def make(owner: Object, data: Object, number: int, label: str) -> Object:
    """A revision of the owner; `label` is the key under which it has its hash."""
    meta = owner["metadata"]
    suffix = template_hash(data, (owner.get("status") or {}).get("collisionCount"))
    labels = (owner["spec"]["template"].get("metadata") or {}).get("labels") or {}
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{meta['name'][:_NAME_MAX]}-{suffix}",
            "namespace": meta["namespace"],
            "labels": {**labels, label: suffix},
            "annotations": meta.get("annotations") or {},
            "ownerReferences": [controller_reference(owner)],
        },
        "data": data,
        "revision": number,
    }


async def create(revision: Object, resource: ResourceClient) -> Object:
    """Store it; one of the same name and data that is there already counts. Raises Collision."""
    meta = revision["metadata"]
    try:
        return await resource.create(revision)
    except AlreadyExists:
        held = await resource.get(meta["name"], meta["namespace"])
    if held.get("data") != revision["data"]:
        raise Collision(f"controller revision {meta['name']} has the same hash but another template")
    return held


def next_number(revisions: Iterable[Object]) -> int:
    return max((one["revision"] for one in revisions), default=0) + 1


def in_order(revisions: Iterable[Object]) -> list[Object]:
    """The oldest first."""
    return sorted(
        revisions,
        key=lambda one: (one["revision"], one["metadata"].get("creationTimestamp", ""), one["metadata"]["name"]),
    )


def to_forget(old: Sequence[Object], limit: int, live: Iterable[str]) -> list[Object]:
    """Old revisions beyond the limit, the oldest first, but for those of the names in `live`."""
    kept = set(live)
    idle = [one for one in in_order(old) if one["metadata"]["name"] not in kept]
    return idle[: max(0, len(old) - limit)]
