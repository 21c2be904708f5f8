"""The schema type of a resource's objects."""

from __future__ import annotations

from functools import lru_cache

from kybern.api import schema
from kybern.api.apiextensions.custom import CustomResource
from kybern.api.resource import Resource
from kybern.api.schema import Type


@lru_cache(maxsize=1024)
def builtin_type(api_version: str, kind: str) -> Type | None:
    """The type of a built-in kind; None if there is none."""
    return schema.builtin().kind(api_version, kind)


def type_of(resource: Resource, version: str) -> Type | None:
    """The type in a served version; None where there is no schema."""
    if isinstance(resource, CustomResource):
        return resource.type_of(version)
    return builtin_type(f"{resource.group}/{version}" if resource.group else version, resource.kind)


def stored_type(resource: Resource) -> Type | None:
    """The type in the stored shape, which may be that of another group's kind."""
    if resource.custom:
        return type_of(resource, resource.stored_as)
    return builtin_type(resource.api_version(), resource.kind)


def type_named(api_version: str, kind: str) -> Type:
    """The type of a built-in kind that is not stored."""
    found = builtin_type(api_version, kind)
    assert found is not None, f"no type {kind} in {api_version}"
    return found
