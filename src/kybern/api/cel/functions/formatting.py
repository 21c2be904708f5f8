"""`'%s is %d'.format([...])`. Source: cel-go, extension "Strings", Format."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from kybern.api.cel.declared import method

_CLAUSE = re.compile(r"%(?:\.(\d+))?(.)|%$", re.DOTALL)
_SUPERSCRIPTS = str.maketrans(
    "0123456789-", "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\N{SUPERSCRIPT MINUS}"
)  # fmt: skip
_TIMES = "\N{NARROW NO-BREAK SPACE}\N{MULTIPLICATION SIGN}\N{NARROW NO-BREAK SPACE}10"
_BASES = {"d": "d", "b": "b", "o": "o", "x": "x", "X": "X"}
_TAKES = {
    "d": "decimal clause can only be used on integers",
    "f": "fixed-point clause can only be used on doubles",
    "e": "scientific clause can only be used on doubles",
    "b": "only integers and bools can be formatted as binary",
    "o": "octal clause can only be used on integers",
    "x": "only integers, byte buffers, and strings can be formatted as hex",
}
_NAMES: dict[type, str] = {
    bool: "bool", str: "string", list: "list", dict: "map", type(None): "null_type", bytearray: "bytes",
    float: "double", datetime: "google.protobuf.Timestamp", timedelta: "google.protobuf.Duration",
}  # fmt: skip


def _format(text: str, values: list[Any]) -> str:
    left = iter(enumerate(values))
    count = 0

    def one(match: re.Match[str]) -> str:
        nonlocal count
        if match[0] == "%%":
            return "%"
        _, value = next(left, (-1, left))
        if value is left:
            raise ValueError(f"index {count} out of range")
        count += 1
        if not match[2]:
            raise ValueError("unexpected end of string")
        return _clause(match[2], int(match[1] or 6), value)

    return _CLAUSE.sub(one, text)


def _clause(verb: str, precision: int, value: Any) -> str:
    if verb == "s":
        return _text(value)
    if verb.lower() not in _TAKES or verb in "DFEBO":
        raise ValueError(f'could not parse formatting clause: unrecognized formatting clause "{verb}"')
    if verb in "fe" and (isinstance(value, float) or value in ("NaN", "Infinity", "-Infinity")):
        return _number(verb, precision, float(value))
    if verb in "xX" and isinstance(value, (str, bytes, bytearray)):
        shown = (value.encode() if isinstance(value, str) else bytes(value)).hex()
        return shown.upper() if verb == "X" else shown
    if (verb in _BASES and type(value) is int) or (verb == "b" and isinstance(value, bool)):
        return format(int(value), _BASES[verb])
    given = _NAMES.get(type(value), "int")
    raise ValueError(f"error during formatting: {_TAKES[verb.lower()]}, was given {given}")


def _number(verb: str, precision: int, value: float) -> str:
    """A number as in American English."""
    if math.isinf(value) or math.isnan(value):
        return "NaN" if math.isnan(value) else "\N{INFINITY}" if value > 0 else "-\N{INFINITY}"
    if verb == "f":
        return format(value, f",.{precision}f")
    mantissa, _, exponent = format(value, f".{precision}e").partition("e")
    return f"{mantissa}{_TIMES}{exponent.removeprefix('+').translate(_SUPERSCRIPTS)}"


def _text(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case bytes() | bytearray():
            return bytes(value).decode(errors="replace")
        case list():
            return "[" + ", ".join(_inside(item) for item in value) + "]"
        case dict():
            return "{" + ", ".join(sorted(f"{_inside(key)}:{_inside(item)}" for key, item in value.items())) + "}"
        case timedelta():
            return f"{value.total_seconds():.9f}".rstrip("0").rstrip(".") + "s"
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case float():
            return str(int(value)) if value.is_integer() else str(value)
    return str(value)


def _inside(value: Any) -> str:
    """A value in a list or map, as the language writes it."""
    match value:
        case str():
            return orjson.dumps(value).decode()
        case bytes() | bytearray():
            return "b" + orjson.dumps(_text(value)).decode()
        case float():
            return format(value, ".6f")
        case datetime():
            return f'timestamp("{_text(value)}")'
        case timedelta():
            return f'duration("{_text(value)}")'
    return _text(value)


FUNCTIONS = (method("string", "format", ["list<dyn>"], "string", _format),)
