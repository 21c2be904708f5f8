"""The type model: what fields an object has, how lists and maps merge, compiled once from the OpenAPI definitions.

`builtin()` gives upstream's types (from kubernetes-validate's definitions of API_VERSION); `structural.py` makes the
same model of a CRD's schema. decoding.py walks objects along it; patch and apply look merge keys up in it.
"""

from __future__ import annotations

import copy
import importlib.util
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

from kybern.api.types import Object

API_VERSION = "v1.36"
"""The Kubernetes version served."""


class SchemaUnavailable(Exception):
    """The installed kubernetes-validate has no definitions of API_VERSION. The message says what to install."""


class Type:
    """One node of the model. `shape` is "struct", "map", "list", "object" (any dict), "any", or a leaf: "string",
    "bool", "int32", "int64", "number", "quantity", "int-or-string", "time", "micro-time", "bytes"; or "deduced": free
    content, whose objects are owned field by field."""

    __slots__ = (
        "added", "applied", "custom", "defaults", "fast", "fields", "go", "items", "keep_unknown", "list_type",
        "map_keys", "map_type", "merge_key", "patch_strategy", "shape",
    )  # fmt: skip

    def __init__(self, shape: str, go: str) -> None:
        self.shape = shape
        self.go = go
        """The Go type, for decode errors: "v1.Container", "[]string"."""
        self.fields: dict[str, Type] = {}
        """A struct's fields by JSON name."""
        self.items: Type | None = None
        """What a list's items or a map's values are."""
        self.list_type = "atomic"
        """"atomic", "set" or "map", where shape is "list"."""
        self.map_keys: tuple[str, ...] = ()
        """The fields that identify an item where list_type is "map"."""
        self.map_type = "granular"
        """"granular" or "atomic", where shape is "struct" or "map"."""
        self.patch_strategy: frozenset[str] = frozenset()
        """Of strategic merge patch: "merge", "replace", "retainKeys"."""
        self.merge_key = ""
        """Of strategic merge patch: the field that identifies an item."""
        self.defaults: Object = {}
        """Defaults of a struct's fields that list-map keys may leave out."""
        self.keep_unknown = False
        """Whether a struct may have fields beyond `fields` (a CRD's x-kubernetes-preserve-unknown-fields)."""
        self.custom = False
        """Whether it is part of a custom kind, where no field is there by itself."""
        self.added: Any = None
        self.applied: Any = None
        """fieldsets.py's compiled builders."""
        self.fast: Any = None
        """decoding.py's compiled walker."""

    @property
    def struct_name(self) -> str:
        """`Container` of `v1.Container`."""
        return self.go.rpartition(".")[2]

    @property
    def atomic(self) -> bool:
        """Whether one field manager owns it as a whole."""
        if self.shape == "list":
            return self.list_type == "atomic"
        return self.map_type == "atomic" and self.shape in ("struct", "map", "object")

    def child(self, name: str) -> Type:
        """The type of a field or map value; ANY where the model doesn't know it."""
        if self.shape == "struct":
            return self.fields.get(name, DEDUCED if self.keep_unknown else ANY)
        if self.shape == "deduced":
            return self
        return self.items or ANY if self.shape == "map" else ANY


def leaf(shape: str, go: str = "") -> Type:
    """A type without parts."""
    return Type(shape, go or shape)


ANY = leaf("any", "interface {}")
DEDUCED = leaf("deduced", "interface {}")
STRING = leaf("string")
BOOL = leaf("bool")
INT32 = leaf("int32")
INT64 = leaf("int64")
NUMBER = leaf("number", "float64")
BYTES = leaf("bytes", "[]uint8")
OBJECT = leaf("object", "map[string]interface {}")

_SPECIAL = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": leaf("quantity", "resource.Quantity"),
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": leaf("int-or-string", "intstr.IntOrString"),
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": leaf("time", "v1.Time"),
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": leaf("micro-time", "v1.MicroTime"),
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": OBJECT,
    "io.k8s.apimachinery.pkg.runtime.RawExtension": ANY,
}
_KEY_DEFAULTS = {"v1.ContainerPort": {"protocol": "TCP"}, "v1.ServicePort": {"protocol": "TCP"}}
_LEAVES = {"string": STRING, "boolean": BOOL, "number": NUMBER, "integer": INT64}


