"""x-kubernetes-validations: the rules in CEL that a schema's nodes may have, over a value and what it was before.

Source: Extend the API with CustomResourceDefinitions, "Validation rules"; KEP-2876.
"""

from __future__ import annotations

import base64
import re
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

import orjson

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
_SORTED = orjson.OPT_SORT_KEYS
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
        node = _Node(schema, value, None if old is _ABSENT else old)
        for rule in schema[RULES]:
            _evaluate(rule, node, path, here, errors)
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


class _Node:
    """A value with its schema and, where there was one, the old value: what the rules of a node are about."""

    def __init__(self, schema: Object, value: Any, old: Any) -> None:
        self.schema, self.value, self.had = schema, value, old is not None
        self.kind: str = schema.get("type") or ""
        self._old, self._bound = old, dict[tuple[bool, bool], Bound]()

    def bound(self, optional: bool, sorted_lists: bool) -> Bound:
        """The variables. `sorted_lists`: sets and lists of type map are in one order, for how they are compared."""
        key = optional, sorted_lists
        if key not in self._bound:
            old = [to_cel(self.schema, self._old, sorted_lists=sorted_lists)] if self.had else []
            shown = {"self": to_cel(self.schema, self.value, sorted_lists=sorted_lists)}
            if optional or old:
                shown["oldSelf"] = old if optional else old[0]
            self._bound[key] = Bound(shown)
        return self._bound[key]


def _evaluate(rule: Object, node: _Node, path: str, here: _Ancestor, errors: Errors) -> None:
    try:
        program = compiled(rule["rule"], types_of(rule))
    except ExpressionError as error:
        errors.invalid(path or NOWHERE, node.kind, f"rule compile error: {error}")
        return
    about_changes, optional = "oldSelf" in program.variables, bool(rule.get("optionalOldSelf"))
    if about_changes and not node.had and not optional:
        return
    variables = node.bound(optional, about_changes and "_[_]" not in program.functions)
    try:
        if program.evaluate(variables) is True:
            return
    except ExpressionError as error:
        _failed(str(error), rule, node.kind, path, errors)
        return
    if not about_changes and here.unchanged:
        return
    place = (rule.get("fieldPath") or "").replace("['", "[").replace("']", "]")
    where = f"{path}{place}" if path else place.removeprefix(".")
    reason = rule.get("reason") or "FieldValueInvalid"
    bad = node.value if reason == "FieldValueDuplicate" or node.kind not in ("object", "array") else OMITTED
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


def to_cel(schema: Object, value: Any, *, sorted_lists: bool = False) -> Any:
    """A value as its rules see it: names escaped, numbers doubles, dates and durations their own types. `sorted_lists`:
    lists whose order says nothing, sets and those of type map, in one order."""
    if isinstance(value, dict):
        properties, more = schema.get("properties") or {}, schema.get("additionalProperties")
        shown = {}
        for name, part in value.items():
            if name in properties:
                inner = escaped(name)
                if inner:
                    shown[inner] = to_cel(properties[name], part, sorted_lists=sorted_lists)
            else:
                shown[name] = to_cel(more if isinstance(more, dict) else {}, part, sorted_lists=sorted_lists)
        return shown
    if isinstance(value, list):
        items = schema.get("items")
        if sorted_lists and schema.get("x-kubernetes-list-type") in ("set", "map"):
            value = sorted(value, key=lambda item: orjson.dumps(_key(schema, item) or item, option=_SORTED))
        return [to_cel(items if isinstance(items, dict) else {}, item, sorted_lists=sorted_lists) for item in value]
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
