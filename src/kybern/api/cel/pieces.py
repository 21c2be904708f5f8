"""Evaluates expressions whose loops go round more often than the library does well, in pieces of fewer rounds.

The library ends an evaluation after 10,000 rounds of all its loops, however little they cost; and it copies the list
that a map or filter makes at every round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from kybern.api.cel import tree
from kybern.api.cel.errors import ExpressionError
from kybern.api.cel.instants import outward
from kybern.api.cel.meter import Meter
from kybern.api.cel.tree import CALL, LIST, LOOP, Node

_ROUNDS, _ADDING = 8192, 256
"""What is tried first, and where a list is made; where there are loops in the loop, an eighth, and so on."""


class TooManyRounds(Exception):
    """The library has ended an evaluation."""


def makes_lists(node: Node) -> bool:
    """Whether there is a map or filter in an expression."""
    return any(part.kind == LOOP and _is_none(part.parts[1]) for part in node.walk())


def _is_none(node: Node) -> bool:
    return node.kind == LIST and not node.parts


class Pieces:
    """Evaluates in pieces. `evaluate` does a whole one, and raises TooManyRounds or ExpressionError; `large`: lists may
    be long."""

    def __init__(self, evaluate: Callable[[Node, Mapping[str, Any]], Any], meter: Meter, *, large: bool) -> None:
        self._evaluate, self._meter, self._large = evaluate, meter, large

    def value(self, node: Node, values: Mapping[str, Any]) -> Any:
        """The value of an expression. Raises TooManyRounds where it can't be cut, ExpressionError."""
        before = self._meter.cost
        if not self._large or not makes_lists(node):
            try:
                return self._evaluate(node, values)
            except TooManyRounds:
                self._meter.cost = before
        if node.kind == LOOP:
            return self._loop(node, values)
        if node.kind == CALL and node.name == "_?_:_":
            chosen = node.parts[1 if self.value(node.parts[0], values) is True else 2]
            return self.value(chosen, values)
        if node.kind == CALL and node.name in ("_&&_", "_||_"):
            return self._either(node, values)
        return self._strict(node, values)

    def _strict(self, node: Node, values: Mapping[str, Any]) -> Any:
        """Of what evaluates all its parts."""
        known, parts = dict(values), []
        for index, part in enumerate(node.parts):
            if any(inner.kind == LOOP for inner in part.walk()):
                name = f"@part{len(known)}.{index}"
                known[name] = outward(self.value(part, values))
                part = tree.name(name)
            parts.append(part)
        return self._evaluate(replace(node, parts=parts), known)

    def _either(self, node: Node, values: Mapping[str, Any]) -> Any:
        decides = node.name == "_||_"
        try:
            if self.value(node.parts[0], values) is decides:
                return decides
        except ExpressionError:
            if self._meter.exceeded or self.value(node.parts[1], values) is not decides:
                raise
            return decides
        return self.value(node.parts[1], values)

    def _loop(self, node: Node, values: Mapping[str, Any]) -> Any:
        whole, start, condition, step, result = node.parts
        accumulator, second = node.variables
        made = outward(self.value(start, values))
        if _is_none(whole):
            return self.value(result, {**values, accumulator: made})
        items = outward(self.value(whole, values))
        if second and isinstance(items, list):
            # Positions would begin anew.
            return self._evaluate(node, values)
        # Lists are only added to, which the library does fast where it begins with none.
        adds = _is_none(start)
        begin = start if adds else tree.name(accumulator)
        piece = replace(node, parts=[tree.name("@items"), begin, condition, step, tree.name(accumulator)], id=0)
        known = dict(values)
        at, rounds = 0, _ADDING if adds else _ROUNDS
        while at < len(items):
            before = self._meter.cost
            known |= {"@items": _cut(items, at, rounds), accumulator: made}
            try:
                found = outward(self._evaluate(piece, known))
                made = made + found if adds else found
                at += rounds
            except TooManyRounds:
                self._meter.cost = before
                rounds //= 8
                if not rounds:
                    raise
        return self.value(result, {**values, accumulator: made})


def _cut(items: Any, at: int, rounds: int) -> Any:
    return dict(list(items.items())[at : at + rounds]) if isinstance(items, dict) else items[at : at + rounds]
