"""x-kubernetes-validations: the rules in CEL that a schema's nodes may have, over a value and what it was before.

Source: Extend the API with CustomResourceDefinitions, "Validation rules"; KEP-2876.
"""

from __future__ import annotations

import base64
import re
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from kybern.api.apiextensions import formats
from kybern.api.cel import words
from kybern.api.cel.escaping import escaped
from kybern.api.cel.instants import shown as instant
from kybern.api.cel.messages import HEAD
from kybern.api.cel.program import Bound, ExpressionError, compiled
from kybern.api.field import OMITTED, Errors, FieldError
from kybern.api.types import Object

RULES = "x-kubernetes-validations"
NOWHERE = "<nil>"
"""The path upstream prints for an error that belongs to no field."""
MAX_MESSAGE = 5 * 1024
"""Bytes of the longest message that a messageExpression may make."""
_ABSENT = object()
_UNITS = {
    "ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0,
}  # fmt: skip


def anywhere(schema: Object) -> bool:
    """Whether any node of a schema has rules."""
    parts = [*(schema.get("properties") or {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return bool(schema.get(RULES)) or any(anywhere(part) for part in parts if isinstance(part, dict))


def check(schema: Object, obj: Object, old: Object | None, errors: Errors) -> None:
    """Complain of every rule that a whole object breaks. Rules about oldSelf need `old`. What was broken before and has
    not changed is forgiven, but by rules about changes: KEP-4008."""
    root = {**schema, "properties": {**(schema.get("properties") or {}), **HEAD}}
    before = _ABSENT if old is None else old
    with suppress(_OutOfBudget):
        _walk(root, obj, before, "", _Ancestor(obj, before), errors)


class _OutOfBudget(Exception):
    """No further rules are evaluated."""


class _Ancestor(NamedTuple):
    """The nearest value that there was before too, with what it was."""

    value: Any
    old: Any

    @property
    def unchanged(self) -> bool:
        return self.old is not _ABSENT and bool(self.value == self.old)


def _walk(schema: Object, value: Any, old: Any, path: str, above: _Ancestor, errors: Errors) -> None:
    if value is None:
        return
    here = above if old is _ABSENT else _Ancestor(value, old)
    if schema.get(RULES):
        _evaluate_all(schema, value, None if old is _ABSENT else old, path, here, errors)
    if isinstance(value, dict):
        properties, more = schema.get("properties") or {}, schema.get("additionalProperties")
        for name, part in value.items():
            inner = properties.get(name, more)
            if isinstance(inner, dict):
                was = old.get(name, _ABSENT) if isinstance(old, dict) else _ABSENT
                place = f"{path}[{name}]" if name not in properties else f"{path}.{name}" if path else name
                _walk(inner, part, was, place, here, errors)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        known = _by_key(schema, old)
        for index, item in enumerate(value):
            was = known.get(_key(schema, item), _ABSENT) if known else _ABSENT
            _walk(schema["items"], item, was, f"{path}[{index}]", here, errors)


def _by_key(schema: Object, old: Any) -> dict[Any, Any]:
    """The old items of a list whose items can be told apart."""
    if schema.get("x-kubernetes-list-type") != "map" or not isinstance(old, list):
        return {}
    return {_key(schema, item): item for item in old}


def _key(schema: Object, item: Any) -> Any:
    keys = schema.get("x-kubernetes-list-map-keys") or []
    return tuple(item.get(key) for key in keys) if isinstance(item, dict) else None


def _evaluate_all(schema: Object, value: Any, old: Any, path: str, here: _Ancestor, errors: Errors) -> None:
    """The rules of one node. `old` is None where there was nothing."""
    shown, before = to_cel(schema, value), [] if old is None else [to_cel(schema, old)]
    plain = Bound({"self": shown, **({"oldSelf": before[0]} if before else {})})
    for rule in schema[RULES]:
        variables = Bound({"self": shown, "oldSelf": before}) if rule.get("optionalOldSelf") else plain
        _evaluate(rule, schema, value, variables, bool(before), path, here, errors)


def _evaluate(
    rule: Object, schema: Object, value: Any, variables: Bound, had: bool, path: str, here: _Ancestor, errors: Errors
) -> None:
    kind = schema.get("type") or ""
    try:
        program = compiled(rule["rule"], types_of(rule))
    except ExpressionError as error:
        errors.invalid(path or NOWHERE, kind, f"rule compile error: {error}")
        return
    about_changes = "oldSelf" in program.variables
    if about_changes and not had and not rule.get("optionalOldSelf"):
        return
    try:
        if program.evaluate(variables) is True:
            return
    except ExpressionError as error:
        _failed(str(error), rule, kind, path, errors)
        return
    if not about_changes and here.unchanged:
        return
    place = (rule.get("fieldPath") or "").replace("['", "[").replace("']", "]")
    where = f"{path}{place}" if path else place.removeprefix(".")
    reason = rule.get("reason") or "FieldValueInvalid"
    bad = value if reason == "FieldValueDuplicate" or kind not in ("object", "array") else OMITTED
    detail = "" if reason == "FieldValueDuplicate" else _message(rule, variables)
    errors.append(FieldError(reason, where or NOWHERE, bad, detail))


def _failed(error: str, rule: Object, kind: str, path: str, errors: Errors) -> None:
    """Complain of a rule that could not be evaluated."""
    said = str(rule.get("message") or rule["rule"]).strip()
    if error == words.OUT_OF_BUDGET:
        detail = f"'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {said}"
    elif error == words.NO_OVERLOAD:
        detail = f"'{error}': call arguments did not match a supported operator, function or macro signature for rule: "
        detail += said
    else:
        detail = f"{error} evaluating rule: {said}"
    errors.invalid(path or NOWHERE, kind, detail)
    if error == words.OUT_OF_BUDGET:
        raise _OutOfBudget


def types_of(rule: Object, kind: str = "dyn") -> dict[str, str]:
    """The types of a rule's variables, `kind` that of self."""
    return {"self": kind, "oldSelf": f"optional_type<{kind}>" if rule.get("optionalOldSelf") else kind}


def _message(rule: Object, variables: Bound) -> str:
    source = rule.get("messageExpression")
    if source:
        try:
            text = compiled(source, types_of(rule)).evaluate(variables)
        except ExpressionError:
            text = ""
        if isinstance(text, str) and text.strip() and "\n" not in text and len(text.encode()) <= MAX_MESSAGE:
            return text.strip()
    return str(rule.get("message") or f"failed rule: {rule['rule']}").strip()


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
