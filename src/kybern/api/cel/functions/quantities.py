"""Quantities: 500m, 1Gi. Source: "Common Expression Language in Kubernetes", Kubernetes quantity library."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from kybern.api import quantity
from kybern.api.cel.declared import function, inside, method, opaque, succeeds

_FORM = re.compile(r"([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)


def _made(amount: Decimal) -> dict[str, Any]:
    # Equal amounts are equal values, however they were written.
    return opaque("Quantity", format(amount.normalize() if amount else Decimal(0), "f"))


def _parse(text: str) -> dict[str, Any]:
    try:
        return _made(quantity.parse(text))
    except ValueError:
        if _FORM.fullmatch(text):
            raise ValueError("unable to parse quantity's suffix") from None
        raise ValueError(
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        ) from None


def _amount(value: Any) -> Decimal:
    return Decimal(inside(value)) if isinstance(value, dict) else Decimal(value)


def _compare(a: Any, b: Any) -> int:
    left, right = _amount(a), _amount(b)
    return (left > right) - (left < right)


def _is_integer(value: Any) -> bool:
    amount = _amount(value)
    # What is larger is taken as the largest there is, and not for a number.
    return amount == amount.to_integral_value() and -(2**63) <= amount < 2**63 - 1


def _as_integer(value: Any) -> int:
    if not _is_integer(value):
        raise ValueError("cannot convert value to integer")
    return int(_amount(value))


FUNCTIONS = (
    function("quantity", ["string"], "Quantity", _parse),
    function("isQuantity", ["string"], "bool", succeeds(_parse)),
    method("Quantity", "isInteger", [], "bool", _is_integer),
    method("Quantity", "asInteger", [], "int", _as_integer),
    method("Quantity", "asApproximateFloat", [], "double", lambda value: float(_amount(value))),
    method("Quantity", "sign", [], "int", lambda value: _compare(value, 0)),
    method("Quantity", "add", ["Quantity"], "Quantity", lambda a, b: _made(_amount(a) + _amount(b))),
    method("Quantity", "add", ["int"], "Quantity", lambda a, b: _made(_amount(a) + _amount(b))),
    method("Quantity", "sub", ["Quantity"], "Quantity", lambda a, b: _made(_amount(a) - _amount(b))),
    method("Quantity", "sub", ["int"], "Quantity", lambda a, b: _made(_amount(a) - _amount(b))),
    method("Quantity", "isLessThan", ["Quantity"], "bool", lambda a, b: _compare(a, b) < 0),
    method("Quantity", "isGreaterThan", ["Quantity"], "bool", lambda a, b: _compare(a, b) > 0),
    method("Quantity", "compareTo", ["Quantity"], "int", _compare),
)
