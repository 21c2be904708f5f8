"""What is changed in an expression between being checked and being evaluated: where the two environments differ."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from kybern.api.cel import tree
from kybern.api.cel.tree import CALL, IDENT, LIST, LOOP, MAP, Node

_OPTIONAL = "optional.ofNonZeroValue"
_WRAPPED = frozenset(("validate", "format.named"))
"""Functions that have an optional for a result; those of the library's in Python cannot."""
_RENAMED = {"lists.range": "@range"}
"""The library's own of these names make what memory does not hold."""
_UNWRAPPED = frozenset(("optional.unwrap", "unwrapOpt"))
_UNUSED = "#unused"


def evaluable(root: Node, optionals: frozenset[str], also: Callable[[Node], Node] | None = None) -> Node:
    """The expression for the environment that evaluates. `optionals` are variables that are lists of one or none;
    `also` changes nodes first."""

    def change(node: Node) -> Node:
        node = also(node) if also else node
        if node.kind == IDENT and node.name in optionals:
            return tree.call("_[?_]", node, tree.integer(0))
        if node.kind == MAP and node.name:
            return replace(node, name="")
        if node.kind != CALL:
            return node
        if node.name in _WRAPPED:
            return tree.call(_OPTIONAL, node)
        if node.name in _UNWRAPPED:
            return _unwrapped(node)
        return replace(node, name=_RENAMED[node.name]) if node.name in _RENAMED else node

    return changed(root, change)


def changed(node: Node, change: Callable[[Node], Node]) -> Node:
    """A tree in which every node is what `change` makes of it, inner ones first. The same where nothing changes."""
    parts = [changed(part, change) for part in node.parts]
    if any(part is not old for part, old in zip(parts, node.parts, strict=True)):
        node = replace(node, parts=parts)
    return change(node)


def _unwrapped(node: Node) -> Node:
    """The values of a list of optionals: of each as many as it has."""
    step = tree.call("_+_", tree.name("@all"), Node(LIST, 0, parts=[tree.name("@one")], optional=(0,)))
    parts = [node.parts[0], Node(LIST, 0), tree.truth(True), step, tree.name("@all")]
    return Node(LOOP, node.id, "@one", parts, variables=("@all", ""))


def bound(values: Mapping[str, Node], result: Node) -> Node:
    """An expression with names for the values of others: cel.bind."""
    for name, value in reversed(list(values.items())):
        parts = [Node(LIST, 0), value, tree.truth(False), tree.name(name), result]
        result = Node(LOOP, 0, _UNUSED, parts, variables=(name, ""))
    return result
