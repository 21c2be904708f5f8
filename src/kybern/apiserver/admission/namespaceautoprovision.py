"""NamespaceAutoProvision: what is made in a namespace that isn't there has it made first.

Source: Kubernetes documentation, "Admission Control in Kubernetes", NamespaceAutoProvision.
"""

from __future__ import annotations

import contextlib

from kybern.api.errors import AlreadyExists
from kybern.apiserver.admission.base import CREATE, Attributes, Plugin
from kybern.apiserver.app import App


class NamespaceAutoProvision(Plugin):
    """Looks at creations in namespaces."""

    name = "NamespaceAutoProvision"
    operations = frozenset((CREATE,))

    def __init__(self, app: App) -> None:
        self._registry = app.registry
        self._namespaces = app.registry.lister("", "namespaces")

    async def admit(self, a: Attributes) -> None:
        resource = self._registry.scheme.resource("", "namespaces")
        if a.dry_run or not a.namespace or not a.resource.namespaced or resource is None:
            return
        if self._namespaces.get("", a.namespace) is None:
            with contextlib.suppress(AlreadyExists):
                await self._registry.create(resource, {"metadata": {"name": a.namespace}})
