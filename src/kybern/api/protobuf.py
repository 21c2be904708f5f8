"""Bodies in Kubernetes' protobuf encoding, which newer clients send for some kinds without asking first.

Decoded along the tables of field numbers into the JSON that a Go client would send for the same object; a kind without
a table (custom resources have none) is refused with 415. As upstream has it, numbers that no table has are skipped, and
a message that comes twice is one. What is made of a body takes memory in proportion to its size.
Source: API concepts, "Kubernetes Protobuf encoding"; the encoding of protocol buffers.
"""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Callable, Iterator
from typing import Any

import orjson

from kybern.api.errors import BadRequest, UnsupportedMediaType
from kybern.api.protobuf_fields import Field, fields, root
from kybern.api.types import Object
from kybern.process.clock import format_time

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
MAGIC = b"k8s\x00"
MAX_DEPTH = 64
"""Deepest nesting of messages taken; each is two levels of JSON at most, of which codec.py takes 128."""
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES = {_FIXED64: 8, _FIXED32: 4}
_WIRES = {"int": _VARINT, "bool": _VARINT, "double": _FIXED64}

Data = bytes | memoryview


def decode(body: bytes) -> Object:
    """The object in a body. Raises BadRequest (malformed), UnsupportedMediaType (a kind without a table)."""
    if not body.startswith(MAGIC):
        raise BadRequest("the body is not in Kubernetes' protobuf encoding: it lacks the prefix")
    try:
        return _object(memoryview(body)[len(MAGIC) :])
    except (IndexError, ValueError, OverflowError, OSError, struct.error) as error:
        raise BadRequest(f"the body is not valid protobuf: {error}") from None


def _object(body: memoryview) -> Object:
    """What an envelope holds."""
    envelope = _parts(body)
    head = _parts(envelope.get(1, b""))
    api_version, kind = _string(head.get(1, b"")), _string(head.get(2, b""))
    if not kind:
        raise ValueError("Object 'Kind' is missing")
    message = root(api_version, kind)
    if not message:
        raise UnsupportedMediaType(
            f"the body of the request was in an unknown format - {kind} in {api_version} is accepted as "
            "application/json or application/yaml"
        )
    made: Object = {"kind": kind, "apiVersion": api_version}
    _message(_bytes(envelope.get(2, b"")), message, made, 0)
    return made


def _fields(data: Data) -> Iterator[tuple[int, int, Any]]:
    """(number, wire type, value) of each field: an int, or bytes."""
    at, view = 0, memoryview(data)
    end = len(view)
    while at < end:
        tag, at = _varint(view, at)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise ValueError(f"illegal tag {number}")
        if wire == _VARINT:
            value, at = _varint(view, at)
            yield number, wire, value
            continue
        if wire == _BYTES:
            size, at = _varint(view, at)
        elif wire in _SIZES:
            size = _SIZES[wire]
        else:
            raise ValueError(f"wire type {wire}")
        if at + size > end:
            raise ValueError("truncated")
        yield number, wire, view[at : at + size]
        at += size


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = view[at]
    at += 1
    if value < 0x80:
        return value, at
    value &= 0x7F
    for shift in range(7, 70, 7):
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    raise ValueError("overlong number")


def _parts(data: Data | int) -> dict[int, Any]:
    """A small message's values by number; the last of each."""
    return {number: value for number, _, value in _fields(_bytes(data))}


def _bytes(raw: Data | int) -> Data:
    """Not a number where text or a message should be, which would ask for as many bytes."""
    if isinstance(raw, int):
        raise ValueError("a number where bytes should be")
    return raw


def _int(raw: Data | int) -> int:
    if not isinstance(raw, int):
        raise ValueError("bytes where a number should be")
    return raw - (1 << 64) if raw >> 63 else raw


def _message(data: Data, name: str, made: Object, depth: int) -> None:
    """Put a message's fields into `made`, which may have some already."""
    if depth > MAX_DEPTH:
        raise ValueError("exceeded max depth")
    table = fields(name)
    for number, wire, raw in _fields(data):
        field = table.get(number)
        if field is None:
            continue
        expected = _WIRES.get(field.kind, _BYTES) if field.shape != "map" else _BYTES
        if wire != expected:
            if wire == _BYTES and field.shape == "list":
                made.setdefault(field.name, []).extend(_packed(raw, field.kind))
                continue
            raise ValueError(f"wrong wireType = {wire} for field {field.name or number} of {name}")
        if field.shape == "list":
            made.setdefault(field.name, []).append(_value(raw, field.kind, depth))
        elif field.shape == "map":
            key, value = _entry(raw, field.kind)
            made.setdefault(field.name, {})[key] = _value(value, field.kind, depth)
        else:
            _single(raw, field, made, depth)


