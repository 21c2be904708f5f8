"""What `kubectl get` asks for: meta.k8s.io/v1 Tables, and objects cut down to their metadata.

Source: API concepts, "Receiving resources as Tables"; KEP-555.
"""

from __future__ import annotations

from collections.abc import Iterable

from kybern.api.resource import AGE, Column, Resource
from kybern.api.types import Object

GROUP = "meta.k8s.io"
API_VERSION = f"{GROUP}/v1"
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


def row(shown: list[Column], obj: Object, include: str = "Metadata", meta_version: str = "v1") -> Object:
    """A TableRow. `shown` is `columns(resource)`, `obj` in the stored shape, `include` one of INCLUDE."""
    made: Object = {"cells": [column.cell(obj) for column in shown]}
    if include == "None":
        made["object"] = None
    elif include == "Object":
        made["object"] = obj
    else:
        made["object"] = partial(obj, meta_version)
    return made


def table(
    resource: Resource,
    objects: Iterable[Object],
    *,
    include: str = "Metadata",
    list_meta: Object | None = None,
    headers: bool = True,
    version: str = "",
    meta_version: str = "v1",
) -> Object:
    """A Table. `include` is one of INCLUDE, `list_meta` ListMeta (resourceVersion, continue, ...); watches leave
    `headers` off after the first. `version` is the served one, `meta_version` that of the Table."""
    shown = columns(resource, version)
    return {
        "kind": "Table",
        "apiVersion": f"{GROUP}/{meta_version}",
        "metadata": list_meta or {},
        "columnDefinitions": column_definitions(shown) if headers else None,
        "rows": [row(shown, obj, include, meta_version) for obj in objects],
    }


def partial(obj: Object, meta_version: str = "v1") -> Object:
    """PartialObjectMetadata of an object."""
    head = {"kind": "PartialObjectMetadata", "apiVersion": f"{GROUP}/{meta_version}"}
    return {**head, "metadata": obj.get("metadata") or {}}


def partial_list(objects: Iterable[Object], list_meta: Object, meta_version: str = "v1") -> Object:
    """PartialObjectMetadataList; `list_meta` is ListMeta."""
    items = [partial(obj, meta_version) for obj in objects]
    head = {"kind": "PartialObjectMetadataList", "apiVersion": f"{GROUP}/{meta_version}"}
    return {**head, "metadata": list_meta, "items": items}
