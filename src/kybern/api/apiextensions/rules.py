"""x-kubernetes-validations: the rules in CEL that a schema's nodes may have, over a value and what it was before.

Source: Extend the API with CustomResourceDefinitions, "Validation rules"; KEP-2876.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cached_property
from typing import Any, NamedTuple

from kybern.api.apiextensions.rule_values import converter
from kybern.api.cel import words
from kybern.api.cel.budget import Budget
from kybern.api.cel.messages import HEAD
from kybern.api.cel.program import Bound, ExpressionError, OutOfBudget, Program, with_lists
from kybern.api.cel.timings import COMPILATION, EVALUATION
from kybern.api.field import OMITTED, Errors, FieldError
from kybern.api.types import Object
from kybern.process.clock import monotonic

RULES = "x-kubernetes-validations"
NOWHERE = "<nil>"
"""The path upstream prints for an error that belongs to no field."""
MAX_MESSAGE = 5 * 1024
"""Bytes of the longest message that a messageExpression may make."""
_ABSENT = object()


def anywhere(schema: Object) -> bool:
    """Whether any node of a schema has rules."""
    parts = [*(schema.get("properties") or {}).values(), schema.get("items"), schema.get("additionalProperties")]
    return bool(schema.get(RULES)) or any(anywhere(part) for part in parts if isinstance(part, dict))


def types_of(rule: Object, kind: str = "dyn") -> dict[str, str]:
    """The types of a rule's variables, `kind` that of self."""
    return {"self": kind, "oldSelf": f"optional_type<{kind}>" if rule.get("optionalOldSelf") else kind}


class Rules:
    """All rules of whole objects of a schema, compiled when the first object comes."""

    def __init__(self, schema: Object) -> None:
        self._schema = schema

    @cached_property
    def _root(self) -> _Node | None:
        whole = {**self._schema, "properties": {**(self._schema.get("properties") or {}), **HEAD}}
        return _node(whole)

    def check(self, obj: Object, old: Object | None, errors: Errors) -> None:
        """Complain of every rule that a whole object breaks. Rules about oldSelf need `old`. What was broken before and
        has not changed is only warned of, but by rules about changes: KEP-4008."""
        if self._root is None:
            return
        began, before = monotonic(), _ABSENT if old is None else old
        with suppress(_Over):
            self._root.walk(obj, before, "", _Ancestor(obj, before), _Checking(errors))
        EVALUATION.observe(monotonic() - began)


class _Over(Exception):
    """No further rules are evaluated."""


class _Ancestor(NamedTuple):
    """The nearest value that there was before too, with what it was."""

    value: Any
    old: Any

    @property
    def unchanged(self) -> bool:
        return self.old is not _ABSENT and bool(self.value == self.old)


class _Checking:
    """One object's check."""

    __slots__ = ("budget", "errors")

    def __init__(self, errors: Errors) -> None:
        self.errors, self.budget = errors, Budget()


def _node(schema: Object) -> _Node | None:
    """The rules of a node of a schema and of all below; None where there are none."""
    if not anywhere(schema):
        return None
    properties = {name: made for name, part in (schema.get("properties") or {}).items() if (made := _node(part))}
    more, items = schema.get("additionalProperties"), schema.get("items")
    return _Node(
        schema,
        properties,
        _node(more) if isinstance(more, dict) else None,
        _node(items) if isinstance(items, dict) else None,
    )


class _Node:
    """A node of a schema that has rules, or whose inner ones have."""

    def __init__(
        self, schema: Object, properties: dict[str, _Node], more: _Node | None, items: _Node | None
    ) -> None:
        self._properties, self._more, self._items = properties, more, items
        self._named = frozenset(schema.get("properties") or ())
        is_map = schema.get("x-kubernetes-list-type") == "map"
        self._keys: list[str] | None = (schema.get("x-kubernetes-list-map-keys") or []) if is_map else None
        self.kind, self.convert = str(schema.get("type") or ""), converter(schema)
        began = monotonic()
        self._rules = [_Rule(rule, schema) for rule in schema.get(RULES) or ()]
        if self._rules:
            COMPILATION.observe(monotonic() - began)

    def walk(self, value: Any, old: Any, path: str, above: _Ancestor, checking: _Checking) -> None:
        """Check a value and all in it. Raises _Over."""
        if value is None:
            return
        here = above if old is _ABSENT else _Ancestor(value, old)
        if self._rules:
            values = _Values(self, value, None if old is _ABSENT else old)
            for rule in self._rules:
                rule.check(values, path, here, checking)
        if isinstance(value, dict):
            self._walk_object(value, old, path, here, checking)
        elif isinstance(value, list) and self._items is not None:
            known = self._by_key(old)
            for index, item in enumerate(value):
                was = known.get(self._key(item), _ABSENT) if known else _ABSENT
                self._items.walk(item, was, f"{path}[{index}]", here, checking)

    def _walk_object(self, value: Object, old: Any, path: str, here: _Ancestor, checking: _Checking) -> None:
        before = old if isinstance(old, dict) else {}
        if self._more is not None:
            for name, part in value.items():
                if name not in self._named:
                    self._more.walk(part, before.get(name, _ABSENT), f"{path}[{name}]", here, checking)
        for name, node in self._properties.items():
            if name in value:
                place = f"{path}.{name}" if path else name
                node.walk(value[name], before.get(name, _ABSENT), place, here, checking)

    def _by_key(self, old: Any) -> dict[Any, Any]:
        """The old items of a list whose items can be told apart."""
        if self._keys is None or not isinstance(old, list):
            return {}
        return {self._key(item): item for item in old}

    def _key(self, item: Any) -> Any:
        return tuple(item.get(key) for key in self._keys or ()) if isinstance(item, dict) else None