def _entry(raw: Data, kind: str) -> tuple[str, Any]:
    """An entry of a map: its key, and its value as it came, or what stands for none."""
    key, value = "", 0 if kind in _WIRES else b""
    for number, wire, part in _fields(raw):
        if number == 1:
            key = _string(part)
        elif number == 2:
            if wire != _WIRES.get(kind, _BYTES):
                raise ValueError(f"wrong wireType = {wire} for the value of {key}")
            value = part
    return key, value


def _single(raw: Any, field: Field, made: Object, depth: int) -> None:
    """A field that is no list or map. Nulls vanish; so do zeroes, as in JSON, unless they were set or always show."""
    if field.shape == "inline":
        _message(raw, field.kind, made, depth + 1)
        return
    held = made.get(field.name)
    value = _value(raw, field.kind, depth, held if isinstance(held, dict) else None)
    if value or field.pointer or field.shown or field.kind not in _ZEROES:
        made[field.name] = value
    if value is None:
        del made[field.name]


def _value(raw: Any, kind: str, depth: int, held: Object | None = None) -> Any:
    """A value; `held` is what there is of a message already."""
    if leaf := _LEAVES.get(kind):
        return leaf(raw)
    if nested := _NESTED.get(kind):
        return nested(raw, depth + 1)
    made: Object = {} if held is None else held
    _message(raw, kind, made, depth + 1)
    return made


_ZEROES = ("string", "int", "bool", "double", "bytes")


def _packed(data: Data, kind: str) -> list[Any]:
    """Numbers in a row, which a list of them may be written as."""
    if kind == "double":
        return [_double(data[at : at + 8]) for at in range(0, len(data), 8)]
    numbers, at, view = [], 0, memoryview(data)
    while at < len(view):
        number, at = _varint(view, at)
        numbers.append(_LEAVES[kind](number))
    return numbers


def _string(raw: Any) -> str:
    return str(_bytes(raw), "utf-8")


def _double(raw: Data) -> float | int:
    """As Go writes it in JSON: whole numbers without a fraction."""
    (value,) = struct.unpack("<d", raw)
    if not math.isfinite(value):
        raise ValueError(f"{value} has no JSON")
    return int(value) if value.is_integer() and abs(value) < 1e21 else float(value)


def _time(raw: Any) -> str | None:
    """No bytes at all are the zero time, which is null in JSON."""
    return format_time(_int(_parts(raw).get(1, 0))) if len(_bytes(raw)) else None


def _microtime(raw: Any) -> str | None:
    if not len(_bytes(raw)):
        return None
    parts = _parts(raw)
    more, nanos = divmod(_int(parts.get(2, 0)), 1_000_000_000)
    return f"{format_time(_int(parts.get(1, 0)) + more).removesuffix('Z')}.{nanos // 1000:06d}Z"


def _int_or_string(raw: Any) -> int | str:
    parts = _parts(raw)
    return _string(parts.get(3, b"")) if parts.get(1) else _int(parts.get(2, 0))


def _json(raw: Any) -> Any:
    return orjson.loads(_bytes(_parts(raw).get(1, b"null")) or b"null")


def _schema_or(several: Callable[[Any, int], Any], number: int) -> Callable[[Any, int], Any]:
    """A schema (in field 3 - number), or what `several` makes of the fields of the other number."""

    def either(raw: Any, depth: int) -> Any:
        found = [value for at, _, value in _fields(_bytes(raw)) if at == number]
        schema = _parts(raw).get(3 - number)
        if schema is None or (found and number == 2):
            return several(found, depth)
        return _value(_bytes(schema), "apiextensions.v1.JSONSchemaProps", depth)

    return either


_NESTED: dict[str, Callable[[Any, int], Any]] = {
    "schemaorbool": _schema_or(lambda found, _: bool(found and found[-1]), 1),
    "schemaorarray": _schema_or(
        lambda found, depth: [_value(item, "apiextensions.v1.JSONSchemaProps", depth) for item in found] or None, 2
    ),
    "schemaorstrings": _schema_or(lambda found, _: [_string(item) for item in found] or None, 2),
}
_LEAVES: dict[str, Callable[[Any], Any]] = {
    "string": _string,
    "int": _int,
    "bool": bool,
    "double": _double,
    "bytes": lambda raw: base64.b64encode(raw).decode(),
    "time": _time,
    "microtime": _microtime,
    "quantity": lambda raw: _string(_parts(raw).get(1, b"0")),
    "intorstring": _int_or_string,
    "json": _json,
    "strings": lambda raw: [_string(item) for number, _, item in _fields(raw) if number == 1],
}
