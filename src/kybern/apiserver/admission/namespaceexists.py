"""NamespaceExists: nothing is written in a namespace that isn't there.

Source: Kubernetes documentation, "Admission Control in Kubernetes", NamespaceExists.
"""

from __future__ import annotations

from kybern.apiserver.admission.base import CREATE, DELETE, UPDATE, Attributes, Plugin
from kybern.apiserver.admission.namespaces import Namespaces
from kybern.apiserver.app import App


class NamespaceExists(Plugin):
    """Looks at every write in a namespace."""

    name = "NamespaceExists"
    operations = frozenset((CREATE, UPDATE, DELETE))

    def __init__(self, app: App) -> None:
        self._namespaces = Namespaces(app)

    async def validate(self, a: Attributes) -> None:
        if a.namespace and a.resource.namespaced:
            await self._namespaces.get(a.namespace)
