"""Server-side apply: merge an applied configuration into the live object, with conflicts and removals.

Source: KEP-555; API concepts, "Server-Side Apply". Messages are upstream's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import orjson

from kybern.api import decoding, fieldsets, managedfields
from kybern.api.errors import BadRequest, Conflict, Unclassified
from kybern.api.fieldsets import FieldSet
from kybern.api.go_values import go_value
from kybern.api.managedfields import APPLY, UPDATE, Differences, Entry
from kybern.api.patch import clone
from kybern.api.schema import ANY, Type
from kybern.api.types import Object
from kybern.process.clock import clock

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_LAST_APPLIED_LIMIT = 256 * 1024
_BEFORE_FIRST_APPLY = "before-first-apply"


class Shapes(Protocol):
    """Of kinds whose objects look different in several API versions; all methods take objects of the request's."""

    def differs(self, api_version: str) -> bool:
        """Whether that version's shape is another than the request's."""
        ...

    def show(self, obj: Object, api_version: str) -> tuple[Object, Type]:
        """The object as that version has it, and its type there."""
        ...

    def back(self, obj: Object) -> Object:
        """An object of any version as the request's has it."""
        ...


def apply(
    live: Object | None,
    config: Object,
    manager: str,
    force: bool,
    typ: Type,
    api_version: str,
    subresource: str = "",
    ignore: tuple[str, ...] = (),
    shapes: Shapes | None = None,
) -> Object:
    """The object after `manager` applied `config` to `live` (None: there is none), managedFields and all; not yet
    defaulted. `config` has passed decoding.check; `ignore` are top-level fields this way in doesn't write; `shapes`:
    where there is more than one. Changes neither. If nothing changes, the result equals `live`. Raises Conflict,
    BadRequest, Unclassified (wrong type)."""
    config = {name: part for name, part in clone(config).items() if name not in ignore}
    if config["metadata"].pop("managedFields", None):
        raise BadRequest("metadata.managedFields must be nil")
    check_typed(config, typ, api_version)
    fields = fieldsets.of_object(config, typ, fieldsets.applied, ignore)
    base: Object = clone(live) if live is not None else {}
    entries = managedfields.decode((base.get("metadata") or {}).pop("managedFields", None))
    if live is not None and not entries:
        everything = fieldsets.of_object(base, typ, fieldsets.added, ignore)
        entries = [Entry(_BEFORE_FIRST_APPLY, UPDATE, api_version, "", clock.stamp(), everything)]
    own = Entry(manager, APPLY, api_version, subresource, clock.stamp(), fields)
    previous = next((entry for entry in entries if entry.identity == own.identity), None)
    others = [entry for entry in entries if entry is not previous]
    merged: Object = _merge(typ, clone(base), config)
    if previous and shapes and shapes.differs(previous.api_version):
        merged = _prune_elsewhere(shapes, typ, merged, previous, [*others, own])
    elif previous:
        merged = _prune(typ, merged, previous.fields, fields, others)
    changed, removed = fieldsets.compare(typ, base, merged, ignore)

    def differences(seen: str) -> tuple[FieldSet, FieldSet]:
        if shapes is None or not shapes.differs(seen):
            return changed, removed
        (before, kind), (after, _) = shapes.show(base, seen), shapes.show(merged, seen)
        return fieldsets.compare(kind, before, after, ignore)

    if not force:
        _check_conflicts(others, differences, _upgraded(base, manager, typ, api_version, ignore))
    for entry in others:
        other, gone = differences(entry.api_version)
        entry.fields = fieldsets.subtract(fieldsets.subtract(entry.fields, other), gone)
    _keep_last_applied(merged, base, config, manager, api_version)
    if previous and live is not None and not changed and not removed and previous.fields == fields:
        own.time = previous.time
    merged["metadata"]["managedFields"] = managedfields.encode([*others, own])
    return merged


def check_typed(config: Object, typ: Type, api_version: str) -> None:
    """Raises Unclassified where a configuration's values are of other types, or a list has an item twice."""
    said: list[str] = []
    _check_typed(typ, config, "", said)
    if said:
        raise _typed_error(config, api_version, said)


def undeclared_fields(config: Object, paths: Sequence[str]) -> Unclassified:
    """The error for a configuration with fields (as decoding.check gives them) that its type doesn't have."""
    said = [f".{path}: field not declared in schema" for path in paths]
    return _typed_error(config, str(config.get("apiVersion")), said)


def overlaid(live: Object, config: Object, typ: Type) -> Object:
    """`live` with `config` laid over it, whoever owns what. Changes neither. Raises Unclassified (wrong type)."""
    said: list[str] = []
    _check_typed(typ, config, "", said)
    if said:
        raise _typed_error(config, str(config.get("apiVersion")), said)
    made: Object = _merge(typ, clone(live), clone(config))
    return made


def _typed_error(config: Object, api_version: str, said: list[str]) -> Unclassified:
    metadata = config.get("metadata") or {}
    name = f"{metadata.get('namespace') or ''}/{metadata.get('name') or ''}"
    text = said[0] if len(said) == 1 else "errors:\n" + "\n".join(f"  {one}" for one in said)
    gvk = f"{api_version}, Kind={config.get('kind')}"
    return Unclassified(f"failed to create typed patch object ({name}; {gvk}): {text}")


