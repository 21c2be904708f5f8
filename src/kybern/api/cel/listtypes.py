"""Lists of x-kubernetes-list-type set and map in expressions: `==` ignores their order, and `+` merges.

Values are plain lists, so it is calls on what a schema says is such a list that are changed.
Source: "Common Expression Language in Kubernetes", "x-kubernetes-list-type"; KEP-2876.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from kybern.api.cel import cost, tree
from kybern.api.cel.escaping import escaped
from kybern.api.cel.functions.merging import SORTED, UNION
from kybern.api.cel.messages import properties_of
from kybern.api.cel.tree import CALL, LIST, Node, Tree
from kybern.api.types import Object

_UNORDERED = ("set", "map")


def changer(found: Tree, schema: Object) -> Callable[[Node], Node] | None:
    """What changes the calls of an expression whose self is of a schema; None if there are no such lists."""
    if shape(schema) is None:
        return None
    at = cost.schemas_of(found, {"self": schema, "oldSelf": schema})

    def of(node: Node) -> Object | None:
        if node.kind == CALL and node.name in ("_+_", UNION):
            return of(node.parts[-2])
        return at.get(node.id)

    def change(node: Node) -> Node:
        if node.kind != CALL or node.name not in ("_+_", "_==_", "_!=_"):
            return node
        left, right = node.parts
        known = of(left) or (None if left.kind == LIST else of(right))
        if known is None:
            return node
        if node.name == "_+_":
            return _merged(node, known) if known.get("x-kubernetes-list-type") in _UNORDERED else node
        said = shape(known)
        if said is None:
            return node
        text = orjson.dumps(said).decode()
        parts = [tree.call(SORTED, tree.text(text), part) for part in (left, right)]
        return Node(CALL, node.id, node.name, parts)

    return change


def _merged(node: Node, known: Object) -> Node:
    keys = [tree.text(escaped(key) or key) for key in known.get("x-kubernetes-list-map-keys") or ()]
    made = tree.call(UNION, Node(LIST, 0, parts=keys), *node.parts)
    made.id = node.id
    return made


def shape(schema: Object) -> Any:
    """Where in values of a schema lists are whose order says nothing; None: nowhere. {"p": properties, "v": values,
    "i": items, "k": keys of such a list, none of a set}."""
    made: dict[str, Any] = {}
    inner = {escaped(name): shape(part) for name, part in properties_of(schema).items()}
    inner = {name: part for name, part in inner.items() if name and part is not None}
    if inner:
        made["p"] = inner
    for key, field in (("v", "additionalProperties"), ("i", "items")):
        part = schema.get(field)
        found = shape(part) if isinstance(part, dict) else None
        if found is not None:
            made[key] = found
    if schema.get("x-kubernetes-list-type") in _UNORDERED:
        made["k"] = [escaped(key) or key for key in schema.get("x-kubernetes-list-map-keys") or ()]
    return made or None
