"""`'%s is %d'.format([...])`. Source: cel-go, extension "Strings", Format."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from kybern.api.cel.declared import method

_CLAUSE = re.compile(r"%(?:\.(\d+))?(.)|%$", re.DOTALL)
_BASES = {"b": "b", "o": "o", "x": "x", "X": "X"}


def _format(text: str, values: list[Any]) -> str:
    left = iter(values)

    def one(match: re.Match[str]) -> str:
        if match[0] == "%%":
            return "%"
        return _clause(match[2] or "", match[1], left)

    made = _CLAUSE.sub(one, text)
    if next(left, left) is not left:
        raise ValueError("too many arguments")
    return made


def _clause(verb: str, precision: str | None, left: Iterator[Any]) -> str:
    if verb not in ("s", "d", "f", "e", *_BASES):
        raise ValueError(f'could not parse formatting clause: unrecognized formatting clause "{verb}"')
    value = next(left, left)
    if value is left:
        raise ValueError("index out of range")
    if verb == "s":
        return _text(value)
    if verb in ("f", "e"):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"error during formatting: {_name(value)} is not a number")
        return format(value, f".{precision or 6}{verb}")
    if verb in ("x", "X") and isinstance(value, (str, bytes, bytearray)):
        shown = (value.encode() if isinstance(value, str) else bytes(value)).hex()
        return shown.upper() if verb == "X" else shown
    if verb == "b" and isinstance(value, bool):
        return str(int(value))
    if verb == "d" and isinstance(value, float) and not value.is_integer():
        return str(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"error during formatting: clause can only be used on integers, was given {_name(value)}")
    return format(int(value), _BASES.get(verb, "d"))


def _name(value: Any) -> str:
    names = {bool: "bool", str: "string", list: "list", dict: "map", type(None): "null_type", bytearray: "bytes"}
    return names.get(type(value), type(value).__name__)


def _text(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case bytes() | bytearray():
            return bytes(value).decode(errors="replace")
        case list():
            return "[" + ", ".join(_text(item) for item in value) + "]"
        case dict():
            pairs = sorted((_text(key), _text(item)) for key, item in value.items())
            return "{" + ", ".join(f"{key}: {item}" for key, item in pairs) + "}"
        case timedelta():
            return f"{value.total_seconds():.9f}".rstrip("0").rstrip(".") + "s"
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case float():
            return str(int(value)) if value.is_integer() else str(value)
    return str(value)


FUNCTIONS = (method("string", "format", ["list<dyn>"], "string", _format),)
