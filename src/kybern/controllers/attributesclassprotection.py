"""Classes of volume attributes stay while volumes or claims name them. See protection.py."""

from __future__ import annotations

from kybern.api.cells import at
from kybern.api.storage.volumeattributesclass import PROTECTION
from kybern.api.types import Object
from kybern.controllers.controller import Context
from kybern.controllers.protection import Protection


class VolumeAttributesClassProtectionController(Protection):
    """A class is used by the volumes and claims that name it."""

    name = "volumeattributesclass-protection-controller"
    api_version, plural, namespaced = "storage.k8s.io/v1", "volumeattributesclasses", False
    finalizer = PROTECTION

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._users = [
            self.informer("v1", "persistentvolumes", namespaced=False),
            self.informer("v1", "persistentvolumeclaims"),
        ]
        for informer in self._users:
            self.watch(informer, _classes)

    def used(self, obj: Object) -> bool:
        name = obj["metadata"]["name"]
        return any(name in _classes(user) for informer in self._users for user in informer.list())

    async def really_used(self, obj: Object) -> bool:
        name = obj["metadata"]["name"]
        for plural, namespaced in (("persistentvolumes", False), ("persistentvolumeclaims", True)):
            found = await self.client.resource("v1", plural, namespaced=namespaced).list()
            if any(name in _classes(user) for user in found.items):
                return True
        return False


def _classes(user: Object) -> list[str]:
    """The classes of attributes that a volume or a claim names, has, or is to have."""
    spec, status = user["spec"], user.get("status") or {}
    named = (
        spec.get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        at(status, "modifyVolumeStatus", "targetVolumeAttributesClassName"),
    )
    return [name for name in named if name]
