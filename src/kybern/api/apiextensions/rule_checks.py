"""What x-kubernetes-validations must be like: said whole, compiled against the schema, about what can be told apart
between two revisions, and within the cost that validation may have.

Source: Extend the API with CustomResourceDefinitions, "Validation rules", "Resource use by validation functions".
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kybern.api.apiextensions import field_paths, rules
from kybern.api.apiextensions.field_paths import PathInvalid
from kybern.api.cel import cost
from kybern.api.cel.messages import EMBEDDED, Messages
from kybern.api.cel.program import ExpressionError, compiled
from kybern.api.field import Errors
from kybern.api.types import Object

_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_MOST_NAMED = 4
_UNCOMPILED = "messageExpression compilation failed"


def check_rule(rule: Object, schema: Object, path: str, errors: Errors) -> None:
    """The rules of one rule of a schema node, but for its expressions."""
    text, message = str(rule.get("rule") or "").strip(), str(rule.get("message") or "")
    if not text:
        errors.required(f"{path}.rule", "rule is not specified")
    elif message and not message.strip():
        errors.invalid(f"{path}.message", message, "message must be non-empty if specified")
    elif _broken(message.strip()):
        errors.invalid(f"{path}.message", message, "message must not contain line breaks")
    elif _broken(text) and not message.strip():
        errors.required(f"{path}.message", "message must be specified if rule contains line breaks")
    if rule.get("messageExpression") and not rule["messageExpression"].strip():
        errors.required(f"{path}.messageExpression", "messageExpression must be non-empty if specified")
    if rule.get("reason") is not None and rule["reason"] not in _REASONS:
        errors.unsupported(f"{path}.reason", rule["reason"], _REASONS)
    place = rule.get("fieldPath") or ""
    if place and not place.strip():
        errors.invalid(f"{path}.fieldPath", place, "fieldPath must be non-empty if specified")
    if _broken(place):
        errors.invalid(f"{path}.fieldPath", place, "fieldPath must not contain line breaks")
    if place:
        try:
            field_paths.resolve(place, schema)
        except PathInvalid:
            errors.invalid(f"{path}.fieldPath", place, "fieldPath must be a valid path")


def _broken(text: str) -> bool:
    return "\n" in text or "\r" in text


@dataclass(slots=True)
class Compilation:
    """Compiles all rules of a schema. `unchanged`: it was accepted before, whatever single rules cost."""

    messages: Messages
    errors: Errors
    unchanged: bool = False
    costs: list[tuple[int, str]] = field(default_factory=list)
    """(cost, path) of every expression."""

    def node(self, node: Object, path: str, times: int | None, loose: str, *, root: bool = False) -> None:
        """The rules of a node and of all below. `times`: how many there can be of it, None: nobody knows. `loose` is
        the path of the list in which items can't be told apart between revisions, if it is in one."""
        for index, rule in enumerate(node.get(rules.RULES) or ()):
            self._rule(rule, node, f"{path}.{rules.RULES}[{index}]", times, loose, root)
        for name, child in (node.get("properties") or {}).items():
            self.node(child, f"{path}.properties[{name}]", times, loose)
        more, items = node.get("additionalProperties"), node.get("items")
        if isinstance(more, dict):
            self.node(more, f"{path}.additionalProperties", _product(times, node.get("maxProperties")), loose)
        if isinstance(items, dict):
            told_apart = node.get("x-kubernetes-list-type") == "map"
            within = loose or ("" if told_apart else path)
            self.node(items, f"{path}.items", _product(times, node.get("maxItems")), within)

    def _rule(self, rule: Object, node: Object, path: str, times: int | None, loose: str, root: bool) -> None:
        kind, whole = self.messages.type_of(node), root or bool(node.get(EMBEDDED))
        known = rules.types_of(rule, kind)
        try:
            program = compiled(rule["rule"], known, self.messages)
            if program.result != "bool":
                raise ExpressionError("cel expression must evaluate to a bool")
        except ExpressionError as error:
            self.errors.invalid(f"{path}.rule", rule, str(error))
            return
        each = cost.estimate(program.tree, node, root=whole)
        self._spend(each * (cost.cardinality(node) if times is None else times), "estimated rule cost", f"{path}.rule")
        if rule.get("messageExpression"):
            self._message(rule, node, known, f"{path}.messageExpression", whole)
        if "oldSelf" in program.variables:
            if loose:
                detail = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {loose}"
                self.errors.invalid(f"{path}.rule", rule["rule"], detail)
        elif rule.get("optionalOldSelf") is not None:
            detail = "may not be set if oldSelf is not used in rule"
            self.errors.invalid(f"{path}.optionalOldSelf", rule["optionalOldSelf"], detail)

    def _message(self, rule: Object, node: Object, known: dict[str, str], path: str, whole: bool) -> None:
        try:
            program = compiled(rule["messageExpression"], known, self.messages)
            if program.result != "string":
                raise ExpressionError("messageExpression must evaluate to a string")
        except ExpressionError as error:
            self.errors.invalid(path, rule, str(error).replace("compilation failed", _UNCOMPILED, 1))
            return
        self._spend(cost.estimate(program.tree, node, root=whole), "estimated messageExpression cost", path)

    def _spend(self, spent: int, what: str, path: str) -> None:
        self.costs.append((spent, path))
        if spent > cost.LIMIT and not self.unchanged:
            self.errors.forbidden(path, cost.exceeded(what, spent, cost.LIMIT))

    def check_total(self, path: str) -> None:
        """Complain of what all expressions together cost."""
        total = sum(spent for spent, _ in self.costs)
        if total <= cost.TOTAL_LIMIT:
            return
        for _, where in sorted(self.costs, reverse=True)[:_MOST_NAMED]:
            detail = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
            self.errors.forbidden(where, detail)
        what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        self.errors.forbidden(path, cost.exceeded(what, total, cost.TOTAL_LIMIT))


def _product(times: int | None, more: int | None) -> int | None:
    return None if times is None or more is None else times * max(0, more)
