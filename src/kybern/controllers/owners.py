"""Owner references: who controls an object, taking orphans in and letting go of what is no longer selected.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents/
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence

from kybern.api.errors import Conflict, Invalid, NotFound
from kybern.api.selectors import Selector
from kybern.api.types import Object
from kybern.client.rest import ResourceClient

Labels = dict[str, str]


def controller_of(obj: Object) -> Object | None:
    """The owner reference marked as controller, if there is one."""
    for ref in obj["metadata"].get("ownerReferences") or ():
        if ref.get("controller"):
            found: Object = ref
            return found
    return None


def controller_uid(obj: Object) -> str:
    """The uid of the controller, or "" of an orphan."""
    ref = controller_of(obj)
    return str(ref["uid"]) if ref else ""


def controller_reference(owner: Object) -> Object:
    """An owner reference that makes `owner` (with kind and apiVersion) the controller."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owner_index(obj: Object) -> Iterable[str]:
    """Index values: the controller's uid, or `orphan/<namespace>`."""
    return [controller_uid(obj) or f"orphan/{obj['metadata'].get('namespace', '')}"]


def is_deleting(obj: Object) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


async def claim(
    owner: Object,
    selector: Selector,
    owned: Iterable[Object],
    orphans: Iterable[Object],
    resource: ResourceClient,
    fresh_owner: Callable[[], Awaitable[Object]],
    finalizers: Sequence[str] = (),
) -> list[Object]:
    """What `owner` controls after adopting matching orphans and releasing what doesn't match any more.

    `fresh_owner` reads the owner past the cache: one that is being deleted must not adopt. `finalizers` are given
    to what is taken in. Raises Conflict where the owner was replaced by another of the same name.
    """
    kept = []
    for obj in owned:
        if selector.matches(obj["metadata"].get("labels")):
            kept.append(obj)
        elif not is_deleting(owner):
            await _release(owner, obj, resource)
    if is_deleting(owner):
        return kept
    candidates = [obj for obj in orphans if not is_deleting(obj) and selector.matches(obj["metadata"].get("labels"))]
    if not candidates:
        return kept
    fresh = await fresh_owner()
    if fresh["metadata"]["uid"] != owner["metadata"]["uid"] or is_deleting(fresh):
        raise Conflict(f"{owner['kind']} {owner['metadata']['name']} is gone or being deleted; it adopts nothing")
    adopted = await asyncio.gather(*(_adopt(owner, obj, resource, finalizers) for obj in candidates))
    return kept + [obj for obj in adopted if obj is not None]


async def _adopt(owner: Object, obj: Object, resource: ResourceClient, finalizers: Sequence[str]) -> Object | None:
    meta = obj["metadata"]
    change: Object = {"metadata": {"ownerReferences": [controller_reference(owner)], "uid": meta["uid"]}}
    if finalizers:
        change["metadata"]["finalizers"] = list(finalizers)
    try:
        return await resource.patch(meta["name"], change, meta.get("namespace", ""), type="strategic")
    except (NotFound, Invalid, Conflict):
        # Gone, or taken by another controller meanwhile; its change event brings us back.
        return None


async def _release(owner: Object, obj: Object, resource: ResourceClient) -> None:
    meta = obj["metadata"]
    gone = [{"$patch": "delete", "uid": owner["metadata"]["uid"]}]
    change = {"metadata": {"ownerReferences": gone, "uid": meta["uid"]}}
    try:
        await resource.patch(meta["name"], change, meta.get("namespace", ""), type="strategic")
    except (NotFound, Invalid):
        # Gone, or replaced by another object of the same name: nothing to let go of.
        return


class Expectations:
    """What a controller has done and not yet seen in its cache; until then it must not count and act again.

    A creation that is never seen (deleted at once, watch lost) is given up after five minutes, as upstream does.
    """

    SECONDS = 300.0

    def __init__(self) -> None:
        self._creations: dict[str, int] = {}
        self._deletions: dict[str, set[str]] = {}
        self._since: dict[str, float] = {}

    def expect_creations(self, key: str, count: int) -> None:
        self._creations[key] = self._creations.get(key, 0) + count
        self._since[key] = asyncio.get_running_loop().time()

    def expect_deletions(self, key: str, names: Iterable[str]) -> None:
        self._deletions.setdefault(key, set()).update(names)
        self._since[key] = asyncio.get_running_loop().time()

    def created(self, key: str, count: int = 1) -> None:
        """`count` creations were seen, or failed."""
        left = self._creations.get(key, 0) - count
        if left > 0:
            self._creations[key] = left
        else:
            self._creations.pop(key, None)

    def deleted(self, key: str, name: str) -> None:
        """A deletion was seen, or failed."""
        waiting = self._deletions.get(key)
        if waiting:
            waiting.discard(name)
            if not waiting:
                del self._deletions[key]

    def satisfied(self, key: str) -> bool:
        """Whether the cache shows all that was done."""
        if not self._creations.get(key) and not self._deletions.get(key):
            return True
        return asyncio.get_running_loop().time() - self._since.get(key, 0.0) > self.SECONDS

    def forget(self, key: str) -> None:
        self._creations.pop(key, None)
        self._deletions.pop(key, None)
        self._since.pop(key, None)