def _check_typed(typ: Type, value: Any, path: str, said: list[str]) -> None:
    """Complain of values of another type, and of items of keyed lists that lack their keys or come twice."""
    wanted, fits = _EXPECTED.get(typ.shape, ("", lambda _: True))
    if value is None or typ.shape in ("any", "deduced"):
        return
    if not fits(value):
        found = _GO_TYPES[type(value)] if typ.shape in _NUMBERS else f"&{{{go_value(value)}}}"
        said.append(f"{path}: expected {wanted}, got {found}")
    elif isinstance(value, dict):
        for name, part in value.items():
            _check_typed(typ.child(name), part, f"{path}.{name}", said)
    elif isinstance(value, list):
        if typ.list_type == "atomic":
            for i, item in enumerate(value):
                _check_typed(typ.items or ANY, item, f"{path}[{i}]", said)
        else:
            _check_items(typ, value, path, said)


def _check_items(typ: Type, value: list[Any], path: str, said: list[str]) -> None:
    seen = set()
    for i, item in enumerate(value):
        if typ.list_type == "map":
            defaults = typ.items.defaults if typ.items else {}
            given = item if isinstance(item, dict) else {}
            missing = [key for key in typ.map_keys if key not in given and key not in defaults]
            if missing:
                text = f'associative list with keys has an element that omits key field "{missing[0]}"'
                said.append(f"{path}: element {i}: {text} (and doesn't have default value)")
                continue
        key = fieldsets.item_key(typ, item)
        where = fieldsets.path_text((key,))
        if key in seen:
            said.append(f"{path}: duplicate entries for key {where}")
        seen.add(key)
        _check_typed(typ.items or ANY, item, f"{path}{where}", said)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


_NUMBERS = frozenset(("int32", "int64", "number"))
_EXPECTED: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "struct": ("map", lambda value: isinstance(value, dict)),
    "map": ("map", lambda value: isinstance(value, dict)),
    "object": ("map", lambda value: isinstance(value, dict)),
    "list": ("list", lambda value: isinstance(value, list)),
    "string": ("string", lambda value: isinstance(value, str)),
    "bool": ("boolean", lambda value: isinstance(value, bool)),
    **dict.fromkeys(_NUMBERS, ("numeric (int or float)", _is_number)),
}
_GO_TYPES = {str: "string", bool: "bool", list: "[]interface {}", dict: "map[string]interface {}"}


# Merging.


def _merge(typ: Type, live: Any, config: Any) -> Any:
    """`config` laid over `live`, which may be changed."""
    if typ.atomic or typ.shape == "any":
        return config
    if isinstance(live, dict) and isinstance(config, dict):
        for name, part in config.items():
            live[name] = _merge(typ.child(name), live[name], part) if name in live else part
        return live
    if isinstance(live, list) and isinstance(config, list) and typ.shape == "list":
        return _merge_lists(typ, live, config)
    return config


def _merge_lists(typ: Type, live: list[Any], config: list[Any]) -> list[Any]:
    """Items of both, the shared ones in config's order, each live-only item behind the one it was behind."""
    mine = {fieldsets.item_key(typ, item): item for item in config}
    theirs = {fieldsets.item_key(typ, item): item for item in live}
    ours, left, done = list(mine), list(theirs), set()
    result = []
    i = j = 0
    while i < len(left) or j < len(ours):
        if i < len(left) and (left[i] not in mine or left[i] in done):
            if left[i] not in done:
                result.append(theirs[left[i]])
            i += 1
            continue
        key = ours[j]
        j += 1
        done.add(key)
        both = typ.list_type == "map" and key in theirs
        result.append(_merge(typ.items or ANY, theirs[key], mine[key]) if both else mine[key])
    return result


# Removing what is no longer applied.


def _prune(typ: Type, merged: Object, last: FieldSet, fields: FieldSet, others: list[Entry]) -> Object:
    keep = fields
    for entry in others:
        keep = fieldsets.union(keep, entry.fields)
    gone = fieldsets.subtract(last, fields)
    pruned = _remove(typ, merged, gone, keep)
    assert isinstance(pruned, dict)
    return pruned


def _prune_elsewhere(shapes: Shapes, typ: Type, merged: Object, previous: Entry, owners: list[Entry]) -> Object:
    """The same where the manager last applied in another shape: what goes is found there, and what anybody owns (the
    manager too, now) is put back in the shapes that they know."""
    there, its_type = shapes.show(merged, previous.api_version)
    alike = [entry for entry in owners if entry.api_version == previous.api_version]
    pruned = shapes.back(_prune(its_type, clone(there), previous.fields, {}, alike))
    for version in sorted({entry.api_version for entry in owners} - {previous.api_version}):
        pruned = _put_back(shapes, typ, merged, pruned, [one for one in owners if one.api_version == version])
    return pruned


