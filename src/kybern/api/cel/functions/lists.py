"""Sums, extremes, order and positions in lists.

Source: "Common Expression Language in Kubernetes", Kubernetes list library.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from kybern.api.cel.declared import function, method
from kybern.api.cel.instants import shown
from kybern.api.cel.words import OUT_OF_BUDGET

_ORDERED = ("int", "uint", "double", "bool", "string", "bytes", "duration", "timestamp")
_SUMMED = ("int", "uint", "double", "duration")
MOST_MADE = 1_000_000
"""The longest list that lists.range makes. What makes a longer one costs more than any expression may."""


def _is_sorted(items: list[Any]) -> bool:
    return all(a <= b for a, b in pairwise(items))


def _sum(items: list[Any]) -> Any:
    if not items:
        return 0
    total = items[0]
    for item in items[1:]:
        total += item
    if isinstance(total, int) and not -(2**63) <= total < 2**63:
        raise ValueError("integer overflow")
    return shown(total)


def _min(items: list[Any]) -> Any:
    if not items:
        raise ValueError("min called on empty list")
    return shown(min(items))


def _max(items: list[Any]) -> Any:
    if not items:
        raise ValueError("max called on empty list")
    return shown(max(items))


def _same(a: Any, b: Any) -> bool:
    return bool(a == b) and isinstance(a, bool) is isinstance(b, bool)


def _index_of(items: list[Any], item: Any) -> int:
    return next((index for index, one in enumerate(items) if _same(one, item)), -1)


def _last_index_of(items: list[Any], item: Any) -> int:
    return next((index for index in reversed(range(len(items))) if _same(items[index], item)), -1)


def _range(size: int) -> list[int]:
    if size < 0:
        raise ValueError(f"lists.range: size must be non-negative, got {size}")
    if size > MOST_MADE:
        raise ValueError(OUT_OF_BUDGET)
    return list(range(size))


FUNCTIONS = (
    *(method(f"list<{kind}>", "isSorted", [], "bool", _is_sorted) for kind in _ORDERED),
    *(method(f"list<{kind}>", "sum", [], kind, _sum) for kind in _SUMMED),
    *(method(f"list<{kind}>", "min", [], kind, _min) for kind in _ORDERED),
    *(method(f"list<{kind}>", "max", [], kind, _max) for kind in _ORDERED),
    method("list<T>", "indexOf", ["T"], "int", _index_of),
    method("list<T>", "lastIndexOf", ["T"], "int", _last_index_of),
    function("@range", ["int"], "list<int>", _range),
)
