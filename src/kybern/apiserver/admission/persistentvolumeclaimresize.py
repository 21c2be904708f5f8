"""PersistentVolumeClaimResize: a claim may ask for more once it is bound, if its class lets volumes grow.

Source: Kubernetes documentation, "Persistent Volumes", Expanding Persistent Volumes Claims.
"""

from __future__ import annotations

from kybern.api import quantity
from kybern.api.cells import at
from kybern.api.core.persistentvolume import storage_class
from kybern.apiserver.admission.base import UPDATE, Attributes, Plugin
from kybern.apiserver.app import App

_NOT_BOUND = "Only bound persistent volume claims can be expanded"
_NO_GROWTH = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
)


class PersistentVolumeClaimResize(Plugin):
    """Looks at the request for storage."""

    name = "PersistentVolumeClaimResize"
    handles = frozenset({("", "persistentvolumeclaims")})
    operations = frozenset((UPDATE,))

    def __init__(self, app: App) -> None:
        self._classes = app.registry.lister("storage.k8s.io", "storageclasses")

    async def validate(self, a: Attributes) -> None:
        if a.subresource or a.object is None or a.old is None:
            return
        new, old = (at(one, "spec", "resources", "requests", "storage") or "0" for one in (a.object, a.old))
        if quantity.compare(new, old) <= 0:
            return
        if at(a.old, "status", "phase") != "Bound":
            raise a.forbidden(_NOT_BOUND)
        name = storage_class(a.object)
        found = self._classes.get("", name) if name and name == storage_class(a.old) else None
        if found is None or not found.get("allowVolumeExpansion"):
            raise a.forbidden(_NO_GROWTH)
