"""JSON patch (RFC 6902) and JSON merge patch (RFC 7386). Strategic merge patch is in strategic.py, apply in apply.py.

No function here changes the object it is given; `clone` is how the project copies objects.
"""

from __future__ import annotations

import re
from typing import Any, cast

import orjson

from kybern.api import codec
from kybern.api.errors import BadRequest, Invalid, RequestTooLarge
from kybern.api.types import Object

MAX_OPERATIONS = 10_000
MAX_COPIED = 3 * 1024 * 1024
"""Bytes that `copy` operations may add: a few could otherwise double an object without end."""
_REJECTED = "the server rejected our request due to an error in our request"


def clone(obj: Object) -> Object:
    """A deep copy: through JSON, which is many times faster than copying in Python."""
    return cast(Object, orjson.loads(orjson.dumps(obj)))


class _Rejected(Exception):
    """An operation that can't be carried out."""


def json_patch(obj: Object, operations: Any) -> Object:
    """Apply RFC 6902 operations. Raises BadRequest (not a patch), RequestTooLarge, Invalid (doesn't apply)."""
    if type(operations) is not list or not all(type(operation) is dict for operation in operations):
        raise BadRequest("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    if len(operations) > MAX_OPERATIONS:
        raise RequestTooLarge(
            "Request entity too large: The allowed maximum operations in a JSON patch is "
            f"{MAX_OPERATIONS}, got {len(operations)}"
        )
    document: Any = clone(obj)
    copied = 0
    try:
        for operation in operations:
            document, grown = _operate(document, operation)
            copied += grown
            if copied > MAX_COPIED:
                raise _Rejected("too much is copied")
    except (_Rejected, orjson.JSONEncodeError):
        raise Invalid(_REJECTED, details={}) from None
    if type(document) is not dict or codec.nests_too_deep(document):
        raise Invalid(_REJECTED, details={})
    return cast(Object, document)


def _operate(document: Any, operation: Object) -> tuple[Any, int]:
    """(the document after the operation, bytes copied within it)."""
    if operation.get("op") == "copy":
        path, value = _pointer(operation.get("path")), _get(document, _pointer(operation.get("from")))
        copy = orjson.dumps(value)
        return _add(document, path, orjson.loads(copy)), len(copy)
    return _change(document, operation), 0


def _change(document: Any, operation: Object) -> Any:
    name = operation.get("op")
    path = _pointer(operation.get("path"))
    if name in ("add", "replace", "test") and "value" not in operation:
        raise _Rejected("no value")
    if name == "add":
        return _add(document, path, operation["value"])
    if name == "remove":
        return _remove(document, path)[0]
    if name == "replace":
        if not path:
            return operation["value"]
        _get(document, path)
        return _put(document, path, operation["value"])
    if name == "test":
        found = _get(document, path) if operation["value"] is not None else _get_or_none(document, path)
        if not _equal(found, operation["value"]):
            raise _Rejected("testing value failed")
        return document
    if name == "move":
        source = _pointer(operation.get("from"))
        value = _get(document, source)
        if path[: len(source)] == source and len(path) > len(source):
            raise _Rejected("can't move a value into itself")
        return _add(_remove(document, source)[0], path, value)
    raise _Rejected(f"unexpected kind: {name}")


def _equal(a: Any, b: Any) -> bool:
    """JSON equality: True is not 1."""
    if isinstance(a, bool) is not isinstance(b, bool):
        return False
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_equal, a, b))
    return bool(a == b)


def _pointer(text: Any) -> list[str]:
    if text == "":
        return []
    if type(text) is not str or text[0] != "/":
        raise _Rejected("invalid pointer")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _index(part: str, length: int) -> int:
    """A list index below `length`; upstream also counts negative ones from the end."""
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", part):
        raise _Rejected("invalid index")
    index = int(part)
    if not -length <= index < length:
        raise _Rejected("index out of bounds")
    return index


def _step(value: Any, part: str) -> Any:
    if type(value) is dict and part in value:
        return value[part]
    if type(value) is list:
        return value[_index(part, len(value))]
    raise _Rejected("missing path")


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        document = _step(document, part)
    return document


def _get_or_none(document: Any, path: list[str]) -> Any:
    """A missing field tests equal to null, as upstream has it."""
    try:
        return _get(document, path)
    except _Rejected:
        return None


def _put(document: Any, path: list[str], value: Any) -> Any:
    parent = _get(document, path[:-1])
    if type(parent) is list:
        parent[_index(path[-1], len(parent))] = value
    else:
        parent[path[-1]] = value
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _get(document, path[:-1]), path[-1]
    if type(parent) is list:
        if last == "-":
            parent.append(value)
        else:
            index = _index(last, len(parent) + 1)
            parent.insert(index if index >= 0 else index + len(parent) + 1, value)
    elif type(parent) is dict:
        parent[last] = value
    else:
        raise _Rejected("missing path")
    return document


def _remove(document: Any, path: list[str]) -> tuple[Any, Any]:
    """(document without it, what was removed)."""
    if not path:
        raise _Rejected("can't remove the whole document")
    parent, last = _get(document, path[:-1]), path[-1]
    if type(parent) is list:
        return document, parent.pop(_index(last, len(parent)))
    if type(parent) is not dict or last not in parent:
        raise _Rejected("missing path")
    return document, parent.pop(last)


def merge_patch(obj: Object, patch: Any) -> Object:
    """Apply an RFC 7386 merge patch: null removes. Raises BadRequest if the patch is no object."""
    if type(patch) is not dict:
        raise BadRequest("json: cannot unmarshal array into Go value of type map[string]interface {}")
    return cast(Object, _merge(clone(obj), patch))


def _merge(target: Any, patch: Object) -> Any:
    if type(target) is not dict:
        target = {}
    for name, value in patch.items():
        if value is None:
            target.pop(name, None)
        elif type(value) is dict:
            target[name] = _merge(target.get(name), value)
        else:
            target[name] = value
    return target
