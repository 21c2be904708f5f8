"""What is used stays: the protection of claims, volumes and classes of attributes goes when nothing uses them.

Admission gave them the finalizer (apiserver/admission/storageobjectinuseprotection.py); what is older gets it here.
Source: Kubernetes documentation, "Persistent Volumes", Storage Object in Use Protection; KEP-3751.
"""

from __future__ import annotations

from kybern.api.errors import NotFound
from kybern.api.types import Object, key_of
from kybern.client.informer import Informer
from kybern.controllers.controller import Context, Controller
from kybern.controllers.owners import is_deleting


class Protection(Controller):
    """Keeps one finalizer on the objects of one resource for as long as `used` says so."""

    api_version, plural, namespaced = "v1", "", True
    finalizer = ""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.protected: Informer = self.informer(self.api_version, self.plural, namespaced=self.namespaced)
        self._resource = self.client.resource(self.api_version, self.plural, namespaced=self.namespaced)
        self.watch(self.protected, lambda obj: [key_of(obj)] if self._is_due(obj) else [])

    def _is_due(self, obj: Object) -> bool:
        """Whether the finalizer may have to go, or to come."""
        return is_deleting(obj) == (self.finalizer in (obj["metadata"].get("finalizers") or ()))

    async def reconcile(self, key: str) -> float | None:
        obj = self.protected.get(key)
        if obj is None or not self._is_due(obj):
            return None
        finalizers = obj["metadata"].get("finalizers") or []
        if not is_deleting(obj):
            finalizers = [*finalizers, self.finalizer]
        elif self.used(obj) or await self.really_used(obj):
            return None
        else:
            finalizers = [one for one in finalizers if one != self.finalizer]
        try:
            await self._resource.update({**obj, "metadata": {**obj["metadata"], "finalizers": finalizers}})
        except NotFound:
            return None
        return None

    def used(self, obj: Object) -> bool:
        """Whether, by the caches, something uses the object."""
        return False

    async def really_used(self, obj: Object) -> bool:
        """The same, of the API server itself, where caches may lag behind."""
        return False
