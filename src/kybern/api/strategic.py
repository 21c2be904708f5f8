"""Strategic merge patch: a merge patch that knows which lists merge, and by which key.

Source: the API conventions' page "strategic merge patch" (directives $patch, $retainKeys, $setElementOrder,
$deleteFromPrimitiveList). What order merged lists come out in is upstream's too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from kybern.api.errors import BadRequest
from kybern.api.go_values import go_value
from kybern.api.patch import clone
from kybern.api.schema import ANY, Type
from kybern.api.types import Object

_DIRECTIVE, _RETAIN = "$patch", "$retainKeys"
_ORDER, _DELETE = "$setElementOrder/", "$deleteFromPrimitiveList/"


def strategic_merge_patch(obj: Object, patch: Any, typ: Type) -> Object:
    """Apply `patch` to `obj` of type `typ`. Changes neither. Raises BadRequest for a patch that makes no sense."""
    if type(patch) is not dict:
        raise BadRequest("json: cannot unmarshal array into Go value of type map[string]interface {}")
    return _merge_map(clone(obj), clone(patch), typ)


def _merge_map(original: Object, patch: Object, typ: Type) -> Object:
    directive = patch.pop(_DIRECTIVE, None)
    if directive == "replace":
        return patch
    if directive == "delete":
        return {}
    if directive is not None:
        raise BadRequest(f"unknown patch type: {directive} in map: {go_value({_DIRECTIVE: directive, **patch})}")
    _retain_keys(original, patch)
    for key in [key for key in patch if key.startswith(_ORDER)]:
        _set_order(original, patch, key, typ)
    for key, value in patch.items():
        if key.startswith(_DELETE):
            _delete_primitives(original, key[len(_DELETE) :], value)
        elif value is None:
            original.pop(key, None)
        elif key in original:
            original[key] = _merge_value(original[key], value, typ.child(key))
        else:
            _add(original, key, value)
    return original


def _add(target: Object, key: str, value: Any) -> None:
    """Set what is new; if it is but a directive, that has nothing to work on."""
    if _is_directive(value):
        target.pop(key, None)
    else:
        target[key] = _without_directives(value)


def _merge_value(original: Any, value: Any, typ: Type) -> Any:
    if isinstance(value, dict) and isinstance(original, dict) and "replace" not in typ.patch_strategy:
        return _merge_map(original, value, typ)
    if isinstance(value, list) and isinstance(original, list) and "merge" in typ.patch_strategy:
        return _merge_list(original, value, typ)
    return {} if _is_directive(value) else _without_directives(value)


def _retain_keys(original: Object, patch: Object) -> None:
    keep = patch.pop(_RETAIN, None)
    if keep is None:
        return
    if not isinstance(keep, list) or not all(isinstance(key, str) for key in keep):
        raise BadRequest("invalid patch format of retainKeys")
    if any(value is not None and not key.startswith((_ORDER, _DELETE)) and key not in keep
           for key, value in patch.items()):  # fmt: skip
        raise BadRequest("invalid patch format of retainKeys")
    for key in original.keys() - set(keep):
        del original[key]


def _delete_primitives(original: Object, name: str, gone: Any) -> None:
    if not isinstance(gone, list):
        raise BadRequest("invalid patch format of primitive list")
    if isinstance(original.get(name), list):
        original[name] = [item for item in original[name] if item not in gone]


def _is_directive(value: Any) -> bool:
    return isinstance(value, dict) and _DIRECTIVE in value


def _without_directives(value: Any) -> Any:
    """A value taken over as it is: what directives and nulls ask for has nothing to work on."""
    if isinstance(value, dict):
        return {
            key: _without_directives(item)
            for key, item in value.items()
            if item is not None and key != _RETAIN and not key.startswith((_ORDER, _DELETE)) and not _is_directive(item)
        }
    if isinstance(value, list):
        return [_without_directives(item) for item in value if not _is_directive(item)]
    return value


# Lists.


def _key_of(merge_key: str) -> Callable[[Any], Any]:
    """What identifies an item of a list: the item itself, or its merge key's value, which must be there."""

    def key(item: Any) -> Any:
        if not isinstance(item, dict):
            return item
        if not merge_key:
            raise BadRequest("cannot merge lists without merge key for type map[string]interface {}")
        if merge_key not in item:
            raise BadRequest(f"map: {go_value(item)} does not contain declared merge key: {merge_key}")
        return item[merge_key]

    return key


