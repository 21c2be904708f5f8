"""The schema type of a resource's objects."""

from __future__ import annotations

from functools import lru_cache

from kybern.api import fieldsets, schema
from kybern.api.apiextensions.custom import CustomResource
from kybern.api.fieldsets import FieldSet
from kybern.api.managedfields import Differences
from kybern.api.resource import Resource
from kybern.api.schema import ANY, Type
from kybern.api.types import Object


@lru_cache(maxsize=1024)
def _builtin(api_version: str, kind: str) -> Type | None:
    return schema.builtin().kind(api_version, kind)


def type_of(resource: Resource, version: str) -> Type | None:
    """The type in a served version; None where there is no schema."""
    if isinstance(resource, CustomResource):
        return resource.type_of(version)
    return _builtin(f"{resource.group}/{version}" if resource.group else version, resource.kind)


def stored_type(resource: Resource) -> Type | None:
    """The type in the stored shape, which may be that of another group's kind."""
    if resource.custom:
        return type_of(resource, resource.stored_as)
    return _builtin(resource.api_version(), resource.kind)


def differing(resource: Resource, old: Object, new: Object, ignore: tuple[str, ...]) -> Differences | None:
    """What differs between two stored objects in each shape that the kind has; None where it has only one."""
    if not resource.reshapes:
        return None

    @lru_cache(maxsize=4)
    def differences(api_version: str) -> tuple[FieldSet, FieldSet]:
        known = _builtin(api_version, resource.kind) if api_version in resource.reshapes else None
        typ = known or stored_type(resource) or ANY
        before, after = (resource.in_shape_of(obj, api_version) for obj in (old, new))
        return fieldsets.compare(typ, before, after, ignore)

    return differences


class Shapes:
    """The shapes of a kind that has several, seen from an API version: see api/apply.py."""

    def __init__(self, resource: Resource, version: str) -> None:
        self._resource, self._version = resource, version

    def _shape(self, api_version: str) -> str:
        return api_version if api_version in self._resource.reshapes else ""

    def differs(self, api_version: str) -> bool:
        """Whether that version's shape is another than this one's."""
        return self._shape(api_version) != self._shape(self._resource.api_version(self._version))

    def show(self, obj: Object, api_version: str) -> tuple[Object, Type]:
        """An object of this version as another has it, and its type there."""
        known = _builtin(api_version, self._resource.kind) if self._shape(api_version) else None
        shown = self._resource.in_shape_of(self._resource.to_storage(obj), api_version)
        return shown, known or stored_type(self._resource) or ANY

    def back(self, obj: Object) -> Object:
        """An object of any version as this one has it."""
        return self._resource.from_storage(self._resource.to_storage(obj), self._version)


def type_named(api_version: str, kind: str) -> Type:
    """The type of a built-in kind that is not stored."""
    found = _builtin(api_version, kind)
    assert found is not None, f"no type {kind} in {api_version}"
    return found