class _Values:
    """A value and, where there was one, the old value: what the rules of a node are about."""

    __slots__ = ("_bound", "_converted", "_old", "had", "node", "value")

    def __init__(self, node: _Node, value: Any, old: Any) -> None:
        self.node, self.value, self.had, self._old = node, value, old is not None, old
        self._converted, self._bound = node.convert(value), dict[tuple[bool, bool], Bound]()

    def bound(self, *, changes: bool, optional: bool) -> Bound:
        """The variables; `changes`: with oldSelf, `optional`: as an optional."""
        found = self._bound.get((changes, optional))
        if found is None:
            shown = {"self": self._converted}
            if changes:
                old = [self.node.convert(self._old)] if self.had else []
                shown["oldSelf"] = old if optional else old[0]
            found = self._bound[changes, optional] = Bound(shown)
        return found


class _Rule:
    """One rule, compiled."""

    def __init__(self, rule: Object, schema: Object) -> None:
        self._rule, self._optional = rule, bool(rule.get("optionalOldSelf"))
        self._said = str(rule.get("message") or rule["rule"]).strip()
        self._place = (rule.get("fieldPath") or "").replace("['", "[").replace("']", "]")
        self._program, self._message = (self._compiled(rule.get(key), schema) for key in ("rule", "messageExpression"))
        self._about_changes = isinstance(self._program, Program) and "oldSelf" in self._program.variables
        self._message_about_changes = isinstance(self._message, Program) and "oldSelf" in self._message.variables

    def _compiled(self, text: str | None, schema: Object) -> Program | ExpressionError | None:
        if not text:
            return None
        try:
            return with_lists(text, types_of(self._rule), schema)
        except ExpressionError as error:
            return error

    def check(self, values: _Values, path: str, here: _Ancestor, checking: _Checking) -> None:
        """Complain if a value breaks it. Raises _Over."""
        if not isinstance(self._program, Program):
            checking.errors.invalid(path or NOWHERE, values.node.kind, f"rule compile error: {self._program}")
            return
        if self._about_changes and not values.had and not self._optional:
            return
        bound = values.bound(changes=self._about_changes, optional=self._optional)
        try:
            if checking.budget.evaluate(self._program, bound) is True:
                return
        except ExpressionError as error:
            self._failed(error, values.node.kind, path or NOWHERE, checking.errors)
            return
        where = f"{path}{self._place}" if path else self._place.removeprefix(".")
        detail, over = self._detail(values, checking.budget)
        if over:
            broken = FieldError("FieldValueInvalid", where or NOWHERE, values.node.kind, over)
        else:
            reason = self._rule.get("reason") or "FieldValueInvalid"
            bad = OMITTED if values.node.kind in ("object", "array") else values.value
            broken = FieldError(reason, where or NOWHERE, bad, "" if reason == "FieldValueDuplicate" else detail)
        if not self._about_changes and here.unchanged:
            checking.errors.warnings += (str(broken),)
        else:
            checking.errors.append(broken)
        if over:
            raise _Over

    def _failed(self, error: ExpressionError, kind: str, path: str, errors: Errors) -> None:
        """Complain that it could not be evaluated. Raises _Over."""
        said = str(error)
        if isinstance(error, OutOfBudget):
            errors.invalid(path, kind, said)
        elif error.over_limit:
            why = f"no further validation rules will be run due to call cost exceeds limit for rule: {self._said}"
            errors.invalid(path, kind, f"'{said}': {why}")
        elif said == words.NO_OVERLOAD:
            why = "call arguments did not match a supported operator, function or macro signature for rule: "
            errors.invalid(path, kind, f"'{said}': {why}{self._said}")
        else:
            errors.invalid(path, kind, f"{said} evaluating rule: {self._said}")
        if isinstance(error, OutOfBudget) or error.over_limit:
            raise _Over

    def _detail(self, values: _Values, budget: Budget) -> tuple[str, str]:
        """(what is said of a value that breaks it, why nothing more is evaluated)."""
        text: Any = ""
        if isinstance(self._message, Program) and (values.had or self._optional or not self._message_about_changes):
            bound = values.bound(changes=self._message_about_changes, optional=self._optional)
            try:
                text = budget.evaluate(self._message, bound)
            except OutOfBudget:
                why = "messageExpression evaluation failed due to running out of cost budget"
                return "", f"{why}, no further validation rules will be run"
            except ExpressionError as error:
                if error.over_limit:
                    why = "no further validation rules will be run due to call cost exceeds limit for messageExpression"
                    return "", f'{why}: "{self._message.text}"'
        text = text.strip() if isinstance(text, str) else ""
        if text and "\n" not in text and len(text.encode()) <= MAX_MESSAGE:
            return text, ""
        return str(self._rule.get("message") or f"failed rule: {self._rule['rule'].strip()}").strip(), ""
