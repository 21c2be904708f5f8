"""What an evaluation has cost so far, and what calls cost by the sizes of what they are given: upstream's figures.

Source: cel-go, interpreter/runtimecost; Kubernetes, cel/library/cost; KEP-2876.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from typing import Any

from kybern.api.cel import words

PER_CALL = 1_000_000
"""The most that one expression may cost."""
CHECK = 350_000
"""An authorizer's check."""
_CHARACTER, _REGEX, _LIST = 0.1, 0.25, 10
_ADDRESS = 16


class Meter:
    """Of one evaluation."""

    __slots__ = ("cost", "limit")

    def __init__(self, cost: int = 0, limit: int = PER_CALL) -> None:
        self.cost, self.limit = cost, limit

    @property
    def exceeded(self) -> bool:
        """Whether more was spent than may be."""
        return self.cost > self.limit

    def spend(self, cost: int) -> None:
        """Add to the cost. Raises ValueError when that is too much: `||` may hide it, so look at `exceeded` at last."""
        self.cost += cost
        if self.cost > self.limit:
            raise ValueError(words.OUT_OF_BUDGET)


_current: list[Meter] = []


@contextmanager
def metering(meter: Meter) -> Iterator[None]:
    """While in it, metered evaluations spend there. Evaluation is synchronous, so this does not interleave."""
    _current.append(meter)
    try:
        yield
    finally:
        _current.pop()


def spend(cost: int) -> bool:
    """Add to the current meter; true."""
    _current[-1].spend(cost)
    return True


def spend_not(cost: int) -> bool:
    """Add to the current meter; false."""
    return not spend(cost)


def spend_unary(function: str, value: Any) -> bool:
    """Add what a call with that argument costs; true."""
    return spend(UNARY[function](value))


def spend_binary(function: str, left: Any, right: Any) -> bool:
    """Add what a call with those arguments costs; true."""
    return spend(BINARY[function](left, right))


def metered(function: str, compute: Callable[..., Any]) -> Callable[..., Any]:
    """A function of Kubernetes' libraries that spends what it costs."""
    cost = _LIBRARY.get(function)

    def call(*arguments: Any) -> Any:
        made = compute(*arguments)
        spend(cost(arguments, made) if cost else 1)
        return made

    return call


def _size(value: Any) -> int:
    return len(value) if isinstance(value, (str, bytes, bytearray, list, dict)) and not _is_opaque(value) else 1


def _is_opaque(value: Any) -> bool:
    return isinstance(value, dict) and len(value) == 1 and str(next(iter(value))).startswith("@")


def _text(size: float, factor: float = _CHARACTER) -> int:
    return ceil(size * factor)


def _compared(left: Any, right: Any) -> int:
    return _text(min(_size(left), _size(right)))


def _added(left: Any, right: Any) -> int:
    return _text(_size(left) + _size(right)) if isinstance(left, (str, bytes, bytearray)) else 1


def _searched(value: Any, pattern: Any) -> int:
    return _text(1 + _size(value)) * _text(_size(pattern), _REGEX)


def _self_compared(items: Any) -> int:
    factor = 2 + (_CHARACTER if items and isinstance(items[0], (str, bytes, bytearray)) else 0)
    return int(_size(items) ** 2 * factor) + 1 + _LIST


def _sets(factor: int) -> Callable[[Any, Any], int]:
    return lambda left, right: _size(left) * _size(right) * factor + 1


def _traversed(value: Any) -> int:
    if isinstance(value, (str, bytes, bytearray)):
        return int(len(value) * _CHARACTER)
    if isinstance(value, list):
        return sum(_traversed(item) for item in value)
    if isinstance(value, dict) and not _is_opaque(value):
        return sum(_traversed(key) + _traversed(item) for key, item in value.items())
    return 1


COMPARING = frozenset(("_<_", "_<=_", "_>_", "_>=_", "_==_", "_!=_"))
UNARY: dict[str, Callable[[Any], int]] = {
    "startsWith": lambda value: _text(_size(value)),
    "endsWith": lambda value: _text(_size(value)),
    "bytes": lambda value: _text(_size(value)),
    "string": lambda value: _text(_size(value)) if isinstance(value, (bytes, bytearray)) else 1,
    "@in": lambda value: _size(value) if isinstance(value, list) else 1,
    "slice": lambda value: _size(value) + 1 + _LIST,
    "flatten": lambda value: _size(value) + 1 + _LIST,
    "reverse": lambda value: _size(value) + 1 + _LIST,
    "distinct": _self_compared,
    "sort": _self_compared,
    "@sortByAssociatedKeys": _self_compared,
}
"""Of the language's own functions, by one argument."""
BINARY: dict[str, Callable[[Any, Any], int]] = {
    **dict.fromkeys(COMPARING, _compared),
    "_+_": _added,
    "matches": _searched,
    "contains": lambda value, part: _text(_size(value)) * _text(_size(part)),
    "sets.contains": _sets(1),
    "sets.intersects": _sets(1),
    "sets.equivalent": _sets(2),
}
"""By two."""

_Cost = Callable[[tuple[Any, ...], Any], int]


def _of_first(factor: float) -> _Cost:
    return lambda arguments, made: _text(_size(arguments[0]), factor)


def _contains(masks: int) -> _Cost:
    def cost(arguments: tuple[Any, ...], made: Any) -> int:
        other = arguments[1]
        parsing = _text(_size(other)) if isinstance(other, str) else 0
        return _text(2 * _ADDRESS) + (_text(_ADDRESS) + 1) * masks + parsing

    return cost


_TRAVERSING = ("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf")
_PARSING = (
    "url", "lowerAscii", "upperAscii", "substring", "trim", "ip", "cidr", "isIP", "isCIDR", "quantity", "isQuantity",
)  # fmt: skip
_LIBRARY: dict[str, _Cost] = {
    "check": lambda arguments, made: CHECK,
    **dict.fromkeys(_TRAVERSING, lambda arguments, made: _traversed(arguments[0])),
    **dict.fromkeys(_PARSING, _of_first(_CHARACTER)),
    **dict.fromkeys(("replace", "split", "ip.isCanonical"), _of_first(2 * _CHARACTER)),
    "join": lambda arguments, made: _text(_size(made) * 2),
    **dict.fromkeys(("find", "findAll"), lambda arguments, made: _searched(*arguments[:2])),
    "containsIP": _contains(0),
    "containsCIDR": _contains(1),
    "@sorted": lambda arguments, made: 0,
    "@range": lambda arguments, made: len(made) + 1 + _LIST,
}
