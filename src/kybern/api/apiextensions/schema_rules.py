"""What a version's OpenAPI schema must be like: structural. Every field's type is said outside allOf, anyOf, oneOf and
not, and those only restrict. rule_checks.py has the rules of validation rules, schema_defaults.py those of defaults.

Source: Extend the API with CustomResourceDefinitions, "Specifying a structural schema"; KEP on structural schemas.
"""

from __future__ import annotations

from typing import Any

from kybern.api import regex
from kybern.api.apiextensions import rule_checks, rules, schema_defaults
from kybern.api.cel.messages import Messages
from kybern.api.field import Errors
from kybern.api.types import Object

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_JUNCTORS = ("allOf", "anyOf", "oneOf")
EMBEDDED, INT_OR_STRING = "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"
KEPT = "x-kubernetes-preserve-unknown-fields"
_LIST_TYPE, _MAP_KEYS, _MAP_TYPE = "x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"
_UNSUPPORTED = ("$ref", "$schema", "id", "definitions", "dependencies", "patternProperties", "additionalItems")
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_WITHOUT_TYPE = {
    "root": "must not be empty at the root",
    "item": "must not be empty for specified array items",
    "field": "must not be empty for specified object fields",
}
_NOT_IN_JUNCTORS = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "externalDocs": "must be undefined to be structural",
    KEPT: "must be false to be structural",
    EMBEDDED: "must be false to be structural",
    INT_OR_STRING: "must be false to be structural",
    _MAP_KEYS: "must be empty to be structural",
    _LIST_TYPE: "must be undefined to be structural",
    _MAP_TYPE: "must be undefined to be structural",
    rules.RULES: "must be empty to be structural",
}
_LIST_TYPES, _MAP_TYPES = ("atomic", "map", "set"), ("atomic", "granular")


def check(schema: Object, path: str, errors: Errors, *, unchanged: bool = False) -> None:
    """Complain of all that keeps `schema` (of the whole object, at `path`) from being structural, and of its defaults
    and rules. `unchanged`: it was accepted before, so that single rules may cost what they do."""
    found = Errors()
    if schema.get("nullable"):
        found.forbidden(f"{path}.nullable", "nullable cannot be true at the root")
    if isinstance(schema.get("additionalProperties"), dict):
        found.forbidden(f"{path}.additionalProperties", "must not be used at the root")
    if schema.get("type") not in (None, "", "object"):
        found.invalid(f"{path}.type", schema["type"], "must be object at the root")
    _check_metadata((schema.get("properties") or {}).get("metadata"), f"{path}.properties[metadata]", found)
    _check(schema, path, found, "root")
    if not found:
        schema_defaults.check(schema, path, found)
    if not found and rules.anywhere(schema):
        compilation = rule_checks.Compilation(Messages(schema), found, unchanged)
        compilation.node(schema, path, 1, "", root=True)
        compilation.check_total(path)
    errors += found


def _check_metadata(metadata: Object | None, path: str, errors: Errors) -> None:
    """Of the whole object's metadata only names can be restricted."""
    if metadata is None:
        return
    if metadata.get("type") != "object":
        errors.invalid(f"{path}.type", metadata.get("type") or "", "must be object")
    if metadata.get("default") is not None:
        errors.forbidden(f"{path}.default", "must not be set in top-level metadata")
    others = metadata.keys() - {"type", "properties", "default", "description"}
    if others or set(metadata.get("properties") or {}) - {"name", "generateName"}:
        detail = "must not specify anything other than name and generateName, but metadata is implicitly specified"
        errors.forbidden(path, detail)


