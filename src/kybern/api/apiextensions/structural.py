"""What a CRD's structural schema does to objects: says their type, drops what it doesn't know, fills in its defaults.

values.py checks values against it, rules.py evaluates its rules.
Source: Extend the API with CustomResourceDefinitions, "Pruning", "Defaulting and Nullable"; API reference,
JSONSchemaProps v1 apiextensions.k8s.io.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import orjson

from kybern.api import decoding, schema
from kybern.api.schema import Type
from kybern.api.types import Object

PRESERVE = "x-kubernetes-preserve-unknown-fields"
EMBEDDED = "x-kubernetes-embedded-resource"
INT_OR_STRING = "x-kubernetes-int-or-string"
_HEAD = ("apiVersion", "kind", "metadata")
_LEAVES = {"string": schema.STRING, "boolean": schema.BOOL, "number": schema.NUMBER, "integer": schema.INT64}


# Types.


def type_of(node: Object, kind: str) -> Type:
    """The type of whole objects of a kind."""
    made = _typed(node, kind)
    if made.shape == "deduced":
        made = _part("struct", kind)
        made.keep_unknown = True
    made.fields |= {"apiVersion": schema.STRING, "kind": schema.STRING, "metadata": schema.object_meta()}
    return made


def _part(shape: str, go: str) -> Type:
    made = Type(shape, go)
    made.custom = True
    return made


def _typed(node: Object, name: str) -> Type:
    """The type of one node of a schema; `name` stands for the Go type."""
    if node.get(INT_OR_STRING):
        return schema.leaf("int-or-string")
    properties, more, kind = node.get("properties"), node.get("additionalProperties"), node.get("type")
    if kind == "array":
        return _list(node, name)
    if properties or node.get(EMBEDDED):
        return _struct(node, name)
    if isinstance(more, dict):
        made = _part("map", f"map[string]{name}")
        made.items = _typed(more, name)
        made.map_type = node.get("x-kubernetes-map-type", "granular")
        return made
    if kind not in _LEAVES and (node.get(PRESERVE) or more):
        if node.get("x-kubernetes-map-type") == "atomic":
            return schema.ANY
        return schema.DEDUCED
    return _LEAVES[kind] if kind in _LEAVES else _struct(node, name)


def _struct(node: Object, name: str) -> Type:
    made = _part("struct", name)
    made.fields = {key: _typed(part, key) for key, part in (node.get("properties") or {}).items()}
    made.defaults = {
        key: part["default"] for key, part in (node.get("properties") or {}).items() if part.get("default") is not None
    }
    made.keep_unknown = bool(node.get(PRESERVE))
    made.map_type = node.get("x-kubernetes-map-type", "granular")
    if node.get(EMBEDDED):
        made.fields |= {"apiVersion": schema.STRING, "kind": schema.STRING, "metadata": schema.object_meta()}
    return made


def _list(node: Object, name: str) -> Type:
    made = _part("list", f"[]{name}")
    made.items = _typed(node.get("items") or {PRESERVE: True}, name)
    made.list_type = node.get("x-kubernetes-list-type", "atomic")
    made.map_keys = tuple(node.get("x-kubernetes-list-map-keys") or ())
    return made


# Pruning.


def prune(node: Object, obj: Object) -> list[str]:
    """Remove from a whole object what its schema doesn't know; give the paths. Its metadata is checked against
    ObjectMeta. Raises BadRequest for metadata of wrong types."""
    unknown = _prune_head(obj, "")
    _prune(node, obj, "", unknown, root=True)
    return unknown


def _prune_head(obj: Object, path: str) -> list[str]:
    """Check and prune the metadata of a resource, whole or embedded."""
    head = {key: obj[key] for key in _HEAD if key in obj and (key == "metadata" or not path)}
    unknown = decoding.check(_head_type(), head)
    for key in _HEAD:
        if key in head:
            obj[key] = head[key]
        elif not path:
            obj.pop(key, None)
    return [f"{path}.{one}" if path else one for one in unknown]


@lru_cache(maxsize=1)
def _head_type() -> Type:
    made = Type("struct", "")
    made.fields = {"apiVersion": schema.STRING, "kind": schema.STRING, "metadata": schema.object_meta()}
    return made


def _prune(node: Object, value: Any, path: str, unknown: list[str], *, root: bool = False) -> None:
    if isinstance(value, list):
        items = node.get("items")
        if isinstance(items, dict):
            for index, item in enumerate(value):
                _prune(items, item, f"{path}[{index}]", unknown)
        return
    if not isinstance(value, dict):
        return
    embedded = bool(node.get(EMBEDDED))
    if embedded and isinstance(value.get("metadata"), dict):
        unknown += _prune_head(value, path)
    head: tuple[str, ...] = _HEAD if root or embedded else ()
    properties, more = node.get("properties") or {}, node.get("additionalProperties")
    keep = node.get(PRESERVE) or more is True
    for name in list(value):
        here = f"{path}.{name}" if path else name
        if name in head:
            continue
        if name in properties:
            _prune(properties[name], value[name], here, unknown)
        elif isinstance(more, dict):
            _prune(more, value[name], here, unknown)
        elif not keep:
            unknown.append(here)
            del value[name]


# Defaulting.


def default(node: Object, value: Any) -> None:
    """Fill in defaults, in place. Nulls where null is not allowed count as absent."""
    if isinstance(value, list):
        items = node.get("items")
        if isinstance(items, dict):
            for item in value:
                default(items, item)
        return
    if not isinstance(value, dict):
        return
    properties, more = node.get("properties") or {}, node.get("additionalProperties")
    for name, part in properties.items():
        if name in value and value[name] is None and not part.get("nullable"):
            del value[name]
        if name not in value and part.get("default") is not None:
            value[name] = orjson.loads(orjson.dumps(part["default"]))
        if name in value:
            default(part, value[name])
    if isinstance(more, dict):
        for name in [name for name in value if name not in properties]:
            if value[name] is None and not more.get("nullable"):
                if more.get("default") is None:
                    del value[name]
                    continue
                value[name] = orjson.loads(orjson.dumps(more["default"]))
            default(more, value[name])


def has_defaults(node: Object) -> bool:
    """Whether there is a default anywhere in a schema."""
    parts = [*(node.get("properties") or {}).values(), node.get("items"), node.get("additionalProperties")]
    return node.get("default") is not None or any(has_defaults(part) for part in parts if isinstance(part, dict))
