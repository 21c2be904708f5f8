"""Label selectors (strings and LabelSelector objects) and field selectors, parsed once, matched often.

Source: API concepts, "Labels and Selectors" and "Field Selectors"; the grammar and the errors are upstream's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from kybern.api import names
from kybern.api.errors import BadRequest
from kybern.api.field import Errors
from kybern.api.types import Object

_EMPTY: Mapping[str, str] = {}


class SelectorError(ValueError):
    """A selector that can't be parsed, in upstream's words."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. `operator` is "in", "notin", "=", "!=", "exists", "!", "gt" or "lt"."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        if self.operator in ("in", "="):
            return value in self.values
        if self.operator in ("notin", "!="):
            return value not in self.values
        if self.operator == "exists":
            return value is not None
        if self.operator == "!":
            return value is None
        return value is not None and self._compares(value)

    def _compares(self, value: str) -> bool:
        try:
            left, right = int(value), int(next(iter(self.values)))
        except ValueError:
            return False
        return left > right if self.operator == "gt" else left < right

    def __str__(self) -> str:
        if self.operator == "exists":
            return self.key
        if self.operator == "!":
            return f"!{self.key}"
        if self.operator in ("in", "notin"):
            return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
        sign = {"gt": ">", "lt": "<"}.get(self.operator, self.operator)
        return f"{self.key}{sign}{next(iter(self.values))}"


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements must hold; without any, everything matches (unless `nothing`)."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        """Whether an object with these labels is selected."""
        if self.nothing:
            return False
        labels = labels or _EMPTY
        for requirement in self.requirements:  # noqa: SIM110 - the loop is the cheaper form
            if not requirement.matches(labels):
                return False
        return True

    @property
    def everything(self) -> bool:
        """Whether it selects whatever there is."""
        return not self.nothing and not self.requirements

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)

_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def from_object(selector: Object | None) -> Selector:
    """A LabelSelector object compiled: None selects nothing, {} everything. Unknown operators raise SelectorError."""
    if selector is None:
        return NOTHING
    found = [Requirement(key, "=", frozenset((value,))) for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        operator = _OPERATORS.get(expression.get("operator", ""))
        if operator is None:
            raise SelectorError(f'"{expression.get("operator", "")}" is not a valid label selector operator')
        found.append(Requirement(expression.get("key", ""), operator, frozenset(expression.get("values") or ())))
    return Selector(tuple(sorted(found, key=lambda one: one.key)))


def from_labels(labels: Mapping[str, str] | None) -> Selector:
    """A plain map (Service, ReplicationController) compiled: all pairs must be there. Empty selects everything."""
    return Selector(tuple(Requirement(key, "=", frozenset((value,))) for key, value in sorted((labels or {}).items())))


def validate_object(selector: Object | None, path: str, errors: Errors) -> None:
    """A LabelSelector object's rules."""
    for key, value in ((selector or {}).get("matchLabels") or {}).items():
        for problem in names.qualified_name(key):
            errors.invalid(f"{path}.matchLabels", key, problem)
        for problem in names.label_value(value):
            errors.invalid(f"{path}.matchLabels", value, problem)
    for i, expression in enumerate((selector or {}).get("matchExpressions") or ()):
        _validate_expression(expression, f"{path}.matchExpressions[{i}]", errors)


