"""Definitions in the forms of OpenAPI 2 and 3, from the type definitions and from CRDs' schemas.

The package of definitions is JSON schema: `type: ["string", "null"]`, `$ref: "#/$defs/..."`, an enum on apiVersion and
kind. None of that is upstream's document, which clients read.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kybern.api.resource import Resource
from kybern.api.types import Object

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
OBJECT_META, LIST_META = f"{META}ObjectMeta", f"{META}ListMeta"
STATUS, DELETE_OPTIONS, PATCH = f"{META}Status", f"{META}DeleteOptions", f"{META}Patch"
V2_REF, V3_REF = "#/definitions/", "#/components/schemas/"
_INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
_QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
_GVK = "x-kubernetes-group-version-kind"
_CUSTOM = "custom"
"""Marks, inside here only, a definition made from a CRD's schema."""
_EMBEDDED, _PRESERVE = "x-kubernetes-embedded-resource", "x-kubernetes-preserve-unknown-fields"

_V2_UNKNOWN = frozenset(("oneOf", "anyOf", "not", "nullable", "allOf"))
"""What a CRD's schema may have and an OpenAPI 2 document may not."""


class Schemas:
    """All definitions, built-in and custom, by name; and the names by group, version and kind."""

    def __init__(self, raw: Mapping[str, Object]) -> None:
        self._raw = dict(raw)
        self._names: dict[tuple[str, str, str], str] = {}
        for name, schema in self._raw.items():
            for gvk in schema.get(_GVK, ()):
                # DeleteOptions and WatchEvent are of every group; the kinds themselves come from one.
                if not name.startswith(META) or (gvk["group"] == "" and gvk["version"] == "v1"):
                    self._names.setdefault((gvk["group"], gvk["version"], gvk["kind"]), name)

    def add_custom(self, resource: Resource, schemas: Mapping[str, Object]) -> None:
        """Add a custom kind: version -> openAPIV3Schema."""
        for version, schema in schemas.items():
            gvk = {"group": resource.group, "version": version, "kind": resource.kind}
            name = custom_name(resource, version)
            properties = {**_head(), **(schema.get("properties") or {})}
            properties["metadata"] = {"$ref": f"#/$defs/{OBJECT_META}"}
            properties |= _head()
            self._raw[name] = {**schema, "type": "object", "properties": properties, _GVK: [gvk], _CUSTOM: True}
            items = {"type": "array", "items": {"$ref": f"#/$defs/{name}"}}
            self._raw[f"{name}List"] = {
                "type": "object",
                "description": f"{resource.kind}List is a list of {resource.kind}",
                "required": ["items"],
                "properties": {**_head(), "items": items, "metadata": {"$ref": f"#/$defs/{LIST_META}"}},
                _GVK: [{**gvk, "kind": f"{resource.kind}List"}],
            }
            self._names[(resource.group, version, resource.kind)] = name
            self._names[(resource.group, version, f"{resource.kind}List")] = f"{name}List"

    def name(self, group: str, version: str, kind: str) -> str:
        """The definition's name, "" if there is none."""
        return self._names.get((group, version, kind), "")

    def closure(self, names: Iterable[str]) -> list[str]:
        """These definitions and all they refer to, sorted."""
        found: set[str] = set()
        waiting = [name for name in names if name in self._raw]
        while waiting:
            name = waiting.pop()
            if name in found:
                continue
            found.add(name)
            waiting += [ref for ref in _references(self._raw[name]) if ref in self._raw]
        return sorted(found)

    def v2(self, name: str) -> Object:
        """The definition as OpenAPI 2 has it."""
        return _special(name, 2) or _convert(self._plain(name, 2), 2)

    def v3(self, name: str) -> Object:
        """The definition as OpenAPI 3 has it."""
        return _special(name, 3) or _convert(self._plain(name, 3), 3)

    def _plain(self, name: str, version: int) -> Object:
        found = self._raw[name]
        return _published(found, version) if _CUSTOM in found else found


def custom_name(resource: Resource, version: str) -> str:
    """`com.example.stable.v1.CronTab`."""
    return ".".join([*reversed(resource.group.split(".")), version, resource.kind])