def _merge_list(original: list[Any], patch: list[Any], typ: Type) -> list[Any]:
    if not original and not patch:
        return original
    key = _key_of(typ.merge_key)
    merged, patch, replaced = _special_items(list(original), patch, key)
    if replaced:
        return patch
    places: dict[Any, int] = {}
    for i, item in enumerate(merged):
        places.setdefault(_hashable(key(item)), i)
    for item in patch:
        place = places.get(_hashable(key(item)))
        if place is None:
            places[_hashable(key(item))] = len(merged)
            merged.append(_without_directives(item))
        elif isinstance(item, dict):
            merged[place] = _merge_map(merged[place], item, typ.items or ANY)
    return _in_order(merged, patch, original, key)


def _hashable(key: Any) -> Any:
    return key if isinstance(key, (str, int, float, bool)) else repr(key)


def _special_items(
    original: list[Any], patch: list[Any], key: Callable[[Any], Any]
) -> tuple[list[Any], list[Any], bool]:
    """(the original without deleted items, the patch without special items, whether the patch replaces the list)."""
    plain, replaced = [], False
    for item in patch:
        directive = item.get(_DIRECTIVE) if isinstance(item, dict) else None
        if directive is None:
            plain.append(item)
        elif directive == "delete":
            gone = key(item)
            original = [old for old in original if key(old) != gone]
        elif directive == "replace":
            replaced = True
        elif directive == "merge":
            raise BadRequest("merging lists cannot yet be specified in the patch")
        else:
            raise BadRequest(f"unknown patch type: {directive} in map: {go_value(item)}")
    return original, plain, replaced


def _in_order(merged: list[Any], first: Iterable[Any], second: Iterable[Any], key: Callable[[Any], Any]) -> list[Any]:
    """`merged` with the items of `first` in first's order, the others in second's (the live list's). Where the live
    list orders two of them it decides; what it doesn't know goes ahead."""
    wanted = {_hashable(key(item)): i for i, item in reversed(list(enumerate(first)))}
    live = {_hashable(key(item)): i for i, item in reversed(list(enumerate(second)))}
    ours = sorted((m for m in merged if _hashable(key(m)) in wanted), key=lambda m: wanted[_hashable(key(m))])
    others = [m for m in merged if _hashable(key(m)) not in wanted]
    others.sort(key=lambda m: live.get(_hashable(key(m)), len(live)))
    result: list[Any] = []
    i = j = 0
    while i < len(others) and j < len(ours):
        left, right = live.get(_hashable(key(others[i]))), live.get(_hashable(key(ours[j])))
        if left is not None and right is not None and left < right:
            result.append(others[i])
            i += 1
        else:
            result.append(ours[j])
            j += 1
    return result + others[i:] + ours[j:]


def _set_order(original: Object, patch: Object, directive: str, typ: Type) -> None:
    """Carry out one $setElementOrder: merge the list it is about, then put it in order."""
    order, name = patch.pop(directive), directive[len(_ORDER) :]
    if not isinstance(order, list):
        raise BadRequest("invalid patch format of setElementOrder list")
    kind = typ.child(name)
    key = _key_of(kind.merge_key)
    given, live = patch.pop(name, None), original.get(name)
    if not isinstance(given if given is not None else [], list):
        raise BadRequest("invalid patch format of setElementOrder list")
    _check_order(given or [], order, key)
    gone = patch.pop(f"{_DELETE}{name}", None)
    before = live if isinstance(live, list) else []
    if gone is not None:
        _delete_primitives(original, name, gone)
        live = original.get(name)
    if given is None:
        merged = live
    elif live is None:
        merged = _without_directives(given)
    else:
        merged = _merge_value(live, given, kind)
    if isinstance(merged, list):
        original[name] = _in_order(merged, order, before, key)


def _check_order(given: list[Any], order: list[Any], key: Callable[[Any], Any]) -> None:
    """The patch's items must be in the order list, in that order."""
    known = [key(item) for item in order]
    at = 0
    for item in given:
        if isinstance(item, dict) and item.get(_DIRECTIVE) == "delete":
            continue
        if isinstance(item, dict) and item.get(_DIRECTIVE) == "replace" and len(item) == 1:
            continue
        try:
            at = known.index(key(item), at)
        except ValueError:
            raise BadRequest(
                f"The order in patch list:\n{go_value(given)}\n doesn't match {_ORDER[:-1]} list:\n{go_value(order)}\n"
            ) from None