def _check(schema: Object, path: str, errors: Errors, level: str) -> None:
    for key in _UNSUPPORTED:
        if schema.get(key):
            errors.forbidden(f"{path}.{key}", f"{key} is not supported")
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.forbidden(f"{path}.uniqueItems", detail)
    _check_type(schema, path, errors, level)
    _check_extensions(schema, path, errors, level)
    _check_lists(schema, path, errors)
    _check_pattern(schema, path, errors)
    for index, rule in enumerate(schema.get(rules.RULES) or []):
        rule_checks.check_rule(rule, schema, f"{path}.{rules.RULES}[{index}]", errors)
    if schema.get("properties") and schema.get("additionalProperties") not in (None, True):
        detail = "additionalProperties and properties are mutual exclusive"
        errors.forbidden(f"{path}.additionalProperties", detail)
    for name, child in (schema.get("properties") or {}).items():
        _check(child, f"{path}.properties[{name}]", errors, "field")
    more, items = schema.get("additionalProperties"), schema.get("items")
    if isinstance(more, dict):
        _check(more, f"{path}.additionalProperties", errors, "field")
    if isinstance(items, dict):
        _check(items, f"{path}.items", errors, "item")
    elif isinstance(items, list):
        errors.forbidden(f"{path}.items", "items must be a schema object and not an array")
    elif schema.get("type") == "array":
        errors.required(f"{path}.items", "must be specified")
    for junctor in _JUNCTORS:
        for index, child in enumerate(schema.get(junctor) or []):
            _check_junctor(child, schema, f"{path}.{junctor}[{index}]", errors)
    if isinstance(schema.get("not"), dict):
        _check_junctor(schema["not"], schema, f"{path}.not", errors)


def _check_type(schema: Object, path: str, errors: Errors, level: str) -> None:
    kind = schema.get("type") or ""
    if kind == "null":
        errors.forbidden(f"{path}.type", "type cannot be set to null, use nullable as an alternative")
    if kind and kind not in _TYPES:
        errors.unsupported(f"{path}.type", kind, _TYPES)
    if schema.get(EMBEDDED) and kind != "object":
        detail = f"must be object if {EMBEDDED} is true"
        if kind:
            errors.invalid(f"{path}.type", kind, detail)
        else:
            errors.required(f"{path}.type", detail)
    elif not kind and not schema.get(INT_OR_STRING) and not schema.get(KEPT):
        errors.required(f"{path}.type", _WITHOUT_TYPE[level])
    if schema.get(INT_OR_STRING) and kind:
        errors.forbidden(f"{path}.type", "must be empty if x-kubernetes-int-or-string is true")


def _check_extensions(schema: Object, path: str, errors: Errors, level: str) -> None:
    for key in (KEPT, EMBEDDED):
        if schema.get(INT_OR_STRING) and schema.get(key):
            errors.invalid(f"{path}.{key}", True, f"must be false if {INT_OR_STRING} is true")
    if schema.get(KEPT) is False:
        errors.invalid(f"{path}.{KEPT}", False, "must be true or undefined")
    if schema.get(EMBEDDED):
        if isinstance(schema.get("additionalProperties"), dict):
            errors.forbidden(f"{path}.additionalProperties", f"must not be used if {EMBEDDED} is set")
        if not schema.get("properties") and not schema.get(KEPT):
            errors.required(f"{path}.properties", f"must not be empty if {EMBEDDED} is true without {KEPT}")
    if schema.get(EMBEDDED) or level == "root":
        for name in ("kind", "apiVersion"):
            said = (schema.get("properties") or {}).get(name)
            if said is not None and said.get("type") != "string":
                errors.invalid(f"{path}.properties[{name}].type", said.get("type") or "", "must be string")
    kind = schema.get(_MAP_TYPE)
    _check_of_type(schema, _MAP_TYPE, "object", path, errors)
    if kind is not None and kind not in _MAP_TYPES:
        errors.unsupported(f"{path}.{_MAP_TYPE}", kind, _MAP_TYPES)


def _check_of_type(schema: Object, key: str, wanted: str, path: str, errors: Errors) -> None:
    kind, detail = schema.get("type") or "", f"must be {wanted} if {key} is specified"
    if schema.get(key) is None or kind == wanted:
        return
    if kind:
        errors.invalid(f"{path}.type", kind, detail)
    else:
        errors.required(f"{path}.type", detail)


