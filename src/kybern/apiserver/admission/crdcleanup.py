"""A CRD that is deleted first gets the finalizer that has its objects deleted before it goes.

Source: API reference, CustomResourceDefinition v1 apiextensions.k8s.io.
"""

from __future__ import annotations

from kybern.api.apiextensions.customresourcedefinition import FINALIZER
from kybern.api.types import Object
from kybern.apiserver.admission.base import DELETE, Attributes, Plugin
from kybern.apiserver.app import App


class CustomResourceCleanup(Plugin):
    """Looks at deletions of CRDs."""

    name = "CustomResourceCleanup"
    handles = frozenset({("apiextensions.k8s.io", "customresourcedefinitions")})
    operations = frozenset((DELETE,))

    def __init__(self, app: App) -> None:
        self._registry = app.registry

    async def admit(self, a: Attributes) -> None:
        if a.subresource or a.dry_run or not a.name:
            return
        await self._registry.guaranteed_update(a.resource, "", a.name, _with_finalizer)


def _with_finalizer(crd: Object) -> Object | None:
    finalizers = crd["metadata"].get("finalizers") or []
    if FINALIZER in finalizers:
        return None
    return {**crd, "metadata": {**crd["metadata"], "finalizers": [*finalizers, FINALIZER]}}
