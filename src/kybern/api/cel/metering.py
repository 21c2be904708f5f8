"""An expression that counts what it costs while it is evaluated.

What is evaluated whatever the values has a cost that is known before. Where a value decides (the right of && and ||,
the branches of ?:, a loop's round) that part spends its cost when it is come to; calls whose cost goes by the sizes of
their arguments spend by these. Source: cel-go, interpreter/runtimecost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kybern.api.cel import meter, rewriting, tree
from kybern.api.cel.tree import CALL, CONST, IDENT, LIST, LOOP, MAP, SELECT, Node

_LIST, _MAP = 10, 30
_DYN, _TYPE = b"\x0a\x00", 11
"""A serialised type, and the field of cel.expr.Type that says a type of types."""
_SIZED = {"@in": 1, "@sortByAssociatedKeys": 1}
"""The argument that a cost by one argument goes by, where that is not the first."""
_FREE = frozenset(("or", "orValue"))
_CONVERSIONS = frozenset(("int", "uint", "double", "bool", "string", "bytes", "duration", "timestamp"))
"""Of constants made once."""
_SHORT = 10
"""A comparison with a text of no more characters costs one."""


def metered(root: Node, types: Mapping[int, bytes], own: frozenset[str]) -> tuple[Node, int]:
    """(an expression of the same value that spends what it costs, what it costs in any case). `types` are those of the
    nodes, as serialised; `own` the functions that spend by themselves."""
    return _Metering(types, own).made(root)


class _Metering:
    def __init__(self, types: Mapping[int, bytes], own: frozenset[str]) -> None:
        self._types, self._own, self._names = types, own, 0

    def made(self, node: Node) -> tuple[Node, int]:
        if node.kind == CONST:
            return node, 0
        if node.kind == LOOP:
            return self._loop(node)
        if node.kind == CALL:
            return self._call(node)
        parts, cost = self._parts(node)
        if node.kind in (LIST, MAP):
            if all(part.kind == CONST for part in parts):
                # Such literals are made once, not whenever they are evaluated.
                return node, 0
            cost += _LIST if node.kind == LIST else _MAP
        elif not node.test and not (node.kind == IDENT and self._number(node) == _TYPE):
            cost += 1
        return replace(node, parts=parts), cost

    def _parts(self, node: Node) -> tuple[list[Node], int]:
        made = [self.made(part) for part in node.parts]
        return [part for part, _ in made], sum(cost for _, cost in made)

    def _call(self, node: Node) -> tuple[Node, int]:
        if node.name in ("_&&_", "_||_"):
            (left, cost), (right, more) = (self.made(part) for part in node.parts)
            return replace(node, parts=[left, _spending(more, right)]), cost
        if node.name == "_?_:_":
            return self._choice(node)
        parts, cost = self._parts(node)
        if node.name == "_[_]":
            # A key that is a variable or a field of one is looked up on the way.
            return replace(node, parts=parts), cost + 1 - (parts[1].kind in (IDENT, SELECT))
        if node.name in _FREE or (node.name in _CONVERSIONS and parts[0].kind == CONST):
            return replace(node, parts=parts), cost
        node = replace(node, parts=parts)
        if node.name in self._own:
            return node, cost
        if node.name in meter.BINARY and not self._is_fixed(node):
            return self._by_sizes("@spend_binary", node, [0, 1]), cost
        if node.name in meter.UNARY and not self._is_fixed(node):
            if node.name == "@in" and parts[1].kind == LIST and all(part.kind == CONST for part in parts[1].parts):
                return node, cost
            return self._by_sizes("@spend_unary", node, [_SIZED.get(node.name, 0)]), cost
        return node, cost + 1

    def _is_fixed(self, node: Node) -> bool:
        """Whether a call costs 1 whatever the values, by the types of its arguments."""
        kinds = [self._kind(part) for part in node.parts]
        if node.name == "_+_":
            return any(kind in ("scalar", "list") for kind in kinds)
        if node.name in meter.COMPARING:
            short = any(part.kind == CONST and len(str(part.value)) <= _SHORT for part in node.parts)
            return short or "scalar" in kinds
        return (node.name == "string" and kinds[0] == "scalar") or (node.name == "@in" and kinds[1] == "map")

    def _kind(self, node: Node) -> str:
        """scalar, list, map, or "" for those of a size and unknown ones."""
        number, inner = tree.parts_of_type(self._types.get(node.id) or _DYN)
        if number in (3, 4):
            return "scalar" if inner in (1, 2, 3, 4) else ""
        if number == 5:
            return "scalar" if inner in (2, 3) else ""
        # Of opaque types, optionals can't be given to functions; nor can types.
        return {6: "list", 7: "map", 2: "scalar", _TYPE: "scalar", 14: "scalar"}.get(number, "")

    def _number(self, node: Node) -> int:
        return tree.parts_of_type(self._types.get(node.id) or _DYN)[0]

    def _by_sizes(self, spender: str, node: Node, places: list[int]) -> Node:
        """A call that first spends by some of its arguments, which are evaluated once."""
        names, parts = dict[str, Node](), list(node.parts)
        for place in places:
            if not _is_plain(parts[place]):
                self._names += 1
                named = f"@arg{self._names}"
                names[named], parts[place] = parts[place], tree.name(named)
        spent = tree.call(spender, tree.text(node.name), *(parts[place] for place in places))
        return rewriting.bound(names, _if(spent, replace(node, parts=parts)))

    def _choice(self, node: Node) -> tuple[Node, int]:
        (condition, cost), (one, first), (other, second) = (self.made(part) for part in node.parts)
        # Of a variable, and of its fields, the first look-up is free here.
        first -= _is_path(one)
        second -= _is_path(other)
        # The branches stay as they are, so that the library knows lists that are only added to.
        excess = tree.integer(abs(first - second))
        if first > second:
            condition = _if(condition, tree.call("@spend", excess))
        elif second > first:
            condition = tree.call("_?_:_", condition, tree.truth(True), tree.call("@spend_not", excess))
        return replace(node, parts=[condition, one, other]), cost + min(first, second)

    def _loop(self, node: Node) -> tuple[Node, int]:
        (whole, cost), (start, first), (condition, each), (step, more), (result, last) = (
            self.made(part) for part in node.parts
        )
        if condition.kind != CONST:
            condition, step = _spending(each, condition), _spending(more, step)
        elif condition.value and more:
            condition = tree.call("@spend", tree.integer(more))
        return replace(node, parts=[whole, start, condition, step, result]), cost + first + last


def _if(condition: Node, node: Node) -> Node:
    return tree.call("_?_:_", condition, node, tree.truth(False))


def _spending(cost: int, node: Node) -> Node:
    return _if(tree.call("@spend", tree.integer(cost)), node) if cost else node


def _is_path(node: Node) -> bool:
    looks_up = (node.kind == SELECT and not node.test) or (node.kind == CALL and node.name == "_[_]")
    return node.kind == IDENT or (looks_up and _is_path(node.parts[0]))


def _is_plain(node: Node) -> bool:
    """Whether evaluating twice is no matter."""
    return node.kind in (CONST, IDENT) or (node.kind == SELECT and _is_plain(node.parts[0]))
