"""Bodies in Kubernetes' protobuf encoding, which newer clients send for some kinds without asking first.

Decoded along a table of field numbers into the JSON form; a kind that the table lacks is refused with 415.
Source: API concepts, "Kubernetes Protobuf encoding".
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import orjson

from kybern.api.errors import BadRequest, UnsupportedMediaType
from kybern.api.protobuf_fields import fields, root
from kybern.api.types import Object
from kybern.process.clock import format_time

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def decode(body: bytes) -> Object:
    """The object in a body. Raises BadRequest (malformed), UnsupportedMediaType (a kind without a table)."""
    if not body.startswith(_MAGIC):
        raise BadRequest("the body is not in Kubernetes' protobuf encoding: it lacks the prefix")
    try:
        envelope = dict(_fields(memoryview(body)[len(_MAGIC) :]))
        head = dict(_fields(envelope.get(1, b"")))
        api_version, kind = (_text(head.get(number, b"")) for number in (1, 2))
        message = root(api_version, kind)
        if not message:
            raise UnsupportedMediaType(
                f"the body of the request was in an unknown format - {kind} in {api_version} is accepted as "
                "application/json or application/yaml"
            )
        return {"kind": kind, "apiVersion": api_version, **_message(envelope.get(2, b""), message)}
    except (IndexError, ValueError, AttributeError, TypeError, OverflowError, OSError, RecursionError) as error:
        raise BadRequest(f"the body is not valid protobuf: {error}") from None


def _fields(data: bytes | memoryview) -> Iterator[tuple[int, Any]]:
    """(number, value) pairs: an int, or bytes."""
    at, view = 0, memoryview(data)
    while at < len(view):
        tag, at = _varint(view, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(view, at)
            yield number, value
        elif wire == _BYTES:
            size, at = _varint(view, at)
            if at + size > len(view):
                raise ValueError("truncated")
            yield number, view[at : at + size]
            at += size
        elif wire in (_FIXED64, _FIXED32):
            size = 8 if wire == _FIXED64 else 4
            yield number, view[at : at + size]
            at += size
        else:
            raise ValueError(f"wire type {wire}")


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = view[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("overlong number")


def _message(data: bytes | memoryview, name: str) -> Object:
    """A message along its table. Raises UnsupportedMediaType for a field it lacks: nothing is lost in silence."""
    made: Object = {}
    table = fields(name)
    for number, raw in _fields(data):
        field = table.get(number)
        if field is None:
            raise UnsupportedMediaType(
                f"the body of the request was in an unknown format - field {number} of {name} is accepted as "
                "application/json or application/yaml"
            )
        if field.shape == "inline":
            made |= _message(raw, field.kind)
        elif field.shape == "list":
            made.setdefault(field.name, []).append(_value(raw, field.kind))
        elif field.shape == "map":
            pair = dict(_fields(raw))
            made.setdefault(field.name, {})[_text(pair.get(1, b""))] = _value(pair.get(2, b""), field.kind)
        else:
            value = _value(raw, field.kind)
            if not (value is None or (field.kind in _DROPPED_WHEN_ZERO and not value)):
                made[field.name] = value
    return made


_DROPPED_WHEN_ZERO = ("string", "bytes", "quantity", "int", "bool")


def _text(raw: bytes | memoryview | int) -> str:
    """A string; a number in its place would ask for as many bytes."""
    if isinstance(raw, int):
        raise ValueError("a number where text should be")
    return bytes(raw).decode()


def _value(raw: Any, kind: str) -> Any:
    match kind:
        case "string" | "string?":
            return _text(raw)
        case "int" | "int?":
            return raw - (1 << 64) if raw >> 63 else raw
        case "bool" | "bool?":
            return bool(raw)
        case "bytes":
            return base64.b64encode(raw).decode()
    parts = dict(_fields(raw)) if kind in _WRAPPED else {}
    match kind:
        case "time":
            return format_time(parts.get(1, 0)) if parts.get(1) else None
        case "microtime":
            stamp = format_time(parts.get(1, 0)).removesuffix("Z")
            return f"{stamp}.{parts.get(2, 0) // 1000:06d}Z" if parts.get(1) else None
        case "quantity":
            return _text(parts.get(1, b""))
        case "intorstring":
            return _text(parts.get(3, b"")) if parts.get(1) else _value(parts.get(2, 0), "int")
        case "json":
            return orjson.loads(parts.get(1, b"{}"))
        case "strings":
            return [_text(item) for number, item in _fields(raw) if number == 1]
    return _message(raw, kind)


_WRAPPED = ("time", "microtime", "quantity", "intorstring", "json")
