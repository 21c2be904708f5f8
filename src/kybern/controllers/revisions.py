"""ControllerRevisions: the templates that a DaemonSet or StatefulSet has had, numbered, to roll back to.

Source: API reference, ControllerRevision v1 apps.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import orjson

from kybern.api.errors import AlreadyExists, Conflict, NotFound
from kybern.api.types import Object
from kybern.controllers.controller import Context
from kybern.controllers.deployment_revision import template_hash
from kybern.controllers.owners import claim, controller_of, controller_reference, owner_index
from kybern.controllers.podowner import PodOwner

POD_LABEL = "controller-revision-hash"
"""Which revision a pod is of."""
_NAME_MAX = 223


class RevisionOwner(PodOwner):
    """A controller whose owners also own revisions. `hash_label` is the key under which a revision has its hash."""

    hash_label = ""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.revisions = self.informer("apps/v1", "controllerrevisions")
        self.revisions.add_index("owner", owner_index)
        self.revision_resource = self.client.resource("apps/v1", "controllerrevisions")
        self.watch(self.revisions, self._owner_of_revision)

    def _owner_of_revision(self, revision: Object) -> Iterable[str]:
        ref = controller_of(revision)
        return [f"{revision['metadata']['namespace']}/{ref['name']}"] if ref and ref["kind"] == self.kind else []

    async def own_revisions(self, owner: Object) -> list[Object]:
        """The owner's revisions, orphans taken in, the oldest first."""
        meta = owner["metadata"]
        found = await claim(
            owner,
            self.selector(owner),
            self.revisions.by_index("owner", meta["uid"]),
            self.revisions.by_index("owner", f"orphan/{meta['namespace']}"),
            self.revision_resource,
            lambda: self.resource.get(meta["name"], meta["namespace"]),
        )
        return in_order(found)

    async def create_revision(self, owner: Object, data: Object, number: int) -> Object:
        """Store a revision; one of the same name and data that is there already counts. Raises Conflict where another
        state of the owner has the same hash: the next try makes another name."""
        made = make(owner, data, number, self.hash_label)
        meta = made["metadata"]
        try:
            return await self.revision_resource.create(made)
        except AlreadyExists:
            held = await self.revision_resource.get(meta["name"], meta["namespace"])
        if held.get("data") == data:
            return held
        status = dict(owner.get("status") or {})
        status["collisionCount"] = status.get("collisionCount", 0) + 1
        await self.resource.update_status({**owner, "status": status})
        raise Conflict(f"controller revision {meta['name']} has the same hash but another template")

    async def delete_revisions(self, surplus: Iterable[Object]) -> None:
        """Delete these, as far as they are still there."""
        for one in surplus:
            try:
                await self.revision_resource.delete(one["metadata"]["name"], one["metadata"]["namespace"])
            except NotFound:
                continue


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


def template_of(revision: Object) -> Object:
    """The pod template that a revision keeps."""
    return {key: value for key, value in revision["data"]["spec"]["template"].items() if key != "$patch"}


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
