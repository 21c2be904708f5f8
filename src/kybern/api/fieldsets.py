"""Sets of fields, in the form managedFields keeps them (fieldsV1), and the algebra on them.

A set is a tree of dicts: `f:name` is a field, `k:{...}` a list item by its keys, `v:...` a set's item. An empty node
is a member; a node with children is one only if it holds ".". Trees are never changed once made: they share nodes.
Source: KEP-555, "Server-side apply"; API reference, FieldsV1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import orjson

from kybern.api.schema import Type
from kybern.api.types import Object

FieldSet: TypeAlias = dict[str, Any]
Builder: TypeAlias = Callable[[Any], FieldSet]

MEMBER: FieldSet = {}

# Fields whose Go structs are always there, so that writing below them doesn't claim that they exist.
_ALWAYS_THERE = frozenset(("metadata", "spec", "status", "template", "strategy", "updateStrategy", "containers"))
_STRIPPED = frozenset(("apiVersion", "kind"))
_STRIPPED_META = frozenset(
    ("name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation", "managedFields",
     "resourceVersion")
)  # fmt: skip


# Building.


def added(typ: Type, value: Any) -> FieldSet:
    """The set of a value that a write brought in: every part of it, the collections themselves too."""
    if typ.added is None:
        # Types recur: whoever builds this one meanwhile gets a way to the finished builder.
        typ.added = lambda part: typ.added(part)  # type: ignore[misc]
        typ.added = _builder(typ, added, whole=True)
    built: FieldSet = typ.added(value)
    return built


def applied(typ: Type, value: Any) -> FieldSet:
    """The set of a value that someone applied: its leaves, and its lists' items."""
    if typ.applied is None:
        # Types recur: whoever builds this one meanwhile gets a way to the finished builder.
        typ.applied = lambda part: typ.applied(part)  # type: ignore[misc]
        typ.applied = _builder(typ, applied, whole=False)
    built: FieldSet = typ.applied(value)
    return built


def of_object(obj: Object, typ: Type, build: Callable[[Type, Any], FieldSet], ignore: tuple[str, ...]) -> FieldSet:
    """The set of a whole object, without what the server owns and the top-level fields in `ignore`."""
    skip = _STRIPPED.union(ignore)
    found: FieldSet = {}
    for name, value in obj.items():
        if name in skip:
            continue
        if name == "metadata":
            value = {key: part for key, part in value.items() if key not in _STRIPPED_META}
            if not value:
                continue
        part = build(typ.child(name), value)
        if part and name in _ALWAYS_THERE and (name == "metadata" or not typ.custom):
            part = {key: node for key, node in part.items() if key != "."}
            if not part:
                continue
        if part or not value or not isinstance(value, (dict, list)) or typ.child(name).shape == "any":
            found[f"f:{name}"] = part
    return found


def _builder(typ: Type, build: Callable[[Type, Any], FieldSet], whole: bool) -> Builder:
    if typ.shape == "deduced":
        return _deduced_builder(build, typ)
    if typ.atomic or typ.shape not in ("struct", "map", "list"):
        return lambda value: MEMBER
    if typ.shape == "list":
        return _list_builder(typ, build)
    return _map_builder(typ, build, whole) if typ.shape == "map" else _struct_builder(typ, build, whole)


def _is_leaf(typ: Type) -> bool:
    return typ.atomic or typ.shape not in ("struct", "map", "list", "deduced")


def _struct_builder(typ: Type, build: Callable[[Type, Any], FieldSet], whole: bool) -> Builder:
    table: dict[str, tuple[str, Type | None, bool]] = {
        name: (f"f:{name}", None if _is_leaf(field) else field, name in _ALWAYS_THERE and not typ.custom)
        for name, field in typ.fields.items()
    }
    entry_of = table.get

    def struct(value: Any) -> FieldSet:
        found: FieldSet = {".": MEMBER} if whole else {}
        for name, part in value.items():
            entry = entry_of(name)
            if entry is None:
                found[f"f:{name}"] = MEMBER
                continue
            key, field, bare = entry
            if field is None or not part:
                if field is None or whole or type(part) is not list:
                    found[key] = MEMBER
                continue
            node = build(field, part)
            if bare and "." in node:
                node = {inner: below for inner, below in node.items() if inner != "."}
            if node:
                found[key] = node
        return found

    return struct