def _validate_expression(expression: Object, path: str, errors: Errors) -> None:
    operator, values = expression.get("operator", ""), expression.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            errors.required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            errors.forbidden(f"{path}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
    else:
        errors.invalid(f"{path}.operator", operator, "not a valid selector operator")
    for problem in names.qualified_name(expression.get("key", "")):
        errors.invalid(f"{path}.key", expression.get("key", ""), problem)
    for j, value in enumerate(values):
        for problem in names.label_value(value):
            errors.invalid(f"{path}.values[{j}]", value, problem)


# Label selector strings.

_TOKEN = re.compile(r"\s*(!=|==|=|>|<|!|\(|\)|,|[^\s!=<>(),]+)")
_SIGNS = {"=": "=", "==": "=", "!=": "!=", ">": "gt", "<": "lt", "in": "in", "notin": "notin"}
_SYMBOLS = frozenset(["!=", "==", "=", ">", "<", "!", "(", ")", ","])


def parse(text: str) -> Selector:
    """A `labelSelector` parameter, e.g. `app=web,tier in (a,b),!legacy`. Raises BadRequest."""
    try:
        return _parse(text)
    except SelectorError as error:
        raise BadRequest(str(error)) from None


@lru_cache(maxsize=1024)
def _parse(text: str) -> Selector:
    if not text.strip():
        return EVERYTHING
    return Selector(tuple(sorted(_Parser(text).requirements(), key=lambda one: one.key)))


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens = [match[1] for match in _TOKEN.finditer(text)]
        self.at = 0

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.at += 1
        return token

    def requirements(self) -> list[Requirement]:
        found = []
        while True:
            if self.peek() in _SYMBOLS - {"!"}:
                raise _unexpected(self.peek(), "!, identifier, or 'end of string'")
            found.append(self.requirement())
            token = self.take()
            if not token:
                return found
            if token != ",":
                raise _unexpected(token, "',' or 'end of string'", prefix=False)
            if not self.peek() or self.peek() in _SYMBOLS - {"!"}:
                raise _unexpected(self.peek(), "identifier after ','", prefix=False)

    def requirement(self) -> Requirement:
        negated = self.peek() == "!"
        if negated:
            self.take()
        key = self.take()
        if not key or key in _SYMBOLS:
            raise _unexpected(key, "identifier")
        _check_key(key)
        if negated:
            return Requirement(key, "!")
        if self.peek() in ("", ","):
            return Requirement(key, "exists")
        sign = self.take()
        if sign not in _SIGNS:
            raise _unexpected(sign, "in, notin, =, ==, !=, gt, lt")
        operator = _SIGNS[sign]
        values = self.set_of_values() if operator in ("in", "notin") else frozenset((self.value(),))
        _check_values(key, operator, values)
        return Requirement(key, operator, values)

    def value(self) -> str:
        """An exact value; nothing before a comma or the end is the empty string."""
        if self.peek() in ("", ","):
            return ""
        token = self.take()
        if token in _SYMBOLS:
            raise _unexpected(token, "identifier")
        return token

    def set_of_values(self) -> frozenset[str]:
        token = self.take()
        if token != "(":
            raise _unexpected(token, "'('")
        values: list[str] = []
        empty = True
        while True:
            token = self.take()
            if token == ")":
                return frozenset([*values, ""] if empty else values)
            if token == ",":
                if empty:
                    values.append("")
                empty = True
            elif not token or token in _SYMBOLS or not empty:
                raise _unexpected(token, "',', or ')'")
            else:
                values.append(token)
                empty = False


def _unexpected(token: str, expected: str, *, prefix: bool = True) -> SelectorError:
    said = f"found '{token}', expected: {expected}"
    return SelectorError(f"unable to parse requirement: {said}" if prefix else said)


def _check_key(key: str) -> None:
    problems = names.qualified_name(key)
    if problems:
        raise SelectorError(f'unable to parse requirement: key: Invalid value: "{key}": {"; ".join(problems)}')


def _check_values(key: str, operator: str, values: Iterable[str]) -> None:
    for i, value in enumerate(sorted(values)):
        if operator in ("gt", "lt"):
            if not re.fullmatch("[+-]?[0-9]+", value):
                said = "for 'Gt', 'Lt' operators, the value must be an integer"
                raise SelectorError(f'unable to parse requirement: values[{i}]: Invalid value: "{value}": {said}')
            continue
        problems = names.label_value(value)
        if problems:
            said = f'values[{i}][{key}]: Invalid value: "{value}": {"; ".join(problems)}'
            raise SelectorError(f"unable to parse requirement: {said}")


# Field selectors.


class FieldRequirement(NamedTuple):
    field: str
    equal: bool
    value: str


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All requirements must hold; without any, everything matches."""

    requirements: tuple[FieldRequirement, ...] = ()

    def matches(self, fields: Mapping[str, str]) -> bool:
        """`fields` are an object's selectable fields; one that is absent counts as empty."""
        return all((fields.get(field, "") == value) is equal for field, equal, value in self.requirements)

    def exact(self, field: str) -> str | None:
        """The value that `field` must have, if there is one."""
        return next((value for name, equal, value in self.requirements if name == field and equal), None)

    def check_supported(self, supported: Iterable[str], *, named: bool = False) -> None:
        """Raises BadRequest for a field that isn't selectable on the kind (metadata.name and .namespace always are).
        `named`: in the words of kinds that have these two only."""
        known = {"metadata.name", "metadata.namespace", *supported}
        for field, _, _ in self.requirements:
            if field not in known:
                if named:
                    raise BadRequest(
                        f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"'
                    )
                raise BadRequest(f"field label not supported: {field}")

    def __str__(self) -> str:
        return ",".join(f"{field}{'=' if equal else '!='}{_escape(value)}" for field, equal, value in self.requirements)


ALL_FIELDS = FieldSelector()


def _escape(value: str) -> str:
    return re.sub(r"([\\,=])", r"\\\1", value)


def parse_fields(text: str) -> FieldSelector:
    """A `fieldSelector` parameter, e.g. `spec.nodeName=n1,status.phase!=Failed`. Raises BadRequest."""
    found = []
    for part in re.split(r"(?<!\\)(?:\\\\)*,", text) if text else ():
        if not part:
            continue
        match = re.fullmatch(r"([^!=\\]*?)(!=|==|=)(.*)", part, re.DOTALL)
        if not match:
            raise BadRequest(f"invalid selector: '{text}'; can't understand '{part}'")
        found.append(FieldRequirement(match[1], match[2] != "!=", _unescape(match[3])))
    return FieldSelector(tuple(found))


def _unescape(value: str) -> str:
    if re.search(r"(?<!\\)(\\\\)*=", value):
        raise BadRequest(f"invalid field selector: unescaped character in value: {value}")
    try:
        return re.sub(r"\\(.?)", lambda m: m[1] if m[1] in ("\\", ",", "=") and m[1] else _bad_escape(value), value)
    except SelectorError as error:
        raise BadRequest(str(error)) from None


def _bad_escape(value: str) -> str:
    raise SelectorError(f"invalid field selector: invalid escape sequence: {value}")
