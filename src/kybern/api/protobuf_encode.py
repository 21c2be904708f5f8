"""Objects in Kubernetes' protobuf encoding, as clients written in Go ask for them.

Along the tables of field numbers that protobuf.py decodes by, each message is made a function of its own when it is
first needed: straight code, as lists of thousands of objects are written with it. What upstream's generated code does
is done: fields in the order of their numbers, those that can't be absent written as zero, maps by key. Whatever a table
doesn't know is refused rather than lost.
Source: API concepts, "Kubernetes Protobuf encoding".
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, TypeAlias

import orjson

from kybern.api.protobuf import MAGIC
from kybern.api.protobuf_fields import LEAVES, Field, fields, root
from kybern.api.types import Object

Encoder: TypeAlias = Callable[[Object], bytes]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_U64 = (1 << 64) - 1
_TYPE = ("kind", "apiVersion")
"""What objects say of themselves stands outside of their messages."""


class Unencodable(Exception):
    """An object, or a kind, that the tables of field numbers don't cover."""


def encode(obj: Object) -> bytes:
    """A whole object, or list of objects, as a body. Raises Unencodable."""
    api_version, kind = obj.get("apiVersion", ""), obj["kind"]
    return wrapped(api_version, kind, encoder(api_version or "v1", kind)(obj))


@cache
def encoder(api_version: str, kind: str) -> Encoder:
    """What makes objects of a kind messages, without the envelope. Raises Unencodable, as it does too."""
    message = root(api_version, kind)
    if not message:
        raise Unencodable(f"{kind} in {api_version} has no protobuf encoding")
    made = _function(message)

    def guarded(obj: Object) -> bytes:
        try:
            return made(obj)
        except (AttributeError, TypeError, ValueError, KeyError, OverflowError, struct.error, RecursionError) as error:
            raise Unencodable(f"{kind} in {api_version}: {error}") from None

    return guarded


@cache
def head(api_version: str, kind: str) -> bytes:
    """What a body begins with, up to the length of its message: what it is."""
    said = b"\x0a%b\x12%b" % (_string(api_version), _string(kind))
    return MAGIC + b"\x0a" + delimited(said) + b"\x12"


END = b"\x1a\x00\x22\x00"
"""What a body ends with: neither a content encoding nor a type."""


def wrapped(api_version: str, kind: str, message: bytes) -> bytes:
    """A message in its envelope, which says what it is."""
    return b"%b%b%b%b" % (head(api_version, kind), varint(len(message)), message, END)


def list_start(list_meta: Object) -> bytes:
    """The beginning of a list's message; its items follow, each after `ITEM` and its length."""
    return b"\x0a" + delimited(_function("meta.v1.ListMeta")(list_meta))


ITEM = b"\x12"


def varint(value: int) -> bytes:
    """A number of 64 bits; a negative one takes ten bytes."""
    if 0 <= value < 0x80:
        return b"%c" % value
    value &= _U64
    made = bytearray()
    while value >= 0x80:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def delimited(data: bytes) -> bytes:
    """Bytes after their length."""
    size = len(data)
    return b"%c%b" % (size, data) if size < 0x80 else varint(size) + data


def _string(text: str) -> bytes:
    data = text.encode()
    size = len(data)
    return b"%c%b" % (size, data) if size < 0x80 else varint(size) + data


def _bytes(text: str) -> bytes:
    return delimited(binascii.a2b_base64(text))


@lru_cache(maxsize=4096)
def _time(text: str | None) -> bytes:
    """metav1.Time, which knows no fractions; nothing for null, which stands in maps."""
    if text is None:
        return b"\0"
    seconds = (datetime.fromisoformat(text) - _EPOCH).total_seconds() // 1
    return delimited(b"\x08%b\x10\x00" % varint(int(seconds)))


def _microtime(text: str) -> bytes:
    since = datetime.fromisoformat(text) - _EPOCH
    return delimited(b"\x08%b\x10%b" % (varint(since.days * 86400 + since.seconds), varint(since.microseconds * 1000)))


def _quantity(value: str | int | float) -> bytes:
    return delimited(b"\x0a" + _string(value if isinstance(value, str) else str(value)))


def _int_or_string(value: str | int) -> bytes:
    if isinstance(value, str):
        return delimited(b"\x08\x01\x10\x00\x1a" + _string(value))
    return delimited(b"\x08\x00\x10%b\x1a\x00" % varint(value))


def _json(value: Any) -> bytes:
    return delimited(b"\x0a" + delimited(orjson.dumps(value)))


def _strings(values: list[str], tag: bytes = b"\x0a") -> bytes:
    return delimited(b"".join([tag + _string(value) for value in values]))


def _schema(value: Object) -> bytes:
    return delimited(_function("apiextensions.v1.JSONSchemaProps")(value))


def _schema_or_bool(value: Object | bool) -> bytes:
    if isinstance(value, bool):
        return delimited(b"\x08\x01" if value else b"\x08\x00")
    return delimited(b"\x08\x01\x12" + _schema(value))


def _schema_or_array(value: Object | list[Object]) -> bytes:
    if isinstance(value, list):
        return delimited(b"".join([b"\x12" + _schema(item) for item in value]))
    return delimited(b"\x0a" + _schema(value))


