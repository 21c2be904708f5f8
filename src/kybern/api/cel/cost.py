"""What an expression costs at most, by the sizes that a schema allows: upstream's estimate, in upstream's units.

One unit is about 50 ns of upstream's time; a character costs a tenth. What has no bound has the largest request's.
Source: Kubernetes documentation, "Resource use by CEL"; cel-go, checker/cost; KEP-2876.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import ceil
from typing import Any, NamedTuple

from kybern.api.cel.escaping import unescaped
from kybern.api.cel.messages import EMBEDDED, properties_of
from kybern.api.cel.tree import CALL, CONST, IDENT, LIST, LOOP, MAP, SELECT, Node, Tree
from kybern.api.types import Object

LIMIT, TOTAL_LIMIT = 10_000_000, 100_000_000
"""Of one expression, and of all of a schema."""
UNBOUNDED = 2**64 - 1
MAX_REQUEST = 3 * 1024 * 1024
_CHARACTER, _REGEX = 0.1, 0.25
_LIST_BASE, _MAP_BASE, _MESSAGE_BASE, _CHECK = 10, 30, 40, 350_000
_MIN_SIZES = {"boolean": 4, "number": 1, "integer": 1, "string": 2, "array": 2}
_MIN_FORMATS = {"duration": 4, "date": 12, "date-time": 22}
_MAX_FORMATS = {"duration": 32, "date": 12, "date-time": 37}
_NOMINAL = frozenset(
    ("serviceAccount", "path", "group", "resource", "subresource", "namespace", "name", "allowed", "reason", "error",
     "errored", "masked", "prefixLength", "family", "isUnspecified", "isLoopback", "isLinkLocalMulticast",
     "isLinkLocalUnicast", "sign", "asInteger", "isInteger", "asApproximateFloat", "isGreaterThan", "isLessThan",
     "compareTo", "add", "sub")
)  # fmt: skip
_TRAVERSING = frozenset(
    ("url", "cidr", "ip", "isIP", "isCIDR", "quantity", "isQuantity", "lowerAscii", "upperAscii", "substring", "trim",
     "semver", "isSemver", "startsWith", "endsWith")
)  # fmt: skip
_COMPARING = frozenset(("_<_", "_<=_", "_>_", "_>=_", "_==_", "_!=_"))
_OPAQUE = 14
_SCANNING = frozenset(("isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"))


class Size(NamedTuple):
    """How many characters, items or pairs."""

    least: int
    most: int


_UNKNOWN, _ONE = Size(0, UNBOUNDED), Size(1, 1)


def _capped(value: float) -> int:
    return UNBOUNDED if value >= UNBOUNDED else int(value)


def _times(count: int, factor: float) -> int:
    return UNBOUNDED if count >= UNBOUNDED and factor >= _CHARACTER else _capped(ceil(count * factor))


# Sizes by schema.


def min_size(schema: Object) -> int:
    """The fewest bytes of JSON that a value takes."""
    kind = schema.get("type") or ""
    if schema.get("x-kubernetes-int-or-string"):
        return 1
    if kind == "string":
        return int(_MIN_FORMATS.get(schema.get("format") or "", 2))
    if kind != "object":
        return _MIN_SIZES.get(kind, 0)
    if isinstance(schema.get("additionalProperties"), dict):
        return 2
    properties = schema.get("properties") or {}
    wanted = [name for name in schema.get("required") or () if name in properties and "default" not in properties[name]]
    return 2 + sum(len(name) + min_size(properties[name]) + 4 for name in wanted)


def max_elements(schema: Object) -> int:
    """The most characters, items or pairs of a value."""
    kind, longest = schema.get("type") or "", schema.get("maxLength")
    if kind == "array":
        most = schema.get("maxItems")
        return max(0, most) if most is not None else (MAX_REQUEST - 2) // (min_size(schema.get("items") or {}) + 1)
    more = schema.get("additionalProperties")
    if kind == "object" and isinstance(more, dict):
        most = schema.get("maxProperties")
        return max(0, most) if most is not None else (MAX_REQUEST - 2) // (min_size(more) + 6)
    if kind != "string" and not schema.get("x-kubernetes-int-or-string"):
        return 0
    form = schema.get("format") or ""
    if form in _MAX_FORMATS:
        return _MAX_FORMATS[form]
    if longest is not None:
        return max(0, int(longest)) * (1 if form == "byte" else 4)
    if schema.get("enum"):
        return max(len(value) if isinstance(value, str) else 0 for value in schema["enum"])
    return MAX_REQUEST - 2


def cardinality(schema: Object) -> int:
    """How often a value can be in a request at most, if nothing else bounds it."""
    return MAX_REQUEST // (min_size(schema) + 1)


def _at(schema: Object | None, step: str) -> Object | None:
    if schema is None:
        return None
    found: Any
    if step == "@items":
        found = schema.get("items")
    elif step == "@values":
        found = schema.get("additionalProperties")
    elif step == "@keys":
        found = {"type": "string", "maxLength": 0}
    else:
        properties = properties_of(schema)
        found = properties.get(step) or properties.get(unescaped(step)) or schema.get("additionalProperties")
    return found if isinstance(found, dict) else None


def estimate(tree: Tree, schema: Object, *, root: bool = False) -> int:
    """The most that an expression costs, whose self is of a schema; `root`: that of a whole resource."""
    whole = {**schema, EMBEDDED: True} if root else schema
    return estimate_with(tree, {"self": whole, "oldSelf": whole})


def estimate_with(tree: Tree, schemas: Mapping[str, Object]) -> int:
    """The most that an expression costs, whose variables are of these schemas."""
    return _Coster(tree, schemas).cost(tree.root)


def estimate_within(tree: Tree, size: int) -> int:
    """The most that an expression costs, whose variables are values of so many bytes of JSON together."""
    return _Coster(tree, {}, Size(0, size)).cost(tree.root)


def schemas_of(tree: Tree, schemas: Mapping[str, Object]) -> dict[int, Object]:
    """Node id -> the schema of its value, of nodes that are parts of variables of these schemas."""
    coster = _Coster(tree, schemas)
    coster.cost(tree.root)
    return {id: found for id, path in coster.paths.items() if (found := _schema_at(schemas, path)) is not None}


def _schema_at(schemas: Mapping[str, Object], path: tuple[str, ...]) -> Object | None:
    schema = schemas.get(path[0]) if path else None
    for step in path[1:]:
        schema = _at(schema, step)
    return schema


class _Coster:
    """Walks an expression. `paths` say where in a variable a node's value is, `sizes` how large it is; `within` is the
    size of what has no schema."""

    def __init__(self, tree: Tree, schemas: Mapping[str, Object], within: Size | None = None) -> None:
        self._types, self._schemas, self._within = tree.types, schemas, within
        self._locals: dict[str, list[tuple[tuple[str, ...], Size | None]]] = {}
        self.paths: dict[int, tuple[str, ...]] = {}
        self._sizes: dict[int, Size] = {}

    def cost(self, node: Node) -> int:
        return _capped(_KINDS[node.kind](self, node))

    def _kind(self, node: Node) -> int:
        """The field of cel.expr.Type that says what a node's type is."""
        raw = self._types.get(node.id, b"")
        return raw[0] >> 3 if raw else 1

    def _is_list(self, node: Node) -> bool:
        """Whether a value is a list, by its type or, of an unknown one, its schema."""
        schema = _schema_at(self._schemas, self._path(node))
        return self._kind(node) == 6 or (schema is not None and schema.get("type") == "array")

    def _scalar(self, node: Node) -> bool:
        raw = self._types.get(node.id, b"")
        kind = self._kind(node)
        # Primitives but strings and bytes; times and durations.
        return (kind in (3, 4) and raw[1] in (1, 2, 3, 4)) or (kind == 5 and raw[1] in (2, 3))

    def _path(self, node: Node) -> tuple[str, ...]:
        return self.paths.get(node.id, ())

    def size(self, node: Node) -> Size:
        known = self._sizes.get(node.id)
        if known is not None:
            return known
        if node.kind == CONST:
            return Size(len(node.value), len(node.value)) if isinstance(node.value, (str, bytes)) else _ONE
        if node.kind in (LIST, MAP):
            count = len(node.parts) // (2 if node.kind == MAP else 1)
            return Size(count, count)
        found = self._sized(self._path(node))
        if found is not None:
            return found
        if self._scalar(node):
            return _ONE
        scopes = self._locals.get(node.name) if node.kind == IDENT else None
        return scopes[-1][1] or _UNKNOWN if scopes else _UNKNOWN

    def _sized(self, path: tuple[str, ...]) -> Size | None:
        if path and self._within is not None:
            return self._within
        schema = _schema_at(self._schemas, path)
        return None if schema is None else Size(0, max_elements(schema))

    # Kinds of nodes.

    def _const(self, node: Node) -> int:
        return 0

    def _ident(self, node: Node) -> int:
        scopes = self._locals.get(node.name)
        self.paths[node.id] = scopes[-1][0] if scopes else (node.name,)
        return 1

    def _select(self, node: Node) -> int:
        operand = node.parts[0]
        cost = self.cost(operand)
        if node.test:
            return cost
        path = self._path(operand)
        self.paths[node.id] = (*path, node.name) if path else ()
        return cost + (self._within is not None or self._kind(operand) in (7, 9, 10))

    def _list(self, node: Node) -> int:
        return _LIST_BASE + sum(self.cost(part) for part in node.parts)

    def _map(self, node: Node) -> int:
        return (_MESSAGE_BASE if node.name else _MAP_BASE) + sum(self.cost(part) for part in node.parts)

    def _loop(self, node: Node) -> int:
        whole, start, condition, step, result = node.parts
        cost = self.cost(whole) + self.cost(start)
        accumulator, second = node.variables
        path, is_list = self._path(whole), self._is_list(whole)
        keys, values = ("@indices", "@items") if is_list else ("@keys", "@values")
        first = (keys if second else values if is_list else keys)
        scopes = [(accumulator, ()), (node.name, (*path, first) if path else ())]
        if second:
            scopes.append((second, (*path, values) if path else ()))
        for name, where in scopes:
            self._locals.setdefault(name, []).append((where, None))
        each = self.cost(condition) + self.cost(step)
        for name, _ in scopes[1:]:
            self._locals[name].pop()
        cost += self.cost(result)
        self._locals[accumulator].pop()
        times = self.size(whole)
        if times is self._within:
            # An item has a character at least, and a comma.
            times = Size(0, times.most // 2)
        if start.kind in (LIST, MAP):
            self._sizes[node.id] = times
        elif start.kind == CONST:
            self._sizes[node.id] = self.size(start)
        return cost + _capped(times.most * each)

    def _call(self, node: Node) -> int:
        costs = [self.cost(part) for part in node.parts]
        if node.name in ("_&&_", "_||_"):
            return sum(costs)
        if node.name == "_?_:_":
            one, other = self.size(node.parts[1]), self.size(node.parts[2])
            self._sizes[node.id] = Size(min(one.least, other.least), max(one.most, other.most))
            return costs[0] + max(costs[1:])
        if node.name == "_[_]":
            path = self._path(node.parts[0])
            step = "@items" if self._is_list(node.parts[0]) else "@values"
            self.paths[node.id] = (*path, step) if path else ()
        return sum(costs) + self._function(node)

    def _function(self, node: Node) -> int:
        """The cost of a function itself; notes the size of what it gives."""
        name, parts = node.name, node.parts
        sizes = [self.size(part) for part in parts]
        if name == "check":
            return _CHECK
        if name in _COMPARING:
            return 1 if self._plain(parts) else _times(min(size.most for size in sizes), _CHARACTER)
        if name == "@in":
            return sizes[1].most if self._kind(parts[1]) != 7 else 1
        if name == "_+_":
            return self._plus(node, sizes)
        if name in _SCANNING:
            return self._scan(parts[0], sizes[0])
        if name in _TRAVERSING:
            place = 1 if name in ("startsWith", "endsWith") and self._within is None else 0
            if name in ("lowerAscii", "upperAscii", "substring", "trim"):
                self._sizes[node.id] = sizes[0]
            return _times(sizes[place].most, _CHARACTER)
        found = _BY_NAME.get(name)
        if found is not None and name not in _NOMINAL:
            cost, size = found(sizes)
            if size is not None:
                self._sizes[node.id] = size
            return cost
        return 1

    def _plain(self, parts: list[Node]) -> bool:
        """Whether all are of one size whatever their value, and so compared at once."""
        if any(self._kind(part) == _OPAQUE for part in parts):
            return True
        return all(self._scalar(part) and part.kind != SELECT for part in parts)

    def _plus(self, node: Node, sizes: list[Size]) -> int:
        if self._scalar(node):
            return 1
        total = Size(_capped(sizes[0].least + sizes[1].least), _capped(sizes[0].most + sizes[1].most))
        self._sizes[node.id] = total
        return 1 if self._kind(node) == 6 else _times(total.most, _CHARACTER)

    def _scan(self, part: Node, size: Size) -> int:
        if self._within is not None:
            return size.most
        if self._kind(part) != 6:
            return _times(size.most, _CHARACTER)
        path = self._path(part)
        inner = self._sized((*path, "@items")) if path else None
        each = 1 + (_times(inner.most, _CHARACTER) if inner is not None else 0)
        return _capped(size.most * each)


_KINDS: dict[int, Callable[[_Coster, Node], int]] = {
    CONST: _Coster._const, IDENT: _Coster._ident, SELECT: _Coster._select, CALL: _Coster._call, LIST: _Coster._list,
    MAP: _Coster._map, LOOP: _Coster._loop,
}  # fmt: skip


def _replace(sizes: list[Size]) -> tuple[int, Size]:
    text, old, new = sizes[:3]
    if old.least == 0:
        most = text.most + (text.most + 1) * new.most
    elif new.most <= old.least:
        most = text.most
    else:
        most = ceil(text.most / old.least) * new.most
    return _times(text.most, 2 * _CHARACTER), Size(0, _capped(most))


def _join(sizes: list[Size]) -> tuple[int, Size]:
    # The elements' sizes are not known here; the list's own is what bounds them in a request.
    separator = sizes[1].most if len(sizes) > 1 else 0
    most = _capped(MAX_REQUEST + max(0, sizes[0].most - 1) * separator)
    return _times(most, _CHARACTER), Size(0, most)


def _search(sizes: list[Size]) -> tuple[int, Size | None]:
    cost = _capped(_times(_capped(sizes[0].most + 1), _CHARACTER) * _times(sizes[1].most, _REGEX))
    return cost, Size(0, sizes[0].most)


def _listed(size: Size, cost: int) -> tuple[int, Size]:
    return _capped(cost + 1 + _LIST_BASE), size


_BY_NAME: dict[str, Callable[[list[Size]], tuple[int, Size | None]]] = {
    "replace": _replace,
    "split": lambda sizes: (_times(sizes[0].most, 2 * _CHARACTER), Size(0, sizes[0].most)),
    "join": _join,
    "find": _search,
    "findAll": _search,
    "matches": _search,
    "contains": lambda sizes: (
        _capped(_times(sizes[0].most, _CHARACTER) * _times(sizes[1].most, _CHARACTER)), None
    ),
    "sets.contains": lambda sizes: (_capped(sizes[0].most * sizes[1].most + 1), None),
    "sets.intersects": lambda sizes: (_capped(sizes[0].most * sizes[1].most + 1), None),
    "sets.equivalent": lambda sizes: (_capped(2 * sizes[0].most * sizes[1].most + 1), None),
    "slice": lambda sizes: _listed(sizes[0], sizes[0].most),
    "reverse": lambda sizes: _listed(sizes[0], sizes[0].most),
    "flatten": lambda sizes: _listed(_UNKNOWN, sizes[0].most),
    "distinct": lambda sizes: _listed(sizes[0], 2 * sizes[0].most ** 2),
    "sort": lambda sizes: _listed(sizes[0], ceil(2.1 * sizes[0].most ** 2)),
    "@sortByAssociatedKeys": lambda sizes: _listed(sizes[0], ceil(2.1 * sizes[1].most ** 2)),
    "lists.range": lambda sizes: _listed(_UNKNOWN, UNBOUNDED),
    "format": lambda sizes: (_times(sizes[0].most, _CHARACTER), None),
    "strings.quote": lambda sizes: (_times(sizes[0].most, _CHARACTER), Size(0, _capped(sizes[0].most * 2 + 2))),
    "bytes": lambda sizes: (_times(sizes[0].most, _CHARACTER), Size(0, _capped(sizes[0].most * 4))),
    "ip.isCanonical": lambda sizes: (_times(sizes[0].most, 2 * _CHARACTER), None),
    "containsIP": lambda sizes: (4 + _times(sizes[1].most, _CHARACTER), None),
    "containsCIDR": lambda sizes: (7 + _times(sizes[1].most, _CHARACTER), None),
}


def exceeded(what: str, cost: int, limit: int) -> str:
    """The complaint about a cost beyond a limit."""
    factor = cost / limit
    shown = "more than 100x" if factor > 100 else f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    return (
        f"{what} exceeds budget by factor of {shown} (try simplifying the rule, or adding maxItems, maxProperties, and "
        "maxLength where arrays, maps, and strings are declared)"
    )