def _published(schema: Object, version: int) -> Object:
    """A CRD's schema as clients are to see it.

    Embedded resources have their apiVersion, kind and metadata. kubectl takes OpenAPI 2 at its word, so what that can't
    say is left out there: what a value that may be null, or may have any fields, looks like.
    """
    if version == 2 and _GVK in schema and schema.get(_PRESERVE):
        return {"type": "object", _GVK: schema[_GVK]}
    made = {key: value for key, value in schema.items() if key != _CUSTOM}
    properties = schema.get("properties") or {}
    if version == 2:
        nullable = [name for name, part in properties.items() if part.get("nullable")]
        _drop_required(made, nullable)
        if schema.get("nullable") or schema.get(_PRESERVE):
            made.pop("properties", None)
            made.pop("items", None)
        if schema.get("nullable"):
            made.pop("type", None)
            made.pop("additionalProperties", None)
    if isinstance(made.get("properties"), dict):
        made["properties"] = {name: _published(part, version) for name, part in made["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = _published(made[key], version)
    if schema.get(_EMBEDDED) and not (version == 2 and schema.get(_PRESERVE)):
        metadata = {"$ref": f"#/$defs/{OBJECT_META}"}
        made["properties"] = {**(made.get("properties") or {}), **_head(), "metadata": metadata}
        made["required"] = list(dict.fromkeys([*(schema.get("required") or ()), "kind", "apiVersion"]))
    return made


def _drop_required(schema: Object, names: Iterable[str]) -> None:
    kept = [name for name in schema.get("required") or () if name not in names]
    if kept:
        schema["required"] = kept
    else:
        schema.pop("required", None)


def _head() -> Object:
    more = "More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"
    return {
        "apiVersion": {"type": "string", "description": f"The versioned schema of this object. {more}#resources"},
        "kind": {"type": "string", "description": f"The REST resource this object represents. {more}#types-kinds"},
    }


def _special(name: str, version: int) -> Object | None:
    if name == _INT_OR_STRING:
        if version == 2:
            return {"type": "string", "format": "int-or-string"}
        return {"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}
    if name == _QUANTITY:
        return {"type": "string"} if version == 2 else {"oneOf": [{"type": "string"}, {"type": "number"}]}
    if name == PATCH:
        return {"type": "object", "description": "A patch of a resource in one of the patch content types."}
    return None


def _references(schema: Any) -> Iterable[str]:
    if isinstance(schema, dict):
        ref = schema.get("$ref")
        if isinstance(ref, str):
            yield ref.rpartition("/")[2]
        for value in schema.values():
            if isinstance(value, (dict, list)):
                yield from _references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _references(value)


def _convert(schema: Object, version: int) -> Object:
    """One schema node and all below it."""
    if version == 2 and schema.get("x-kubernetes-int-or-string"):
        return {"x-kubernetes-int-or-string": True, **_kept(schema, ("description", "default"))}
    made: Object = {}
    for key, value in schema.items():
        if key == "$ref":
            _refer(made, value, schema, version)
        elif key == "type":
            made["type"] = next(t for t in value if t != "null") if isinstance(value, list) else value
        elif key == "properties":
            made["properties"] = {name: _convert(part, version) for name, part in value.items()}
            _plain_head(made["properties"])
        elif key in ("items", "additionalProperties"):
            made[key] = _convert(value, version) if isinstance(value, dict) else value
        elif version == 2 and key in _V2_UNKNOWN:
            continue
        elif key in ("allOf", "anyOf", "oneOf"):
            made[key] = [_convert(part, version) for part in value]
        elif key == "not":
            made[key] = _convert(value, version)
        else:
            made[key] = value
    return made


def _refer(made: Object, ref: str, schema: Object, version: int) -> None:
    """A reference; beside other fields OpenAPI 3 wants it wrapped."""
    target = f"{V2_REF if version == 2 else V3_REF}{ref.rpartition('/')[2]}"
    if version == 2 or len(schema) == 1:
        made["$ref"] = target
    else:
        made["allOf"] = [{"$ref": target}]


def _plain_head(properties: Object) -> None:
    """The package narrows apiVersion and kind to one value; upstream's documents don't."""
    for field in ("apiVersion", "kind"):
        if isinstance(properties.get(field), dict):
            properties[field].pop("enum", None)


def _kept(schema: Object, keys: Iterable[str]) -> Object:
    return {key: schema[key] for key in keys if key in schema}