def _schema_or_strings(value: Object | list[str]) -> bytes:
    return _strings(value, b"\x12") if isinstance(value, list) else delimited(b"\x0a" + _schema(value))


_WRITERS: dict[str, Callable[[Any], bytes]] = {
    "string": _string, "bytes": _bytes, "time": _time, "microtime": _microtime, "quantity": _quantity,
    "intorstring": _int_or_string, "json": _json, "strings": _strings, "schemaorbool": _schema_or_bool,
    "schemaorarray": _schema_or_array, "schemaorstrings": _schema_or_strings,
}  # fmt: skip
"""Kinds that are no messages of their own -> what makes their values bytes, the length first."""

_ZEROES = {"quantity": _quantity(0), "intorstring": _int_or_string(0), "double": bytes(8)}
"""What is written of a value that must be written and isn't there; of others a zero byte, or a message."""


def _refuse(obj: Object, names: frozenset[str], message: str) -> None:
    raise ValueError(f"{message} has no {', '.join(sorted(obj.keys() - names))}")


_space: dict[str, Any] = {
    **{f"write_{kind}": writer for kind, writer in _WRITERS.items()},
    "delimited": delimited, "varint": varint, "double": struct.Struct("<d").pack, "refuse": _refuse,
}  # fmt: skip
"""What the generated functions see: the above, and each other."""


def _function(message: str, *, inline: bool = False) -> Encoder:
    """The function of a message; made with those of all it holds when it is first asked for. `inline`: where its fields
    lie among others, for which that message's own function answers."""
    name = _name(message, inline=inline)
    if name not in _space:
        _space[name] = None  # being made: messages may hold themselves
        for field in fields(message).values():
            if field.kind not in LEAVES:
                _function(field.kind, inline=field.shape == "inline")
        exec(_source(message, name, inline=inline), _space)
    made: Encoder = _space[name]
    return made


def _name(message: str, *, inline: bool = False) -> str:
    return f"{'inline' if inline else 'message'}_{message.replace('.', '_')}"


def _names(message: str) -> set[str]:
    """The names of a message's fields, with those that lie in messages of their own."""
    return {
        name
        for field in fields(message).values()
        for name in (_names(field.kind) if field.shape == "inline" else (field.name,))
    }


def _source(message: str, name: str, *, inline: bool) -> str:
    """The code of a message's function."""
    lines = ["out = []", "add = out.append", "get = o.get"]
    for field in fields(message).values():
        lines += _lines(field)
    lines.append("return b''.join(out)")
    if not inline:
        _space[f"{name}_names"] = frozenset({*_names(message), *_TYPE})
        lines = [f"if not o.keys() <= {name}_names:", f"    refuse(o, {name}_names, {message!r})", *lines]
    return "\n".join([f"def {name}(o):", *_indented(lines)])


def _lines(field: Field) -> list[str]:
    """The code of one field."""
    if field.shape == "inline":
        return [f"add({_tag(field.number, 2)!r} + delimited({_name(field.kind, inline=True)}(o)))"]
    take = [f"v = get({field.name!r})"]
    if field.shape == "list":
        return [*take, "if v:", "    for x in v:", *_indented(_indented(_adding(field, "x")))]
    if field.shape == "map":
        entry = f"b'\\n' + write_string(k) + {_written(2, field.kind, 'v[k]')}"
        tag = _tag(field.number, 2)
        return [*take, "if v:", "    for k in sorted(v):", f"        add({tag!r} + delimited({entry}))"]
    lines = [*take, "if v is not None:", *_indented(_adding(field, "v"))]
    return [*lines, "else:", f"    add({_zero(field)!r})"] if field.always else lines


def _indented(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _zero(field: Field) -> bytes:
    if field.kind in LEAVES:
        return _tag(field.number, _wire(field.kind)) + _ZEROES.get(field.kind, b"\0")
    return _tag(field.number, 2) + delimited(_function(field.kind)({}))


def _adding(field: Field, value: str) -> list[str]:
    """The code that adds one value; of text and messages without a call, as most values are that."""
    if field.kind in LEAVES and field.kind != "string":
        return [f"add({_written(field.number, field.kind, value)})"]
    data = f"{value}.encode()" if field.kind == "string" else f"{_name(field.kind)}({value})"
    tag = _tag(field.number, 2)
    short, long = tag + b"%c%b", tag + b"%b%b"
    return [f"b = {data}", "n = len(b)", f"add({short!r} % (n, b) if n < 128 else {long!r} % (varint(n), b))"]


def _written(number: int, kind: str, value: str) -> str:
    """The expression of a field's bytes."""
    tag = _tag(number, _wire(kind))
    if kind in _WRITERS:
        return f"{tag!r} + write_{kind}({value})"
    numbers = {"int": f"varint({value})", "bool": f"(b'\\1' if {value} else b'\\0')", "double": f"double({value})"}
    return f"{tag!r} + {numbers.get(kind) or f'delimited({_name(kind)}({value}))'}"


def _wire(kind: str) -> int:
    return {"int": 0, "bool": 0, "double": 1}.get(kind, 2)


def _tag(number: int, wire: int) -> bytes:
    return varint(number << 3 | wire)
