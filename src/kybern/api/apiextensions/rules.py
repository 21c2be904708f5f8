"""x-kubernetes-validations: the rules in CEL that a schema's nodes may have, over a value and what it was before.

Source: Extend the API with CustomResourceDefinitions, "Validation rules"; KEP-2876.
"""

from __future__ import annotations

import base64
import re
from datetime import date, datetime, timedelta
from typing import Any

from kybern.api.apiextensions import formats
from kybern.api.cel.escaping import escaped
from kybern.api.cel.instants import shown as instant
from kybern.api.cel.messages import HEAD
from kybern.api.cel.program import ExpressionError, compiled
from kybern.api.field import OMITTED, Errors, FieldError
from kybern.api.types import Object

RULES = "x-kubernetes-validations"
_ABSENT = object()
_UNITS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0,
}  # fmt: skip


def anywhere(schema: Object) -> bool:
    """Whether any node of a schema has rules."""
    parts = [*(schema.get("properties") or {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return bool(schema.get(RULES)) or any(anywhere(part) for part in parts if isinstance(part, dict))


def check(schema: Object, obj: Object, old: Object | None, errors: Errors) -> None:
    """Complain of every rule that a whole object breaks. Rules about oldSelf need `old`."""
    root = {**schema, "properties": {**(schema.get("properties") or {}), **HEAD}}
    _walk(root, obj, _ABSENT if old is None else old, "", errors)


def _walk(schema: Object, value: Any, old: Any, path: str, errors: Errors) -> None:
    if value is None:
        return
    rules = schema.get(RULES) or ()
    if rules:
        shown = to_cel(schema, value)
        before = _ABSENT if old is _ABSENT or old is None else to_cel(schema, old)
        for rule in rules:
            _evaluate(rule, value, shown, before, path, errors)
    if isinstance(value, dict):
        properties, more = schema.get("properties") or {}, schema.get("additionalProperties")
        for name, part in value.items():
            inner = properties.get(name, more)
            if isinstance(inner, dict):
                was = old.get(name, _ABSENT) if isinstance(old, dict) else _ABSENT
                _walk(inner, part, was, f"{path}.{name}" if path else name, errors)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        known = _by_key(schema, old)
        for index, item in enumerate(value):
            was = known.get(_key(schema, item), _ABSENT) if known else _ABSENT
            _walk(schema["items"], item, was, f"{path}[{index}]", errors)


def _by_key(schema: Object, old: Any) -> dict[Any, Any]:
    """The old items of a list whose items can be told apart."""
    if schema.get("x-kubernetes-list-type") != "map" or not isinstance(old, list):
        return {}
    return {_key(schema, item): item for item in old}


def _key(schema: Object, item: Any) -> Any:
    keys = schema.get("x-kubernetes-list-map-keys") or []
    return tuple(item.get(key) for key in keys) if isinstance(item, dict) else None


def _evaluate(rule: Object, value: Any, shown: Any, old: Any, path: str, errors: Errors) -> None:
    variables = {"self": shown}
    try:
        expression = compiled(rule["rule"], types_of(rule))
        if "oldSelf" in expression.variables:
            if rule.get("optionalOldSelf"):
                variables["oldSelf"] = [] if old is _ABSENT else [old]
            elif old is _ABSENT:
                return
            else:
                variables["oldSelf"] = old
        if expression.evaluate(variables) is True:
            return
    except ExpressionError as error:
        errors.invalid(path or "<nil>", _display(value), f"rule evaluation error: {error}: {rule['rule']}")
        return
    said, detail = _message(rule, variables)
    here = f"{path}{rule.get('fieldPath') or ''}" if path else (rule.get("fieldPath") or "").removeprefix(".")
    reason = rule.get("reason") or "FieldValueInvalid"
    bad = value if reason == "FieldValueDuplicate" else OMITTED if said else _display(value)
    errors.append(FieldError(reason, here or "<nil>", bad, "" if reason == "FieldValueDuplicate" else detail))


def types_of(rule: Object, kind: str = "dyn") -> dict[str, str]:
    """The types of a rule's variables, `kind` that of self."""
    return {"self": kind, "oldSelf": f"optional_type<{kind}>" if rule.get("optionalOldSelf") else kind}


def _display(value: Any) -> Any:
    """What an error shows of a value: nothing of structures."""
    return OMITTED if isinstance(value, (dict, list)) else value


def _message(rule: Object, variables: dict[str, Any]) -> tuple[bool, str]:
    """(whether messageExpression made it, the text)."""
    source = rule.get("messageExpression")
    if source:
        try:
            text = compiled(source, types_of(rule)).evaluate(variables)
        except ExpressionError:
            text = ""
        if isinstance(text, str) and text.strip() and "\n" not in text:
            return True, text.strip()
    return False, str(rule.get("message") or f"failed rule: {rule['rule'].strip()}")


# Values.


def to_cel(schema: Object, value: Any) -> Any:
    """A value as its rules see it: names escaped, numbers doubles, dates and durations their own types."""
    if isinstance(value, dict):
        properties, more = schema.get("properties") or {}, schema.get("additionalProperties")
        shown = {}
        for name, part in value.items():
            if name in properties:
                inner = escaped(name)
                if inner:
                    shown[inner] = to_cel(properties[name], part)
            else:
                shown[name] = to_cel(more if isinstance(more, dict) else {}, part)
        return shown
    if isinstance(value, list):
        items = schema.get("items")
        return [to_cel(items if isinstance(items, dict) else {}, item) for item in value]
    if isinstance(value, str):
        return _text(schema.get("format") or "", value)
    if schema.get("type") == "number" and type(value) is int:
        return float(value)
    return value


def _text(form: str, value: str) -> Any:
    if form not in ("date", "date-time", "duration", "byte") or not formats.fits(form, value):
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
