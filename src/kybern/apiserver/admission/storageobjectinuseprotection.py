"""StorageObjectInUseProtection: volumes, claims and classes of attributes stay while they are used.

The finalizer that it gives them is taken away by a controller (controllers/protection.py) when nothing uses them.
Source: Kubernetes documentation, "Persistent Volumes", Storage Object in Use Protection.
"""

from __future__ import annotations

from kybern.api.core.persistentvolume import PROTECTION as PV_PROTECTION
from kybern.api.core.persistentvolumeclaim import PROTECTION as PVC_PROTECTION
from kybern.api.storage.volumeattributesclass import PROTECTION as VAC_PROTECTION
from kybern.apiserver.admission.base import CREATE, Attributes, Plugin

_FINALIZERS = {
    ("", "persistentvolumes"): PV_PROTECTION,
    ("", "persistentvolumeclaims"): PVC_PROTECTION,
    ("storage.k8s.io", "volumeattributesclasses"): VAC_PROTECTION,
}


class StorageObjectInUseProtection(Plugin):
    """Adds the kind's finalizer to what is created."""

    name = "StorageObjectInUseProtection"
    handles = frozenset(_FINALIZERS)
    operations = frozenset((CREATE,))

    async def admit(self, a: Attributes) -> None:
        if a.subresource or a.object is None:
            return
        metadata, finalizer = a.object["metadata"], _FINALIZERS[(a.resource.group, a.resource.plural)]
        if finalizer not in (metadata.get("finalizers") or ()):
            metadata["finalizers"] = [*(metadata.get("finalizers") or ()), finalizer]