def _map_builder(typ: Type, build: Callable[[Type, Any], FieldSet], whole: bool) -> Builder:
    items = typ.items
    assert items is not None
    if _is_leaf(items):

        def leaves(value: Any) -> FieldSet:
            found: FieldSet = {".": MEMBER} if whole else {}
            for name in value:
                found[f"f:{name}"] = MEMBER
            return found

        return leaves

    def walk(value: Any) -> FieldSet:
        found: FieldSet = {".": MEMBER} if whole else {}
        for name, part in value.items():
            found[f"f:{name}"] = {".": MEMBER, **build(items, part)} if part else MEMBER
        return found

    return walk


def _deduced_builder(build: Callable[[Type, Any], FieldSet], typ: Type) -> Builder:
    """Where no schema says otherwise: dicts are granular, everything else is a leaf."""

    def walk(value: Any) -> FieldSet:
        if type(value) is not dict or not value:
            return MEMBER
        return {".": MEMBER, **{f"f:{name}": build(typ, part) for name, part in value.items()}}

    return walk


def _list_builder(typ: Type, build: Callable[[Type, Any], FieldSet]) -> Builder:
    items = typ.items
    assert items is not None
    whole = build is added

    def mapped(value: Any) -> FieldSet:
        found: FieldSet = {".": MEMBER} if whole else {}
        for item in value:
            node = build(items, item) if type(item) is dict else MEMBER
            found[item_key(typ, item)] = node if whole else {".": MEMBER, **node}
        return found

    def unique(value: Any) -> FieldSet:
        found: FieldSet = {".": MEMBER} if whole else {}
        for item in value:
            found[item_key(typ, item)] = MEMBER
        return found

    return mapped if typ.list_type == "map" else unique


def item_key(typ: Type, item: Any) -> str:
    """`k:{"name":"x"}` or `v:"x"`: how an item of a list is told from the others."""
    if typ.list_type == "map" and type(item) is dict:
        if len(typ.map_keys) == 1:
            name = typ.map_keys[0]
            value = item.get(name)
            if (
                type(value) is str
                and value.isascii()
                and value.isprintable()
                and '"' not in value
                and "\\" not in value
            ):
                return f'k:{{"{name}":"{value}"}}'
        defaults = typ.items.defaults if typ.items else {}
        keys = {name: item.get(name, defaults.get(name)) for name in sorted(typ.map_keys)}
        return f"k:{orjson.dumps({name: value for name, value in keys.items() if value is not None}).decode()}"
    return f"v:{orjson.dumps(item, option=orjson.OPT_SORT_KEYS).decode()}"


# Comparing objects.


def compare(typ: Type, old: Object, new: Object, ignore: tuple[str, ...] = ()) -> tuple[FieldSet, FieldSet]:
    """(fields added or changed, fields removed) from `old` to `new`, two whole objects."""
    skip = _STRIPPED.union(ignore)
    changed, removed = _compare_dicts(
        typ,
        {name: part for name, part in old.items() if name not in skip and name != "metadata"},
        {name: part for name, part in new.items() if name not in skip and name != "metadata"},
    )
    metas = [
        {name: part for name, part in (obj.get("metadata") or {}).items() if name not in _STRIPPED_META}
        for obj in (old, new)
    ]
    _compare_field(typ.child("metadata"), "f:metadata", metas[0], metas[1], changed, removed)
    return changed, removed


def _compare_dicts(typ: Type, old: Object, new: Object) -> tuple[FieldSet, FieldSet]:
    changed: FieldSet = {}
    removed: FieldSet = {}
    for name, part in new.items():
        if name not in old:
            node = added(typ.child(name), part)
            if name in _ALWAYS_THERE and typ.shape == "struct" and not typ.custom:
                node = {key: below for key, below in node.items() if key != "."}
            changed[f"f:{name}"] = node
        elif old[name] != part or isinstance(part, bool) is not isinstance(old[name], bool):
            _compare_field(typ.child(name), f"f:{name}", old[name], part, changed, removed)
    for name, part in old.items():
        if name not in new:
            removed[f"f:{name}"] = added(typ.child(name), part)
    return changed, removed


