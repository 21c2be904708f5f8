"""Checks values against a structural schema: types, required fields, ranges, patterns, formats, unique list items.

Messages are upstream's. Source: API reference, JSONSchemaProps v1 apiextensions.k8s.io.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from kybern.api import regex
from kybern.api.apiextensions import formats, numbers
from kybern.api.apiextensions.rules import NOWHERE
from kybern.api.apiextensions.structural import EMBEDDED, INT_OR_STRING
from kybern.api.field import Errors, FieldError
from kybern.api.types import Object


@dataclass(frozen=True, slots=True)
class Nowhere(FieldError):
    """A complaint that upstream makes without a path; `place` is what it is about."""

    place: str = ""

    @classmethod
    def about(cls, place: str, detail: str) -> Nowhere:
        return cls("FieldValueInvalid", NOWHERE, "", detail, place)


_KINDS: dict[type, str] = {str: "string", bool: "boolean", list: "array", dict: "object", type(None): "null"}


def check(schema: Object, obj: Object, errors: Errors) -> None:
    """Complain of all in a whole object but its apiVersion, kind and metadata that breaks its schema."""
    bare = {key: value for key, value in obj.items() if key not in ("apiVersion", "kind", "metadata")}
    head = ("apiVersion", "kind", "metadata")
    required = [key for key in schema.get("required") or [] if key not in head]
    properties = {key: part for key, part in (schema.get("properties") or {}).items() if key not in head}
    _check({**schema, "required": required, "properties": properties}, bare, "", errors)


def check_value(schema: Object, value: Any, path: str, errors: Errors) -> None:
    """Complain of all in a value that breaks its schema."""
    _check(schema, value, path, errors)


def check_lists(schema: Object, value: Any, path: str, errors: Errors) -> None:
    """Complain of items that come twice in sets and in lists of type map; the values fit the schema otherwise."""
    if isinstance(value, dict):
        properties, more = schema.get("properties") or {}, schema.get("additionalProperties")
        for name, part in value.items():
            inner = properties.get(name, more)
            if isinstance(inner, dict):
                check_lists(inner, part, _below(path, name), errors)
    elif isinstance(value, list):
        _check_unique(schema, value, path, errors)
        items = schema.get("items")
        if isinstance(items, dict):
            for index, item in enumerate(value):
                check_lists(items, item, f"{path}[{index}]", errors)


def _check_unique(schema: Object, value: list[Any], path: str, errors: Errors) -> None:
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or []
    if kind not in ("set", "map"):
        return
    seen: set[bytes] = set()
    for index, item in enumerate(value):
        what = {key: item.get(key) for key in keys} if kind == "map" and isinstance(item, dict) else item
        text = orjson.dumps(what, option=orjson.OPT_SORT_KEYS)
        if text in seen:
            errors.duplicate(f"{path}[{index}]", what)
        seen.add(text)


def _below(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _kind(value: Any) -> str:
    if type(value) is int:
        return "integer"
    return "number" if type(value) is float else _KINDS[type(value)]


def _check(schema: Object, value: Any, path: str, errors: Errors) -> None:
    if value is None and schema.get("nullable"):
        return
    if not _check_type(schema, value, path, errors):
        return
    _check_enum(schema, value, path, errors)
    kind = _kind(value)
    if kind in _PARTS:
        _PARTS[kind](schema, value, path, errors)
    _check_junctors(schema, value, path, errors)


def _check_type(schema: Object, value: Any, path: str, errors: Errors) -> bool:
    wanted = ["integer", "string"] if schema.get(INT_OR_STRING) else [schema["type"]] if schema.get("type") else []
    found = _kind(value)
    if value is None and not wanted:
        return False
    if not wanted or found in wanted or (found == "integer" and "number" in wanted):
        return True
    if found == "number" and "integer" in wanted and value == math.floor(value):
        return True
    errors.type_invalid(path, found, f'{path} in body must be of type {",".join(wanted)}: "{found}"')
    return False


def _check_enum(schema: Object, value: Any, path: str, errors: Errors) -> None:
    allowed = schema.get("enum")
    if not allowed or any(value == one and isinstance(value, bool) is isinstance(one, bool) for one in allowed):
        return
    names = ", ".join(orjson.dumps(one if isinstance(one, str) else _plain(one)).decode() for one in allowed)
    errors.append(FieldError("FieldValueNotSupported", path, value, f"supported values: {names}"))


def _plain(value: Any) -> str:
    return "<nil>" if value is None else orjson.dumps(value).decode()


def _check_string(schema: Object, value: str, path: str, errors: Errors) -> None:
    longest, shortest, pattern = schema.get("maxLength"), schema.get("minLength"), schema.get("pattern")
    if longest is not None and len(value) > longest:
        errors.too_long(path, longest)
    if shortest is not None and len(value) < shortest:
        errors.invalid(path, value, f"{path} in body should be at least {shortest} chars long")
    if pattern and not regex.compiled(pattern).search(value):
        errors.invalid(path, value, f"{path} in body should match '{pattern}'")
    name = schema.get("format")
    if name and not formats.fits(name, value):
        errors.type_invalid(path, value, f"{path} in body must be of type {name}: {orjson.dumps(value).decode()}")


def _check_number(schema: Object, value: float, path: str, errors: Errors) -> None:
    errors += [Nowhere.about(path, problem) for problem in numbers.out_of_range(schema, value, path)]
    numbers.check(schema, value, path, errors)


def _check_array(schema: Object, value: list[Any], path: str, errors: Errors) -> None:
    most, least, items = schema.get("maxItems"), schema.get("minItems"), schema.get("items")
    if isinstance(items, dict):
        for index, item in enumerate(value):
            _check(items, item, f"{path}[{index}]", errors)
    if most is not None and len(value) > most:
        errors.too_many(path, len(value), most)
    if least is not None and len(value) < least:
        errors.invalid(path, len(value), f"{path} in body should have at least {least} items")


def _check_object(schema: Object, value: Object, path: str, errors: Errors) -> None:
    most, least = schema.get("maxProperties"), schema.get("minProperties")
    properties, more = schema.get("properties") or {}, schema.get("additionalProperties")
    for name in schema.get("required") or []:
        if name not in value:
            errors.required(_below(path, name))
    if schema.get(EMBEDDED):
        for name in ("apiVersion", "kind"):
            if not value.get(name):
                errors.required(_below(path, name), "must not be empty")
    for name, part in value.items():
        inner = properties.get(name, more)
        if isinstance(inner, dict):
            _check(inner, part, _below(path, name), errors)
    if most is not None and len(value) > most:
        errors.too_many(path, len(value), most)
    if least is not None and len(value) < least:
        errors.invalid(path, len(value), f"{path} in body should have at least {least} properties")


_PARTS: dict[str, Callable[[Object, Any, str, Errors], None]] = {
    "string": _check_string,
    "integer": _check_number,
    "number": _check_number,
    "array": _check_array,
    "object": _check_object,
}


def _check_junctors(schema: Object, value: Any, path: str, errors: Errors) -> None:
    """allOf, anyOf, oneOf and not: the failures of the best alternative follow the complaint."""
    if schema.get(INT_OR_STRING) and schema.get("anyOf"):
        schema = {key: part for key, part in schema.items() if key != "anyOf"}
    for name in ("anyOf", "oneOf", "allOf"):
        if schema.get(name):
            _check_alternatives(name, [_tried(part, value, path) for part in schema[name]], path, errors)
    forbidden = schema.get("not")
    if forbidden is not None and not _tried(forbidden, value, path):
        _composite(path, "must not validate the schema (not)", errors)


def _tried(schema: Object, value: Any, path: str) -> Errors:
    found = Errors()
    _check(schema, value, path, found)
    return found


def _check_alternatives(name: str, results: list[Errors], path: str, errors: Errors) -> None:
    fitting = sum(not result for result in results)
    if name == "allOf":
        for result in results:
            errors += result
        if fitting < len(results):
            said = ". None validated" if not fitting else ""
            _composite(path, f"must validate all the schemas (allOf){said}", errors)
    elif name == "anyOf" and not fitting:
        _composite(path, "must validate at least one schema (anyOf)", errors)
        errors += sorted(results, key=len)[0]
    elif name == "oneOf" and fitting != 1:
        said = f"Found {fitting} valid alternatives" if fitting else "Found none valid"
        _composite(path, f"must validate one and only one schema (oneOf). {said}", errors)
        if not fitting:
            errors += sorted(results, key=len)[0]


def _composite(path: str, detail: str, errors: Errors) -> None:
    errors.append(Nowhere.about(path, f'"{path}" {detail}'))
