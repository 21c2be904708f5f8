"""The tables of field numbers, held against the whole OpenAPI document: every field, in its shape, and no other."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from typing import Any

import pytest

from kybern.api import protobuf_tables
from kybern.api.protobuf_fields import GROUPS, LEAVES, Field, fields, root
from kybern.api.schema import raw_definitions
from kybern.api.scheme import Scheme, builtin

DEFINITIONS = raw_definitions()
NOT_IN_OPENAPI = {
    # Bodies of requests that no operation names, and query parameters.
    *(f"meta.{kind}Options" for kind in ("Create", "Get", "List", "Patch", "Update")),
    # What clients ask for instead of the object or list that an operation names.
    "meta.PartialObjectMetadata", "meta.v1beta1/PartialObjectMetadataList",
    # kubectl's list of anything.
    "meta.List",
    # Discovery of all groups at once: one answer of /apis among others.
    "apidiscovery.APIGroupDiscovery", "apidiscovery.APIVersionDiscovery", "apidiscovery.APIResourceDiscovery",
    "apidiscovery.APISubresourceDiscovery",
    # In discovery of all groups, and references of it, alone.
    "meta.GroupVersionKind",
}  # fmt: skip
"""Messages that no definition of the document leads to."""

LEAF_DEFINITIONS = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "json",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "microtime",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "time",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "json",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "intorstring",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": "json",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": "schemaorarray",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": "schemaorbool",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": "schemaorstrings",
}


def kinds() -> Iterator[tuple[str, str, str]]:
    """(definition, apiVersion, kind) of all kinds in the document, their lists, and what requests hold beside them."""
    for name, definition in DEFINITIONS.items():
        for gvk in definition.get("x-kubernetes-group-version-kind", ()):
            yield name, f"{gvk['group']}/{gvk['version']}".removeprefix("/"), gvk["kind"]


def known_to_group(api_version: str) -> bool:
    """Whether a version is one that has kinds: options are named for those of groups long gone, too."""
    return any(one == api_version and kind not in ("DeleteOptions", "WatchEvent") for _, one, kind in kinds())


def entry(message: str) -> str:
    """The table's key of a message, after the table's name."""
    group, version, name = message.split(".")
    own = f"{version}/{name}"
    return f"{group}.{own if own in tables()[group] else name}"


@cache
def tables() -> dict[str, dict[str, str]]:
    names = [module.name for module in pkgutil.iter_modules(protobuf_tables.__path__)]
    return {name: import_module(f"{protobuf_tables.__name__}.{name}").MESSAGES for name in names}


def flat(message: str) -> dict[str, Field]:
    """A message's fields by name, with those that lie in a message of their own."""
    made: dict[str, Field] = {}
    for field in fields(message).values():
        inner = flat(field.kind) if field.shape == "inline" else {field.name: field}
        assert not made.keys() & inner.keys()
        made |= inner
    return made


def type_of(schema: dict[str, Any]) -> str:
    """Its JSON type; the document at hand lets null stand for any that isn't required."""
    types = [schema["type"]] if isinstance(schema.get("type"), str) else schema.get("type", [])
    return next((one for one in types if one != "null"), "")


def leaf(schema: dict[str, Any]) -> str:
    """The kind that a table should have for a value that is no message; "" for a message."""
    if "$ref" in schema:
        return LEAF_DEFINITIONS.get(schema["$ref"].rpartition("/")[2], "")
    if type_of(schema) == "string":
        return "bytes" if schema.get("format") == "byte" else "string"
    if type_of(schema) == "array":
        assert type_of(schema["items"]) == "string"
        return "strings"
    return {"integer": "int", "boolean": "bool", "number": "double"}[type_of(schema)]


def shaped(name: str, schema: dict[str, Any], field: Field) -> tuple[str, dict[str, Any]]:
    """The shape that a field of a definition has, and what its value, items or values are."""
    if type_of(schema) == "array" and field.kind != "strings":
        return "list", schema["items"]
    if type_of(schema) == "object" and "additionalProperties" in schema:
        return "map", schema["additionalProperties"]
    return "one", schema


def walk(definition: str, message: str, seen: set[tuple[str, str]]) -> Iterator[str]:
    """What is wrong with a message's table, and with those of all that it holds."""
    if (definition, message) in seen:
        return
    seen.add((definition, message))
    schema = DEFINITIONS[definition]
    properties: dict[str, Any] = dict(schema.get("properties", {}))
    if "x-kubernetes-group-version-kind" in schema:
        # Said outside of the message, by the envelope; objects within others say it in JSON alone.
        properties.pop("apiVersion", None)
        properties.pop("kind", None)
    table = flat(message)
    yield from (f"{message} lacks {name}" for name in properties.keys() - table.keys())
    yield from (f"{message} has {name}" for name in table.keys() - properties.keys())
    for name in properties.keys() & table.keys():
        field = table[name]
        shape, value = shaped(name, properties[name], field)
        if field.shape != shape:
            yield f"{message}.{name} is {shape}, not {field.shape}"
        elif expected := leaf(value):
            if field.kind != expected:
                yield f"{message}.{name} holds {expected}, not {field.kind}"
        elif field.kind in LEAVES:
            yield f"{message}.{name} holds a message, not {field.kind}"
        else:
            yield from walk(value["$ref"].rpartition("/")[2], field.kind, seen)


def test_every_field_of_every_kind_has_its_number_and_shape() -> None:
    seen: set[tuple[str, str]] = set()
    wrong = []
    for definition, api_version, kind in kinds():
        message = root(api_version, kind)
        if message:
            wrong += walk(definition, message, seen)
        elif known_to_group(api_version):
            wrong.append(f"{kind} in {api_version} has no table")
    assert not wrong
    reached = {entry(message) for _, message in seen}
    inlined = {entry(field.kind) for _, message in seen for field in _inline(message)}
    written = {f"{group}.{name}" for group, table in tables().items() for name in table}
    assert written - reached - inlined == NOT_IN_OPENAPI


def _inline(message: str) -> Iterator[Field]:
    for field in fields(message).values():
        if field.shape == "inline":
            yield field
            yield from _inline(field.kind)


def test_every_served_kind_has_a_table() -> None:
    scheme: Scheme = builtin()
    scheme.serve(lambda group, version, plural: True)
    for kind in scheme:
        for version in kind.versions:
            api_version = f"{kind.group}/{version}".removeprefix("/")
            assert root(api_version, kind.kind), (api_version, kind.kind)
            assert root(api_version, f"{kind.kind}List"), (api_version, kind.kind)


@pytest.mark.parametrize("group", sorted(tables()))
def test_every_message_can_be_read(group: str) -> None:
    """Those that are shared too, in each version; numbers rise, and names come once."""
    versions = next(entry.split()[1:] for entry in GROUPS.values() if entry.split()[0] == group)
    for key in tables()[group]:
        own, _, name = key.rpartition("/")
        for version in [own] if own else versions:
            numbers = list(fields(f"{group}.{version}.{name}"))
            assert numbers == sorted(set(numbers))
            flat(f"{group}.{version}.{name}")
            for field in fields(f"{group}.{version}.{name}").values():
                assert field.kind in LEAVES or fields(field.kind) is not None