class Definitions:
    """All built-in types, by definition name and by kind."""

    def __init__(self, raw: dict[str, Object]) -> None:
        self._types: dict[str, Type] = {}
        self._kinds: dict[tuple[str, str], Type] = {}
        for name, schema in raw.items():
            self._types[name] = _SPECIAL.get(name) or self._named(name, schema)
        for name, schema in raw.items():
            self._fill(self._types[name], schema)

    def _named(self, name: str, schema: Object) -> Type:
        if "properties" not in schema and _type_name(schema) != "object":
            return ANY
        parts = name.split(".")
        made = Type("struct" if "properties" in schema else "object", ".".join(parts[-2:]))
        made.map_type = schema.get("x-kubernetes-map-type", "granular")
        made.defaults = _KEY_DEFAULTS.get(made.go, {})
        return made

    def _fill(self, made: Type, schema: Object) -> None:
        for field, part in schema.get("properties", {}).items():
            made.fields[field] = self._part(part)
        for gvk in schema.get("x-kubernetes-group-version-kind", ()):
            group, version, kind = gvk["group"], gvk["version"], gvk["kind"]
            self._kinds[(f"{group}/{version}" if group else version, kind)] = made

    def _part(self, schema: Object) -> Type:
        reference = schema.get("$ref")
        if reference:
            made = self._types[reference.rpartition("/")[2]]
        else:
            made = self._inline(schema)
        strategy, map_type = schema.get("x-kubernetes-patch-strategy"), schema.get("x-kubernetes-map-type")
        if strategy or map_type:
            # A copy shares `fields`, which may not be filled in yet.
            made = copy.copy(made)
            made.patch_strategy = frozenset((strategy or "").split(",")) - {""}
            made.merge_key = schema.get("x-kubernetes-patch-merge-key", "")
            made.map_type = map_type or made.map_type
        return made

    def _inline(self, schema: Object) -> Type:
        name = _type_name(schema)
        if name == "array":
            items = self._part(schema["items"])
            made = Type("list", f"[]{items.go}")
            made.items = items
            made.list_type = schema.get("x-kubernetes-list-type", "atomic")
            made.map_keys = tuple(schema.get("x-kubernetes-list-map-keys", ()))
            return made
        if name == "object":
            if "additionalProperties" not in schema:
                return OBJECT
            values = self._part(schema["additionalProperties"])
            made = Type("map", f"map[string]{values.go}")
            made.items = values
            return made
        if schema.get("format") == "int32":
            return INT32
        if schema.get("format") == "byte":
            return BYTES
        return _LEAVES.get(name, ANY)

    def kind(self, api_version: str, kind: str) -> Type | None:
        """The type of an object's apiVersion and kind."""
        return self._kinds.get((api_version, kind))

    def named(self, definition: str) -> Type:
        """By full definition name, e.g. "io.k8s.api.core.v1.PodTemplateSpec". Raises KeyError."""
        return self._types[definition]


def _type_name(schema: Object) -> str:
    name = schema.get("type", "")
    if isinstance(name, list):
        name = next((one for one in name if one != "null"), "")
    return str(name)


def definitions_path() -> Path:
    """Where the definitions of API_VERSION are. Raises SchemaUnavailable."""
    # The package itself is not imported: it pulls in a JSON schema validator that nothing here needs.
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        raise SchemaUnavailable("the Python package kubernetes-validate is not installed; run `make install`")
    root = Path(next(iter(spec.submodule_search_locations))) / "kubernetes-json-schema"
    found = sorted(root.glob(f"{API_VERSION}.*-local/_definitions.json"))
    if not found:
        raise SchemaUnavailable(f"kubernetes-validate has no {API_VERSION} definitions; run `make install`")
    return found[0]


def raw_definitions() -> dict[str, Object]:
    """The definitions as published, descriptions and all: large, so don't keep them. Raises SchemaUnavailable."""
    definitions: dict[str, Object] = orjson.loads(definitions_path().read_bytes())["$defs"]
    return definitions


@lru_cache(maxsize=1)
def builtin() -> Definitions:
    """The built-in types; read on first use. Raises SchemaUnavailable."""
    return Definitions(raw_definitions())


def object_meta() -> Type:
    """ObjectMeta, which every kind has."""
    return builtin().named("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
