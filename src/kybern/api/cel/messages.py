"""The types of objects for the checker, made of OpenAPI schemas: each object with properties is a message.

The library knows no other way to tell it an object's fields. Values are never messages; evaluation sees maps.
Source: "Validation rules", "Type checking" and the table of types there.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from kybern.api.cel.escaping import escaped
from kybern.api.types import Object

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import DescriptorProto

_PACKAGE = "schema"
_FORMATS = {"byte": "bytes", "date": "timestamp", "date-time": "timestamp", "duration": "duration"}
_SCALARS = {"boolean": "bool", "integer": "int", "number": "double"}
_NAMES: Object = {"type": "object", "properties": {"name": {"type": "string"}, "generateName": {"type": "string"}}}
HEAD: Object = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": _NAMES}
"""What a whole resource, the root or an embedded one, has of properties without naming them."""
EMBEDDED = "x-kubernetes-embedded-resource"


def properties_of(schema: Object) -> Object:
    """The properties of a node that rules may use."""
    found: Object = schema.get("properties") or {}
    return {**found, **HEAD} if schema.get(EMBEDDED) else found


class Messages:
    """The messages of a structural schema; `whole`: its root is a whole resource. `verbatim`: names of properties are
    not escaped, as in types that aren't somebody's schema: `request.namespace`. `more`: messages without a package, by
    their names, with the types of their fields."""

    def __init__(
        self,
        schema: Object,
        *,
        whole: bool = True,
        verbatim: bool = False,
        more: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
    ) -> None:
        self._named, self._more = (str if verbatim else escaped), more
        self._types: dict[int, str] = {}
        self._schema = {**schema, EMBEDDED: True} if whole else schema
        self._made: list[DescriptorProto] = []
        self.root = self._types[id(schema)] = self._typed(self._schema)
        """The type of the root."""
        self.pool = self._pool()
        """The descriptor pool with the messages."""

    def type_of(self, node: Object) -> str:
        """The type of a node of the schema; "" for nodes that rules can't see."""
        return self._types.get(id(node), "")

    def _typed(self, node: Object) -> str:
        found = self._types[id(node)] = self._type(node)
        return found

    def _type(self, node: Object) -> str:
        kind, items, more = node.get("type"), node.get("items"), node.get("additionalProperties")
        if node.get("x-kubernetes-int-or-string"):
            return "dyn"
        if kind == "array":
            inner = self._typed(items) if isinstance(items, dict) else ""
            return f"list<{inner}>" if inner else ""
        if kind == "object" or node.get("properties"):
            if isinstance(more, dict):
                inner = self._typed(more)
                return f"map<string, {inner}>" if inner else ""
            return self._message(node)
        if kind == "string":
            return _FORMATS.get(node.get("format") or "", "string")
        return _SCALARS.get(kind or "", "")

    def _message(self, node: Object) -> str:
        from google.protobuf.descriptor_pb2 import DescriptorProto

        made = DescriptorProto(name=f"T{len(self._made)}")
        made.options.deprecated_legacy_json_field_conflicts = True
        self._made.append(made)
        fields = {self._named(name): part for name, part in properties_of(node).items()}
        taken = set(fields)
        for name, part in fields.items():
            inner = self._typed(part)
            if inner and name:
                _add_field(made, name, inner, bool(part.get("nullable")), taken)
        return f"{_PACKAGE}.{made.name}"

    def _pool(self) -> Any:
        from google.protobuf import any_pb2, descriptor_pool, duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2
        from google.protobuf.descriptor_pb2 import FileDescriptorProto

        known = (any_pb2, duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)
        names = [module.DESCRIPTOR.name for module in known]
        file = FileDescriptorProto(name="schema.proto", package=_PACKAGE, syntax="proto3", dependency=names)
        file.message_type.extend(self._made)
        pool = descriptor_pool.DescriptorPool()
        for module in known:
            pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
        pool.AddSerializedFile(file.SerializeToString())
        file = FileDescriptorProto(name="more.proto", syntax="proto3", dependency=names)
        for name, fields in self._more.items():
            made = file.message_type.add(name=name)
            made.options.deprecated_legacy_json_field_conflicts = True
            for field, kind in fields.items():
                _add_field(made, field, kind, False, set(fields))
        pool.AddSerializedFile(file.SerializeToString())
        return pool


_NUMBERS = {"bool": 8, "int": 3, "double": 1, "string": 9, "bytes": 12}
_WRAPPED = {
    "bool": "BoolValue", "int": "Int64Value", "double": "DoubleValue", "string": "StringValue", "bytes": "BytesValue",
}  # fmt: skip
_KNOWN = {"dyn": "Value", "timestamp": "Timestamp", "duration": "Duration"}
_MESSAGE = 11


def _add_field(message: DescriptorProto, name: str, kind: str, nullable: bool, taken: set[str]) -> None:
    """A field of a type; what messages can't have inside lists and maps is dyn. `taken` are names in the message."""
    field: Any = message.field.add(name=name, number=len(message.field) + 1, label=1)
    outer, _, rest = kind.partition("<")
    entry = "".join(part[:1].upper() + part[1:] for part in name.split("_")) + "Entry"
    if outer == "list":
        field.label = 3
        kind = _plain(rest[:-1])
    elif outer == "map" and entry in taken:
        kind = "dyn"
    elif outer == "map":
        taken.add(entry)
        _add_entry(message, entry, rest)
        field.label, kind = 3, f".{_PACKAGE}.{message.name}.{entry}"
    elif nullable and kind in _WRAPPED:
        kind = f".google.protobuf.{_WRAPPED[kind]}"
    _set_type(field, kind)


def _plain(kind: str) -> str:
    return "dyn" if kind.startswith(("list<", "map<")) else kind


def _add_entry(message: DescriptorProto, name: str, rest: str) -> None:
    """The message of a map's pairs."""
    entry = message.nested_type.add(name=name)
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=1, type=9)
    _set_type(entry.field.add(name="value", number=2, label=1), _plain(rest[:-1].removeprefix("string, ")))


def _set_type(field: Any, kind: str) -> None:
    if kind in _NUMBERS:
        field.type = _NUMBERS[kind]
        return
    field.type = _MESSAGE
    known = _KNOWN.get(kind)
    field.type_name = f".google.protobuf.{known}" if known else kind if kind.startswith(".") else f".{kind}"
