"""DefaultStorageClass: a claim that says nothing of its class gets the one that is marked as default.

Source: Kubernetes documentation, "Storage Classes", default StorageClass.
"""

from __future__ import annotations

import logging

from kybern.api.core.persistentvolume import BETA_CLASS
from kybern.api.storage.storageclass import is_default
from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, Attributes, Plugin
from kybern.apiserver.app import App

log = logging.getLogger(__name__)


class DefaultStorageClass(Plugin):
    """Fills in spec.storageClassName; an empty name is a name."""

    name = "DefaultStorageClass"
    handles = frozenset({("", "persistentvolumeclaims")})
    operations = frozenset((CREATE,))

    def __init__(self, app: App) -> None:
        self._classes = app.registry.lister("storage.k8s.io", "storageclasses")

    async def admit(self, a: Attributes) -> None:
        if a.subresource or a.object is None or a.object["spec"].get("storageClassName") is not None:
            return
        if BETA_CLASS in (a.object["metadata"].get("annotations") or {}):
            return
        found = self._default()
        if found is not None:
            a.object["spec"]["storageClassName"] = found["metadata"]["name"]

    def _default(self) -> Object | None:
        """The newest of those marked; of several made in the same second, the first by name."""
        marked = sorted(filter(is_default, self._classes.list()), key=lambda one: str(one["metadata"]["name"]))
        if len(marked) > 1:
            log.info("%d default StorageClasses were found, choosing the newest", len(marked))
        return max(marked, key=lambda one: str(one["metadata"]["creationTimestamp"]), default=None)