def _compare_field(typ: Type, key: str, old: Any, new: Any, changed: FieldSet, removed: FieldSet) -> None:
    """Compare one field's two values that may differ; note the difference below `key`."""
    if old == new:
        return
    if _is_leaf(typ) or type(old) is not type(new) or not isinstance(new, (dict, list)):
        changed[key] = MEMBER
        return
    if isinstance(new, list):
        parts = _compare_lists(typ, old, new) if typ.shape == "list" else (MEMBER, None)
    else:
        parts = _compare_dicts(typ, old, new)
    if parts[0] or parts[1] is None:
        changed[key] = parts[0]
    if parts[1]:
        removed[key] = parts[1]


def _compare_lists(typ: Type, old: list[Any], new: list[Any]) -> tuple[FieldSet, FieldSet]:
    changed: FieldSet = {}
    removed: FieldSet = {}
    before = {item_key(typ, item): item for item in old}
    after = {item_key(typ, item): item for item in new}
    items = typ.items
    assert items is not None
    for key, item in after.items():
        if key not in before:
            changed[key] = added(items, item) if typ.list_type == "map" else MEMBER
        elif before[key] != item:
            _compare_field(items, key, before[key], item, changed, removed)
    for key, item in before.items():
        if key not in after:
            removed[key] = added(items, item) if typ.list_type == "map" else MEMBER
    return changed, removed


# Algebra.


def is_valid(tree: Any) -> bool:
    """Whether it is a set as managedFields keeps them."""
    return isinstance(tree, dict) and all(
        (name == "." or _is_key(name)) and is_valid(node) for name, node in tree.items()
    )


def _is_key(name: str) -> bool:
    kind, _, rest = name.partition(":")
    if kind == "f":
        return True
    try:
        value = orjson.loads(rest)
    except orjson.JSONDecodeError:
        return False
    return kind == "v" or (kind == "k" and isinstance(value, dict))


def is_member(node: FieldSet) -> bool:
    """Whether the node itself, not just something below it, is in the set."""
    return not node or "." in node


def _node(member: bool, children: FieldSet) -> FieldSet | None:
    if not children:
        return MEMBER if member else None
    return {".": MEMBER, **children} if member else children


def union(a: FieldSet, b: FieldSet) -> FieldSet:
    """What is in either; roots are no members."""
    if not a:
        return b
    found = dict(a)
    for key, node in b.items():
        mine = found.get(key)
        if mine is None:
            found[key] = node
        elif mine is not node and key != ".":
            joined = union(mine, node)
            found[key] = {".": MEMBER, **joined} if joined and (is_member(mine) or is_member(node)) else joined
    return found


def subtract(a: FieldSet, b: FieldSet) -> FieldSet:
    """What is in a but not in b; a itself where they have nothing in common."""
    if not b:
        return a
    found: FieldSet = {}
    same = True
    for key, node in a.items():
        other = b.get(key)
        if other is None or key == ".":
            found[key] = node
            continue
        below = subtract({k: v for k, v in node.items() if k != "."}, other) if node else {}
        left = _node(is_member(node) and not is_member(other), below)
        if left is not None:
            found[key] = left
        same = False
    return a if same else found


def intersect(a: FieldSet, b: FieldSet) -> FieldSet:
    """What is in both."""
    found: FieldSet = {}
    for key, node in a.items():
        other = b.get(key)
        if other is None or key == ".":
            continue
        left = _node(is_member(node) and is_member(other), intersect(node, other))
        if left is not None:
            found[key] = left
    return found


def members(tree: FieldSet, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths in a set, each a tuple of keys, in upstream's order: a level's members, then what is below them."""
    keys = sorted(key for key in tree if key != ".")
    for key in keys:
        if is_member(tree[key]):
            yield (*path, key)
    for key in keys:
        yield from members(tree[key], (*path, key))


def path_text(path: tuple[str, ...]) -> str:
    """`.spec.containers[name="web"].image`."""
    text = ""
    for key in path:
        kind, _, rest = key.partition(":")
        if kind == "f":
            text += f".{rest}"
        elif kind == "k":
            keys = orjson.loads(rest)
            text += f"[{','.join(f'{name}={orjson.dumps(keys[name]).decode()}' for name in sorted(keys))}]"
        else:
            text += f"[={rest}]"
    return text
