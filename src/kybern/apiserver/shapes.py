"""What an object looks like in other API versions, for who owns which field there (api/apply.py, api/managedfields.py):
of the built-in kinds that have several shapes, and of custom kinds with several versions.

A custom kind's conversion may be a webhook's, so it can't be waited for where ownership is worked out: what is lacking
is raised as Unconverted, fetched by `settled`, and the work done anew with it. That happens only where fields are
owned in another version than the request's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeVar

from kybern.api import fieldsets
from kybern.api.apiextensions.custom import CustomResource
from kybern.api.fieldsets import FieldSet
from kybern.api.managedfields import Differences
from kybern.api.patch import clone
from kybern.api.resource import Resource
from kybern.api.schema import ANY, Type
from kybern.api.types import Object
from kybern.apiserver.codec import encode
from kybern.apiserver.types import builtin_type, stored_type

T = TypeVar("T")


class Shapes:
    """The shapes of a built-in kind that has several, seen from an API version."""

    def __init__(self, resource: Resource, version: str) -> None:
        self._resource, self._version = resource, version

    def _shape(self, api_version: str) -> str:
        return api_version if api_version in self._resource.reshapes else ""

    def differs(self, api_version: str) -> bool:
        """Whether that version's shape is another than this one's."""
        return self._shape(api_version) != self._shape(self._resource.api_version(self._version))

    def show(self, obj: Object, api_version: str) -> tuple[Object, Type]:
        """An object of this version as another has it, and its type there."""
        known = builtin_type(api_version, self._resource.kind) if self._shape(api_version) else None
        shown = self._resource.in_shape_of(self._resource.to_storage(obj), api_version)
        return shown, known or stored_type(self._resource) or ANY

    def back(self, obj: Object) -> Object:
        """An object of any version as this one has it."""
        return self._resource.from_storage(self._resource.to_storage(obj), self._version)


class Unconverted(Exception):
    """An object has first to be converted to a version."""

    def __init__(self, obj: Object, version: str, key: tuple[bytes, str]) -> None:
        super().__init__(version)
        self.obj, self.version, self.key = obj, version, key


class CustomShapes:
    """The same of a custom kind, within one request. `show` and `back` raise Unconverted."""

    def __init__(self, resource: CustomResource, version: str) -> None:
        self._resource, self._version = resource, version
        self._known: dict[tuple[bytes, str], Object] = {}

    def differs(self, api_version: str) -> bool:
        """Whether that is another version of the kind. Of one that is no more, fields go by the names they have now."""
        group, _, version = api_version.rpartition("/")
        return group == self._resource.group and version != self._version and version in self._resource.schemas

    def show(self, obj: Object, api_version: str) -> tuple[Object, Type]:
        """An object as another version has it, and its type there."""
        version = api_version.rpartition("/")[2]
        return self._in(obj, version), self._resource.type_of(version) or ANY

    def back(self, obj: Object) -> Object:
        """An object of any version as this one has it; the caller's own."""
        return clone(self._in(obj, self._version))

    def _in(self, obj: Object, version: str) -> Object:
        if obj.get("apiVersion") == f"{self._resource.group}/{version}":
            return obj
        key = (encode(obj), version)
        if key not in self._known:
            raise Unconverted(obj, version, key)
        return self._known[key]

    async def settled(self, work: Callable[[], T]) -> T:
        """The result of `work`, which is repeated until all is converted that it needs. Raises what the kind's
        converter raises."""
        while True:
            try:
                return work()
            except Unconverted as lacking:
                # Whoever works may go on to change what it had converted.
                obj: Object = {**lacking.obj, "metadata": {**lacking.obj["metadata"]}}
                [self._known[lacking.key]] = await self._resource.converted([obj], lacking.version)


def shapes_of(resource: Resource, version: str) -> Shapes | CustomShapes | None:
    """The shapes of a kind, seen from a version; None where it has only one."""
    if isinstance(resource, CustomResource):
        return CustomShapes(resource, version) if len(resource.schemas) > 1 else None
    return Shapes(resource, version) if resource.reshapes else None


def differing(
    resource: Resource, old: Object, new: Object, ignore: tuple[str, ...], shapes: Shapes | CustomShapes | None
) -> Differences | None:
    """What differs between two stored objects in each shape that the kind has; None where it has only one."""
    if shapes is None:
        return None

    @lru_cache(maxsize=4)
    def differences(api_version: str) -> tuple[FieldSet, FieldSet]:
        if isinstance(shapes, CustomShapes):
            if not shapes.differs(api_version):
                return fieldsets.compare(stored_type(resource) or ANY, old, new, ignore)
            (before, typ), (after, _) = shapes.show(old, api_version), shapes.show(new, api_version)
            return fieldsets.compare(typ, before, after, ignore)
        known = builtin_type(api_version, resource.kind) if api_version in resource.reshapes else None
        before, after = (resource.in_shape_of(obj, api_version) for obj in (old, new))
        return fieldsets.compare(known or stored_type(resource) or ANY, before, after, ignore)

    return differences
