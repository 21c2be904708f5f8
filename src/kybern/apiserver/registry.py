"""The way to what is stored, for the verbs and for the server's own loops (bootstrap, allocators)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from kybern.api.resource import Resource
from kybern.api.scheme import Scheme
from kybern.api.types import Object
from kybern.store.base import Store


class Lister(Protocol):
    """A cheap synchronous view of one resource for authorizers and admission; objects must not be changed."""

    version: int
    """Changes with every change of any object."""

    def get(self, namespace: str, name: str) -> Object | None: ...

    def list(self, namespace: str = "") -> list[Object]: ...


class Registry:
    """Scheme, store and one watch cache per resource in use."""

    def __init__(self, scheme: Scheme, store: Store) -> None:
        self.scheme = scheme
        self.store = store

    def lister(self, group: str, plural: str) -> Lister:
        """The view of a resource. `await registry.started(resource)` first, else it starts empty and fills soon."""
        raise LookupError(f"{plural}.{group}")

    async def started(self, resource: Resource) -> None:
        """Return once the resource's watch cache holds what the store holds."""

    async def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """The object, a fresh copy with its resourceVersion. Raises NotFound."""
        raise LookupError(name)

    async def create(self, resource: Resource, obj: Object, *, dry_run: bool = False) -> Object:
        """Store a complete object (defaults and metadata are filled in; no admission). Raises AlreadyExists."""
        raise LookupError(obj)

    async def guaranteed_update(
        self, resource: Resource, namespace: str, name: str, change: Callable[[Object], Object | None]
    ) -> Object:
        """Read, change, write, again if someone else wrote in between. `change` gets a fresh copy and gives the new
        object, or None to leave it. No admission, no validation. Raises NotFound."""
        raise LookupError(change)

    async def delete(self, resource: Resource, namespace: str, name: str, *, uid: str = "") -> Object:
        """Delete at once, whatever finalizers say. Raises NotFound, Conflict (uid)."""
        raise LookupError(uid)
