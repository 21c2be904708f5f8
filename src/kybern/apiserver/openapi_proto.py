"""An OpenAPI 2 document in the protobuf encoding that kubectl before 1.30 asks for.

Only what our documents hold is encoded. Field numbers are those of the message `openapi.v2.Document` (gnostic).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import orjson

from kybern.api.types import Object

ASKED_FOR = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
"""How clients ask for it."""
CONTENT_TYPE = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
"""How it is answered: the @ is not allowed in a media type."""

_METHODS = {"get": 2, "put": 3, "post": 4, "delete": 5, "options": 6, "head": 7, "patch": 8}


def document(doc: Object) -> bytes:
    """The whole document."""
    info = _text(1, doc["info"]["title"]) + _text(2, doc["info"]["version"])
    paths = b"".join(_message(2, _named(path, _path_item(item))) for path, item in doc["paths"].items())
    definitions = b"".join(_message(1, _named(name, schema(part))) for name, part in doc["definitions"].items())
    return b"".join((_text(1, doc["swagger"]), _message(2, info), _message(8, paths), _message(9, definitions)))


def schema(part: Object) -> bytes:
    """One schema."""
    out = [_text(1, part.get("$ref", "")), _text(2, part.get("format", "")), _text(4, part.get("description", ""))]
    if "default" in part:
        out.append(_message(5, _any(part["default"])))
    for key, number in (("maximum", 7), ("minimum", 9)):
        if isinstance(part.get(key), (int, float)):
            out.append(_double(number, float(part[key])))
    if part.get("pattern"):
        out.append(_text(13, part["pattern"]))
    out += [_text(19, name) for name in part.get("required") or ()]
    out += [_message(20, _any(value)) for value in part.get("enum") or ()]
    out += _nested(part)
    out += _extensions(31, part)
    return b"".join(out)


def _nested(part: Object) -> Iterable[bytes]:
    extra = part.get("additionalProperties")
    if isinstance(extra, dict):
        yield _message(21, _message(1, schema(extra)))
    elif isinstance(extra, bool):
        yield _message(21, _number(2, int(extra)))
    if part.get("type"):
        yield _message(22, _text(1, part["type"]))
    if isinstance(part.get("items"), dict):
        yield _message(23, _message(1, schema(part["items"])))
    if part.get("properties"):
        yield _message(25, b"".join(_message(1, _named(name, schema(p))) for name, p in part["properties"].items()))


def _path_item(item: Object) -> bytes:
    out = [_message(number, _operation(item[method])) for method, number in _METHODS.items() if method in item]
    out += [_message(9, _parameter(parameter)) for parameter in item.get("parameters") or ()]
    return b"".join(out)


def _operation(op: Object) -> bytes:
    out = [_text(1, tag) for tag in op["tags"]]
    out += [_text(3, op["description"]), _text(5, op["operationId"])]
    out += [_text(6, kind) for kind in op["produces"]]
    out += [_text(7, kind) for kind in op["consumes"]]
    out += [_message(8, _parameter(parameter)) for parameter in op.get("parameters") or ()]
    answers = (_message(1, _named(code, _answer(answer))) for code, answer in op["responses"].items())
    out.append(_message(9, b"".join(answers)))
    out += [_text(10, scheme) for scheme in op["schemes"]]
    out += _extensions(13, op)
    return b"".join(out)


def _parameter(parameter: Object) -> bytes:
    where = parameter["in"]
    if where == "body":
        body = _text(2, parameter["name"]) + _text(3, where) + _flag(4, parameter.get("required"))
        return _message(1, _message(1, body + _message(5, schema(parameter["schema"]))))
    if where == "path":
        # The path's parameter has no allow_empty_value, so its fields after it are one lower than the query's.
        place = _flag(1, parameter.get("required")) + _text(2, where) + _text(3, parameter["description"])
        place += _text(4, parameter["name"]) + _text(5, parameter["type"])
        return _message(1, _message(2, _message(4, place)))
    query = _flag(1, parameter.get("required")) + _text(2, where) + _text(3, parameter["description"])
    query += _text(4, parameter["name"]) + _text(6, parameter["type"])
    return _message(1, _message(2, _message(3, query)))


def _answer(answer: Object) -> bytes:
    made = _text(1, answer["description"])
    if "schema" in answer:
        made += _message(2, _message(1, schema(answer["schema"])))
    return _message(1, made)


def _extensions(number: int, part: Object) -> list[bytes]:
    return [_message(number, _named(key, _any(value))) for key, value in part.items() if key.startswith("x-")]


def _any(value: Any) -> bytes:
    """A value of any type travels as YAML, of which JSON is a part."""
    return _text(2, orjson.dumps(value).decode())


def _named(name: str, value: bytes) -> bytes:
    return _text(1, name) + _message(2, value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _message(number: int, payload: bytes) -> bytes:
    return b"".join((_varint(number << 3 | 2), _varint(len(payload)), payload))


def _text(number: int, value: str) -> bytes:
    return _message(number, value.encode()) if value else b""


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _flag(number: int, value: object) -> bytes:
    return _number(number, 1) if value else b""


def _double(number: int, value: float) -> bytes:
    return _varint(number << 3 | 1) + struct.pack("<d", value)
