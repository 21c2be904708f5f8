"""What a version's OpenAPI schema must be like: structural. Every field's type is said outside allOf, anyOf, oneOf and
not, and those only restrict.

Source: Extend the API with CustomResourceDefinitions, "Specifying a structural schema"; KEP on structural schemas.
"""

from __future__ import annotations

import re
from typing import Any

from kybern.api.apiextensions import rules
from kybern.api.cel.messages import Messages
from kybern.api.cel.program import ExpressionError, compiled
from kybern.api.field import Errors
from kybern.api.types import Object

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_JUNCTORS = ("allOf", "anyOf", "oneOf")
_EXTENSIONS = ("x-kubernetes-embedded-resource", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields")
_NOT_IN_JUNCTORS = ("default", "description", "nullable", "title", "type", "additionalProperties", *_EXTENSIONS)
_UNSUPPORTED = ("$ref", "$schema", "id", "definitions", "dependencies", "patternProperties", "additionalItems")
_INT_OR_STRING = [{"type": "integer"}, {"type": "string"}]
_LIST_TYPES = ("atomic", "map", "set")
_MAP_TYPES = ("atomic", "granular")


def check(schema: Object, path: str, errors: Errors) -> None:
    """Complain of all that keeps `schema` (of the whole object, at `path`) from being structural."""
    if schema.get("type") != "object":
        if not schema.get("type"):
            errors.required(f"{path}.type", "must not be empty at the root")
        else:
            errors.invalid(f"{path}.type", schema["type"], "must be object at the root")
    if schema.get("nullable"):
        errors.forbidden(f"{path}.nullable", "nullable cannot be true at the root")
    metadata = (schema.get("properties") or {}).get("metadata") or {}
    for key in metadata:
        if key not in ("type", "properties", "description"):
            detail = 'must not specify anything other than name and generateName, but metadata is implicitly specified'
            errors.forbidden(f"{path}.properties[metadata]", detail)
            break
    _check(schema, path, errors, root=True)
    if not errors and rules.anywhere(schema):
        _compile(schema, path, Messages(schema), errors)


def _check(schema: Object, path: str, errors: Errors, *, root: bool = False) -> None:
    for key in _UNSUPPORTED:
        if schema.get(key):
            errors.forbidden(f"{path}.{key}", f"{key} is not supported")
    if schema.get("uniqueItems"):
        detail = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        errors.forbidden(f"{path}.uniqueItems", detail)
    _check_type(schema, path, errors, root)
    _check_extensions(schema, path, errors)
    _check_pattern(schema, path, errors)
    for index, rule in enumerate(schema.get("x-kubernetes-validations") or []):
        _check_rule(rule, f"{path}.x-kubernetes-validations[{index}]", errors)
    if "properties" in schema and schema.get("additionalProperties") not in (None, False):
        detail = "additionalProperties and properties are mutual exclusive"
        errors.forbidden(f"{path}.additionalProperties", detail)
    for name, child in (schema.get("properties") or {}).items():
        _check(child, f"{path}.properties[{name}]", errors)
    more, items = schema.get("additionalProperties"), schema.get("items")
    if isinstance(more, dict):
        _check(more, f"{path}.additionalProperties", errors)
    if isinstance(items, dict):
        _check(items, f"{path}.items", errors)
    elif isinstance(items, list):
        errors.forbidden(f"{path}.items", "items must be a schema object and not an array")
    elif schema.get("type") == "array":
        errors.required(f"{path}.items", "must be specified")
    for junctor in _JUNCTORS:
        for index, child in enumerate(schema.get(junctor) or []):
            _check_junctor(child, schema, f"{path}.{junctor}[{index}]", errors)
    if isinstance(schema.get("not"), dict):
        _check_junctor(schema["not"], schema, f"{path}.not", errors)


def _check_type(schema: Object, path: str, errors: Errors, root: bool) -> None:
    kind = schema.get("type") or ""
    free = schema.get("x-kubernetes-preserve-unknown-fields") or schema.get("x-kubernetes-int-or-string")
    if not kind:
        if not free and not root:
            errors.required(f"{path}.type", "must not be empty for specified object fields")
    elif kind not in _TYPES:
        errors.unsupported(f"{path}.type", kind, _TYPES)
    if schema.get("x-kubernetes-int-or-string") and kind:
        errors.forbidden(f"{path}.type", "must be empty if x-kubernetes-int-or-string is true")


def _check_extensions(schema: Object, path: str, errors: Errors) -> None:
    if schema.get("x-kubernetes-embedded-resource"):
        if schema.get("type") != "object":
            detail = "must be object if x-kubernetes-embedded-resource is true"
            errors.invalid(f"{path}.type", schema.get("type") or "", detail)
        if not schema.get("properties") and not schema.get("x-kubernetes-preserve-unknown-fields"):
            detail = "must not be empty if x-kubernetes-embedded-resource is true without "
            detail += "x-kubernetes-preserve-unknown-fields"
            errors.required(f"{path}.properties", detail)
    kept = schema.get("x-kubernetes-preserve-unknown-fields")
    if kept is False:
        detail = "must be true or undefined"
        errors.invalid(f"{path}.x-kubernetes-preserve-unknown-fields", False, detail)
    _check_list_type(schema, path, errors)
    kind = schema.get("x-kubernetes-map-type")
    if kind is not None and kind not in _MAP_TYPES:
        errors.unsupported(f"{path}.x-kubernetes-map-type", kind, _MAP_TYPES)
    elif kind is not None and schema.get("type") != "object":
        errors.invalid(f"{path}.type", schema.get("type") or "", "must be object if x-kubernetes-map-type is specified")


def _check_list_type(schema: Object, path: str, errors: Errors) -> None:
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or []
    if kind is not None and kind not in _LIST_TYPES:
        errors.unsupported(f"{path}.x-kubernetes-list-type", kind, _LIST_TYPES)
    elif kind is not None and schema.get("type") != "array":
        errors.invalid(f"{path}.type", schema.get("type") or "", "must be array if x-kubernetes-list-type is specified")
    if kind == "map" and not keys:
        errors.required(f"{path}.x-kubernetes-list-map-keys", "must not be empty if x-kubernetes-list-type is map")
    if keys and kind != "map":
        where = f"{path}.x-kubernetes-list-type"
        if kind is None:
            errors.required(where, "must be map if x-kubernetes-list-map-keys is non-empty")
        else:
            errors.invalid(where, kind, "must be map if x-kubernetes-list-map-keys is non-empty")
    if kind == "map" and isinstance(schema.get("items"), dict):
        _check_map_keys(schema["items"], keys, path, errors)


def _check_map_keys(items: Object, keys: list[str], path: str, errors: Errors) -> None:
    properties = items.get("properties") or {}
    for index, key in enumerate(keys):
        if key not in properties:
            detail = 'entries must all be names of item properties'
            errors.invalid(f"{path}.x-kubernetes-list-map-keys[{index}]", key, detail)
        elif key not in (items.get("required") or []) and "default" not in properties[key]:
            detail = "this property is in x-kubernetes-list-map-keys, "
            detail += "so it must have a default or be a required property"
            errors.required(f"{path}.items.properties[{key}].default", detail)


def _check_pattern(schema: Object, path: str, errors: Errors) -> None:
    pattern = schema.get("pattern")
    if pattern:
        try:
            re.compile(pattern)
        except re.error as error:
            errors.invalid(f"{path}.pattern", pattern, f"must be a valid regular expression, but isn't: {error}")


def _check_rule(rule: Object, path: str, errors: Errors) -> None:
    if not str(rule.get("rule") or "").strip():
        errors.required(f"{path}.rule", "rule is not specified")
    if "\n" in (rule.get("message") or ""):
        errors.invalid(f"{path}.message", rule["message"], "message must not contain line breaks")


def _compile(node: Object, path: str, messages: Messages, errors: Errors) -> None:
    """Compile the rules of a node and of all below against their types."""
    kind = messages.type_of(node)
    for index, rule in enumerate(node.get(rules.RULES) or ()):
        here = f"{path}.{rules.RULES}[{index}]"
        if not kind:
            errors.invalid(f"{here}.rule", rule["rule"], "rules are not supported where the type is not known")
            continue
        for key, expects in (("rule", "bool"), ("messageExpression", "string")):
            try:
                if rule.get(key):
                    compiled(rule[key], rules.types_of(rule, kind), messages, (expects,))
            except ExpressionError as error:
                errors.invalid(f"{here}.{key}", rule[key], str(error))
    for name, child in (node.get("properties") or {}).items():
        _compile(child, f"{path}.properties[{name}]", messages, errors)
    for key in ("additionalProperties", "items"):
        if isinstance(node.get(key), dict):
            _compile(node[key], f"{path}.{key}", messages, errors)


def _check_junctor(schema: Object, outer: Object, path: str, errors: Errors) -> None:
    """A restriction may not say what the structure says, nor mention what the structure doesn't."""
    if not _is_int_or_string(schema, outer):
        for key in _NOT_IN_JUNCTORS:
            if schema.get(key) not in (None, "", False):
                errors.forbidden(f"{path}.{key}", "must be empty to be structural")
    known: dict[str, Any] = outer.get("properties") or {}
    for name, child in (schema.get("properties") or {}).items():
        if name in known:
            _check_junctor(child, known[name], f"{path}.properties[{name}]", errors)
        elif not isinstance(outer.get("additionalProperties"), dict):
            inner = path.split(".openAPIV3Schema", 1)[0] + ".openAPIV3Schema"
            errors.required(f"{inner}.properties[{name}]", f"because it is defined in {path}.properties[{name}]")
    for junctor in _JUNCTORS:
        for index, child in enumerate(schema.get(junctor) or []):
            _check_junctor(child, outer, f"{path}.{junctor}[{index}]", errors)


def _is_int_or_string(schema: Object, outer: Object) -> bool:
    return bool(outer.get("x-kubernetes-int-or-string")) and schema in (*_INT_OR_STRING, {"anyOf": _INT_OR_STRING})
