"""Values as rules see them: names escaped, numbers doubles, dates and durations their own types, nulls absent.

Source: Extend the API with CustomResourceDefinitions, "Validation rules"; KEP-2876.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Any

from kybern.api.apiextensions import formats
from kybern.api.cel.escaping import escaped
from kybern.api.cel.instants import shown as instant
from kybern.api.types import Object

Convert = Callable[[Any], Any]
_TYPED = ("date", "date-time", "duration", "byte")
_UNITS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0,
}  # fmt: skip


def as_is(value: Any) -> Any:
    """The converter of what rules see as it is."""
    return value


def converter(schema: Object) -> Convert:
    """What converts values of a schema; `as_is` where there is nothing to convert."""
    kind, items, more = schema.get("type"), schema.get("items"), schema.get("additionalProperties")
    if schema.get("properties"):
        return _of_object(schema["properties"], converter(more) if isinstance(more, dict) else as_is)
    if isinstance(more, dict):
        inner = converter(more)
        return as_is if inner is as_is else _of_map(inner)
    if isinstance(items, dict):
        inner = converter(items)
        return as_is if inner is as_is else _of_list(inner)
    if kind == "string" and schema.get("format") in _TYPED:
        return lambda value: _text(schema["format"], value)
    return _number if kind == "number" else as_is


def _of_object(properties: Object, more: Convert) -> Convert:
    known = {name: (escaped(name), converter(part)) for name, part in properties.items()}
    nullable = any(part.get("nullable") for part in properties.values())
    if not nullable and more is as_is and all(found == (name, as_is) for name, found in known.items()):
        return as_is

    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        made = {}
        for name, part in value.items():
            shown, inner = known.get(name, (name, more))
            if shown and (part is not None or name not in known):
                made[shown] = inner(part)
        return made

    return convert


def _of_map(inner: Convert) -> Convert:
    return lambda value: {k: inner(part) for k, part in value.items()} if isinstance(value, dict) else value


def _of_list(inner: Convert) -> Convert:
    return lambda value: [inner(part) for part in value] if isinstance(value, list) else value


def _number(value: Any) -> Any:
    return float(value) if type(value) is int else value


def _text(form: str, value: Any) -> Any:
    if not isinstance(value, str) or not formats.fits(form, value):
        return value
    if form == "date":
        day = date.fromisoformat(value)
        return instant(datetime.fromisoformat(f"{day.isoformat()}T00:00:00+00:00"))
    if form == "date-time":
        return instant(datetime.fromisoformat(value.upper()))
    return instant(_duration(value)) if form == "duration" else base64.b64decode(value)


def _duration(text: str) -> timedelta:
    sign = -1.0 if text.startswith("-") else 1.0
    found = re.findall(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h|d|w)", text)
    return timedelta(seconds=sign * sum(float(number) * _UNITS[unit] for number, unit in found))
