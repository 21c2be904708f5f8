"""Claims stay while pods use them. See protection.py."""

from __future__ import annotations

from collections.abc import Iterable

from kybern.api.core.persistentvolumeclaim import PROTECTION
from kybern.api.types import Object, key_of, split_key
from kybern.controllers import pods
from kybern.controllers.controller import Context
from kybern.controllers.owners import controller_uid
from kybern.controllers.protection import Protection


class PersistentVolumeClaimProtectionController(Protection):
    """A claim is used by the pods with a node that mount it."""

    name = "persistentvolumeclaim-protection-controller"
    aliases = ("pvc-protection",)
    plural, finalizer = "persistentvolumeclaims", PROTECTION

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._pods = pods.index(self.informer("v1", "pods"))
        self._pods.add_index("claim", _claims)
        self._all_pods = self.client.resource("v1", "pods")
        self.watch(self._pods, _claims)

    def used(self, obj: Object) -> bool:
        return any(_uses(pod, obj) for pod in self._pods.by_index("claim", key_of(obj)))

    async def really_used(self, obj: Object) -> bool:
        found = await self._all_pods.list(obj["metadata"]["namespace"])
        return any(_uses(pod, obj) for pod in found.items)


def _claims(pod: Object) -> Iterable[str]:
    """The keys of the claims that a pod may use."""
    meta = pod["metadata"]
    for volume in pod["spec"].get("volumes") or ():
        if volume.get("persistentVolumeClaim") is not None:
            yield f"{meta['namespace']}/{volume['persistentVolumeClaim'].get('claimName')}"
        elif volume.get("ephemeral") is not None:
            yield f"{meta['namespace']}/{meta['name']}-{volume['name']}"


def _uses(pod: Object, claim: Object) -> bool:
    """Whether the pod is on a node and has the claim, or the claim was made for it and it has not ended."""
    if not pod["spec"].get("nodeName"):
        return False
    namespace, name = split_key(key_of(claim))
    if pod["metadata"]["namespace"] != namespace:
        return False
    for volume in pod["spec"].get("volumes") or ():
        if (volume.get("persistentVolumeClaim") or {}).get("claimName") == name:
            return True
        made = volume.get("ephemeral") is not None and f"{pod['metadata']['name']}-{volume['name']}" == name
        if made and controller_uid(claim) == pod["metadata"]["uid"] and not pods.is_finished(pod):
            return True
    return False