def _put_back(shapes: Shapes, typ: Type, merged: Object, pruned: Object, owners: list[Entry]) -> Object:
    """`pruned` with what of `merged` these owners, all of one version, have."""
    version = owners[0].api_version
    elsewhere = shapes.differs(version)
    before, after = merged, pruned
    if elsewhere:
        (before, typ), (after, _) = shapes.show(merged, version), shapes.show(pruned, version)
    whole, left = (fieldsets.of_object(obj, typ, fieldsets.added, ()) for obj in (before, after))
    gone, keep = fieldsets.subtract(whole, left), left
    if not any(fieldsets.intersect(entry.fields, gone) for entry in owners):
        return pruned
    for entry in owners:
        keep = fieldsets.union(keep, entry.fields)
    made: Object = _remove(typ, clone(before), gone, keep)
    return shapes.back(made) if elsewhere else made


def _remove(typ: Type, value: Any, gone: FieldSet, keep: FieldSet) -> Any:
    """`value` without the members of `gone`, sparing what has anything in `keep`; None if nothing is left of it."""
    if isinstance(value, dict):
        for key, node in gone.items():
            name = key[2:]
            if key == "." or name not in value:
                continue
            left = None
            if key in keep or not fieldsets.is_member(node):
                left = _remove(typ.child(name), value[name], node, keep.get(key, {})) if node else value[name]
            if left is None and key in keep and fieldsets.is_member(keep[key]):
                value[name] = type(value[name])()
            elif left is None:
                del value[name]
            else:
                value[name] = left
        return value or None
    if isinstance(value, list) and typ.shape == "list":
        kept = []
        for item in value:
            key = fieldsets.item_key(typ, item)
            node = gone.get(key)
            if node is not None:
                if key not in keep and fieldsets.is_member(node):
                    continue
                item = _remove(typ.items or ANY, item, node, keep.get(key, {}))
                if item is None:
                    continue
            kept.append(item)
        return kept or None
    return value


# Conflicts.


def _check_conflicts(others: list[Entry], differences: Differences, allowed: FieldSet) -> None:
    """Raises Conflict where what changed has other owners, but for the fields in `allowed`."""
    conflicts = []
    for entry in others:
        changed, _ = differences(entry.api_version)
        common = fieldsets.subtract(fieldsets.intersect(entry.fields, changed), allowed)
        if common:
            conflicts += [(entry, fieldsets.path_text(path)) for path in fieldsets.members(common)]
    if conflicts:
        raise _conflict(conflicts)


def _upgraded(live: Object, manager: str, typ: Type, api_version: str, ignore: tuple[str, ...]) -> FieldSet:
    """What kubectl may take over because it applied it itself before the server did: the fields of its record that
    still are as it left them."""
    text = ((live.get("metadata") or {}).get("annotations") or {}).get(LAST_APPLIED)
    if manager != "kubectl" or not text:
        return {}
    try:
        last = orjson.loads(text)
        if last["apiVersion"] != api_version:
            return {}
        decoding.check(typ, last)
        said: list[str] = []
        _check_typed(typ, last, "", said)
    except (orjson.JSONDecodeError, KeyError, TypeError, BadRequest):
        return {}
    if said:
        return {}
    fields = fieldsets.of_object(last, typ, fieldsets.applied, ignore)
    changed, removed = fieldsets.compare(typ, last, live, ignore)
    return fieldsets.subtract(fieldsets.subtract(fields, changed), removed)


def _who(entry: Entry) -> str:
    text = f'"{entry.manager}"'
    if entry.subresource:
        text += f' with subresource "{entry.subresource}"'
    return f"{text} using {entry.api_version}" if entry.operation == UPDATE else text


def _conflict(conflicts: list[tuple[Entry, str]]) -> Conflict:
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {_who(entry)}", "field": path}
        for entry, path in conflicts
    ]
    if len(conflicts) == 1:
        said = f"Apply failed with 1 conflict: conflict with {_who(conflicts[0][0])}: {conflicts[0][1]}"
    else:
        by_manager: dict[str, list[str]] = {}
        for entry, path in conflicts:
            by_manager.setdefault(_who(entry), []).append(path)
        lines = []
        for manager in sorted(by_manager):
            lines += [f"conflicts with {manager}:", *(f"- {path}" for path in by_manager[manager])]
        text = "\n".join(lines)
        said = f"Apply failed with {len(conflicts)} conflicts: {text}"
    return Conflict(said, details={"causes": causes})


def _keep_last_applied(merged: Object, live: Object, config: Object, manager: str, api_version: str) -> None:
    """Keep kubectl's own record of what it applied true, where there is one: plain `kubectl apply` can then go on."""
    annotations = (live.get("metadata") or {}).get("annotations") or {}
    if manager != "kubectl" or LAST_APPLIED not in annotations:
        return
    said = clone(config)
    said["apiVersion"] = api_version
    (said["metadata"].get("annotations") or {}).pop(LAST_APPLIED, None)
    text = orjson.dumps(said, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    if len(text) <= _LAST_APPLIED_LIMIT:
        merged["metadata"].setdefault("annotations", {})[LAST_APPLIED] = text
