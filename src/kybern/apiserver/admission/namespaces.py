"""How plugins look a namespace up."""

from __future__ import annotations

from kybern.api.errors import NotFound
from kybern.api.types import Object
from kybern.apiserver.app import App


class Namespaces:
    """Namespaces by name; objects must not be changed."""

    def __init__(self, app: App) -> None:
        self._registry = app.registry
        self._known = app.registry.lister("", "namespaces")

    async def get(self, name: str) -> Object:
        """Raises NotFound."""
        found = self._known.get("", name)
        if found is not None:
            return found
        # Another server may have made it a moment ago: the store knows.
        resource = self._registry.scheme.resource("", "namespaces")
        if resource is None:
            raise NotFound.of("namespaces", "", name)
        return await self._registry.get(resource, "", name)

    async def annotations(self, name: str) -> Object:
        """Of a namespace. Raises NotFound."""
        return (await self.get(name))["metadata"].get("annotations") or {}
