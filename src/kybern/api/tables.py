"""What `kubectl get` asks for: meta.k8s.io/v1 Tables, and objects cut down to their metadata.

Source: API concepts, "Receiving resources as Tables"; KEP-555.
"""

from __future__ import annotations

from collections.abc import Iterable

from kybern.api.errors import BadRequest
from kybern.api.resource import AGE, Column, Resource
from kybern.api.types import Object

API_VERSION = "meta.k8s.io/v1"
INCLUDE = ("None", "Metadata", "Object")

_NAME_DESCRIPTION = "Name must be unique within a namespace."


def columns(resource: Resource, version: str = "") -> list[Column]:
    """The columns shown for a kind in a served version (the stored one by default), the name first."""
    own = list(resource.columns_of(version or resource.stored_as) or (AGE,))
    if not resource.name_column:
        return own
    return [Column("Name", "string", resource.display_name, _NAME_DESCRIPTION, format="name"), *own]


def column_definitions(shown: Iterable[Column]) -> list[Object]:
    """TableColumnDefinitions."""
    return [
        {"name": c.name, "type": c.type, "format": c.format, "description": c.description, "priority": c.priority}
        for c in shown
    ]


def row(shown: list[Column], obj: Object, include: str = "Metadata") -> Object:
    """A TableRow. `shown` is `columns(resource)`, `obj` in the stored shape, `include` one of INCLUDE."""
    made: Object = {"cells": [column.cell(obj) for column in shown]}
    if include == "None":
        made["object"] = None
    elif include == "Object":
        made["object"] = obj
    else:
        made["object"] = partial(obj)
    return made


def table(
    resource: Resource,
    objects: Iterable[Object],
    *,
    include: str = "Metadata",
    list_meta: Object | None = None,
    headers: bool = True,
    version: str = "",
) -> Object:
    """A Table. `list_meta` is ListMeta (resourceVersion, continue, ...); watches leave `headers` off after the first.
    Raises BadRequest for an unknown `include`."""
    if include not in INCLUDE:
        raise BadRequest(f'unrecognized includeObject value: "{include}"')
    shown = columns(resource, version)
    return {
        "kind": "Table",
        "apiVersion": API_VERSION,
        "metadata": list_meta or {},
        "columnDefinitions": column_definitions(shown) if headers else None,
        "rows": [row(shown, obj, include) for obj in objects],
    }


def partial(obj: Object) -> Object:
    """PartialObjectMetadata of an object."""
    return {"kind": "PartialObjectMetadata", "apiVersion": API_VERSION, "metadata": obj.get("metadata") or {}}


def partial_list(objects: Iterable[Object], list_meta: Object) -> Object:
    """PartialObjectMetadataList; `list_meta` is ListMeta."""
    items = [partial(obj) for obj in objects]
    return {"kind": "PartialObjectMetadataList", "apiVersion": API_VERSION, "metadata": list_meta, "items": items}
