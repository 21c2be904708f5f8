"""Namespaces that are being deleted: delete all that is in them, pods first, then let them go.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/namespaces/
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from kybern.api.errors import APIError, MethodNotSupported, NotFound
from kybern.api.types import Object, key_of
from kybern.controllers import conditions
from kybern.controllers.controller import Context, Controller
from kybern.controllers.discovery import Incomplete, Served, served

_AT_ONCE = 10
_LOOK_AGAIN = 1.0
_PAUSE_BEFORE = 0.1
_FINALIZER = "kubernetes"


@dataclass(slots=True)
class _Content:
    """What was found in a namespace after all of it was asked to go."""

    remaining: dict[str, int] = field(default_factory=dict)
    finalizers: dict[str, int] = field(default_factory=dict)
    discovery_error: str = ""
    errors: list[str] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        return not (self.remaining or self.discovery_error or self.errors)


class NamespaceController(Controller):
    name = "namespace-controller"
    aliases = ("namespace",)
    workers = 10

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.namespaces = self.informer("v1", "namespaces", namespaced=False)
        self._namespaces = self.client.resource("v1", "namespaces", namespaced=False)
        self._served: list[Served] = []

        def changed(old: Object | None, new: Object | None) -> None:
            if new and new["metadata"].get("deletionTimestamp"):
                # Servers that share the load learn of the deletion at different times; creations under way end first.
                self.queue.add_after(key_of(new), _PAUSE_BEFORE)

        self.namespaces.on_change(changed)

    async def reconcile(self, key: str) -> float | None:
        if key not in self.namespaces.store:
            return None
        try:
            namespace = await self._namespaces.get(key)
        except NotFound:
            return None
        if not namespace["metadata"].get("deletionTimestamp"):
            return None
        if _FINALIZER not in (namespace["spec"].get("finalizers") or ()):
            return None
        content = await self._empty_out(key)
        namespace = await self._report(namespace, content)
        if not content.empty:
            return _LOOK_AGAIN
        kept = [one for one in namespace["spec"].get("finalizers") or () if one != _FINALIZER]
        finalized = {**namespace, "spec": {**namespace["spec"], "finalizers": kept}}
        try:
            await self._namespaces.update(finalized, subresource="finalize")
        except NotFound:
            return None
        return None

    async def _empty_out(self, namespace: str) -> _Content:
        """Delete what there is. Pods go first: what they use must outlive them."""
        content = _Content()
        try:
            self._served = await served(self.client)
        except Incomplete as error:
            self._served, content.discovery_error = error.found, str(error)
        except APIError as error:
            content.discovery_error = str(error)
        namespaced = [one for one in self._served if one.namespaced and {"list", "delete"} <= one.verbs]
        first = [one for one in namespaced if str(one) == "pods"]
        for group in (first, [one for one in namespaced if one not in first]):
            gate = asyncio.Semaphore(_AT_ONCE)

            async def delete(resource: Served, gate: asyncio.Semaphore = gate) -> None:
                async with gate:
                    await self._delete_all(resource, namespace, content)

            await asyncio.gather(*map(delete, group))
            if content.remaining or content.errors:
                break
        return content

    async def _delete_all(self, resource: Served, namespace: str, content: _Content) -> None:
        endpoint = resource.client(self.client)
        try:
            if not (await endpoint.list(namespace)).items:
                return
            if "deletecollection" in resource.verbs:
                await endpoint.delete_collection(namespace, propagation_policy="Background")
            else:
                for obj in (await endpoint.list(namespace)).items:
                    await endpoint.delete(obj["metadata"]["name"], namespace, propagation_policy="Background")
            left = (await endpoint.list(namespace)).items
        except (NotFound, MethodNotSupported):
            # A custom resource that went away since discovery, or can't be listed: nothing left to delete.
            return
        except APIError as error:
            content.errors.append(f"{resource}: {error}")
            return
        if left:
            content.remaining[f"{resource.plural}.{resource.group}"] = len(left)
        for obj in left:
            for finalizer in obj["metadata"].get("finalizers") or ():
                content.finalizers[finalizer] = content.finalizers.get(finalizer, 0) + 1

    async def _report(self, namespace: Object, content: _Content) -> Object:
        status = {**(namespace.get("status") or {})}
        before = status.get("conditions")
        for condition in report(content.discovery_error, content.errors, content.remaining, content.finalizers):
            held = conditions.find(status, condition["type"])
            if held and held.get("message") != condition["message"]:
                conditions.drop(status, condition["type"])
            conditions.put(status, condition)
        if status.get("conditions") == before:
            return namespace
        return await self._namespaces.update_status({**namespace, "status": status})


def report(
    discovery_error: str, errors: list[str], remaining: dict[str, int], finalizers: dict[str, int]
) -> list[Object]:
    """The five conditions of a namespace that is being deleted."""
    # The core group's names end in a full stop, as upstream has it.
    resources = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(remaining.items()))
    held = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(finalizers.items()))
    failed = f"Failed to delete all resource types, {len(errors)} remaining: {', '.join(sorted(errors))}"
    facts = (
        (
            "NamespaceDeletionDiscoveryFailure",
            f"Discovery failed for some groups: {discovery_error}" if discovery_error else "",
            "DiscoveryFailed",
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        (
            "NamespaceDeletionGroupVersionParsingFailure",
            "",
            "GroupVersionParsingFailed",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        (
            "NamespaceDeletionContentFailure",
            failed if errors else "",
            "ContentDeletionFailed",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        (
            "NamespaceContentRemaining",
            f"Some resources are remaining: {resources}" if resources else "",
            "SomeResourcesRemain",
            "ContentRemoved",
            "All content successfully removed",
        ),
        (
            "NamespaceFinalizersRemaining",
            f"Some content in the namespace has finalizers remaining: {held}" if held else "",
            "SomeFinalizersRemain",
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        ),
    )
    return [
        conditions.make(type, "True", bad, wrong) if wrong else conditions.make(type, "False", good, fine)
        for type, wrong, bad, good, fine in facts
    ]