def _check_lists(schema: Object, path: str, errors: Errors) -> None:
    kind, keys, items = schema.get(_LIST_TYPE), schema.get(_MAP_KEYS) or [], schema.get("items")
    _check_of_type(schema, _LIST_TYPE, "array", path, errors)
    if kind is not None and kind not in _LIST_TYPES:
        errors.unsupported(f"{path}.{_LIST_TYPE}", kind, _LIST_TYPES)
    if keys and kind != "map":
        detail = f"must be map if {_MAP_KEYS} is non-empty"
        if kind is None:
            errors.required(f"{path}.{_LIST_TYPE}", detail)
        else:
            errors.invalid(f"{path}.{_LIST_TYPE}", kind, detail)
    if kind == "map" and not keys:
        errors.required(f"{path}.{_MAP_KEYS}", f"must not be empty if {_LIST_TYPE} is map")
    if kind == "map" and items is None:
        errors.required(f"{path}.items", f"must have a schema if {_LIST_TYPE} is map")
    if kind not in ("set", "map") or not isinstance(items, dict):
        return
    if items.get("nullable"):
        errors.forbidden(f"{path}.items.nullable", f"cannot be nullable when {_LIST_TYPE} is {kind}")
    if kind == "map":
        _check_map_items(items, keys, path, errors)
    elif items.get("type") == "array" and items.get(_LIST_TYPE) not in (None, "atomic"):
        detail = f"must be atomic as item of a list with {_LIST_TYPE}=set"
        errors.invalid(f"{path}.items.{_LIST_TYPE}", items[_LIST_TYPE], detail)
    elif items.get("type") == "object" and items.get(_MAP_TYPE) != "atomic":
        detail = f"must be atomic as item of a list with {_LIST_TYPE}=set"
        errors.invalid(f"{path}.items.{_MAP_TYPE}", items.get(_MAP_TYPE), detail)


def _check_map_items(items: Object, keys: list[str], path: str, errors: Errors) -> None:
    if items.get("type") != "object":
        detail = f"must be object if parent array's {_LIST_TYPE} is map"
        errors.invalid(f"{path}.items.type", items.get("type") or "", detail)
        return
    properties, required = items.get("properties") or {}, items.get("required") or ()
    for index, key in enumerate(keys):
        found = properties.get(key)
        if found is None:
            errors.invalid(f"{path}.{_MAP_KEYS}", keys, "entries must all be names of item properties")
            continue
        where = f"{path}.items.properties[{key}]"
        if found.get("type") in ("array", "object"):
            detail = f"must be a scalar type if parent array's {_LIST_TYPE} is map"
            errors.invalid(f"{where}.type", found["type"], detail)
        if key in keys[:index]:
            errors.invalid(f"{path}.{_MAP_KEYS}", keys, "must not contain duplicate entries")
        if key not in required and found.get("default") is None:
            detail = f"this property is in {_MAP_KEYS}, so it must have a default or be a required property"
            errors.required(f"{where}.default", detail)
        if found.get("nullable"):
            errors.forbidden(f"{where}.nullable", f"this property is in {_MAP_KEYS}, so it cannot be nullable")


def _check_pattern(schema: Object, path: str, errors: Errors) -> None:
    pattern = schema.get("pattern")
    if pattern:
        try:
            regex.compiled(pattern)
        except ValueError as error:
            errors.invalid(f"{path}.pattern", pattern, f"must be a valid regular expression, but isn't: {error}")


def _check_junctor(schema: Object, outer: Object, path: str, errors: Errors) -> None:
    """A restriction may not say what the structure says, nor mention what the structure doesn't."""
    if not _is_int_or_string(schema, outer):
        for key, detail in _NOT_IN_JUNCTORS.items():
            if schema.get(key) not in (None, "", False, []):
                errors.forbidden(f"{path}.{key}", detail)
    _check_pattern(schema, path, errors)
    known: dict[str, Any] = outer.get("properties") or {}
    for name, child in (schema.get("properties") or {}).items():
        if name == "metadata":
            errors.forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")
        if name in known:
            _check_junctor(child, known[name], f"{path}.properties[{name}]", errors)
        elif not isinstance(outer.get("additionalProperties"), dict):
            inner = path.split(".openAPIV3Schema", 1)[0] + ".openAPIV3Schema"
            errors.required(f"{inner}.properties[{name}]", f"because it is defined in {path}.properties[{name}]")
    items, theirs = schema.get("items"), outer.get("items")
    if isinstance(items, dict):
        _check_junctor(items, theirs if isinstance(theirs, dict) else {}, f"{path}.items", errors)
    for junctor in _JUNCTORS:
        for index, child in enumerate(schema.get(junctor) or []):
            _check_junctor(child, outer, f"{path}.{junctor}[{index}]", errors)
    if isinstance(schema.get("not"), dict):
        _check_junctor(schema["not"], outer, f"{path}.not", errors)


def _is_int_or_string(schema: Object, outer: Object) -> bool:
    return bool(outer.get(INT_OR_STRING)) and schema in (*_INT_OR_STRING, {"anyOf": _INT_OR_STRING})
