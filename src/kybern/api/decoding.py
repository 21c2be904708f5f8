"""Walking an object along its type: type errors, unknown fields, nulls, canonical quantities and times.

A compiled walker says in one pass whether an object is clean, as nearly all are; only where it isn't does a second,
slower pass say what is wrong and put it right. Messages are those of upstream's JSON decoder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from kybern.api import quantity
from kybern.api.errors import BadRequest
from kybern.api.schema import INT32, STRING, Type
from kybern.api.types import Object

Walker = Callable[[Any], bool]

_BASE64 = re.compile("(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_INT32 = 2**31
_INT64 = 2**63


def check(typ: Type, obj: Object, *, prune: bool = True) -> list[str]:
    """Make `obj` what decoding it into `typ` would: nulls dropped, quantities and times canonical, unknown fields
    removed (if `prune`). Give the paths of unknown fields. Raises BadRequest on a wrong type."""
    if (typ.fast or compile_walker(typ))(obj):
        return []
    cleaner = _Cleaner(prune)
    try:
        cleaner.struct(typ, obj, "", "")
    except ValueError as error:
        raise cannot_be_handled(obj, str(error)) from None
    return cleaner.unknown


def cannot_be_handled(obj: Object, why: str) -> BadRequest:
    """`Pod in version "v1" cannot be handled as a Pod: why`."""
    kind, version = obj.get("kind") or "", str(obj.get("apiVersion") or "").rpartition("/")[2]
    return BadRequest(f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')


def strict_error(obj: Object, unknown: Sequence[str], duplicates: Sequence[str]) -> BadRequest:
    """What fieldValidation=Strict answers."""
    return cannot_be_handled(obj, f"strict decoding error: {', '.join(strict_texts(unknown, duplicates))}")


def strict_texts(unknown: Sequence[str], duplicates: Sequence[str]) -> list[str]:
    """The complaints, one by one: also the texts of warnings. `duplicates` are complaints already."""
    return [*duplicates, *(f'unknown field "{path}"' for path in unknown)]


# The fast pass: is it clean?


def compile_walker(typ: Type) -> Walker:
    """The type's walker, made on first use."""
    if typ.fast is None:
        # Types recur (JSONSchemaProps): whoever compiles this one meanwhile gets a way to the finished walker.
        typ.fast = lambda value: bool(typ.fast(value))  # type: ignore[misc]
        typ.fast = _WALKERS[typ.shape](typ)
    walker: Walker = typ.fast
    return walker


_LEAF_CLASS = {"string": str, "bool": bool, "object": dict}


def _struct_walker(typ: Type) -> Walker:
    leaves = {name: _LEAF_CLASS[t.shape] for name, t in typ.fields.items() if t.shape in _LEAF_CLASS}
    parts = {name: compile_walker(t) for name, t in typ.fields.items() if t.shape not in _LEAF_CLASS}
    leaf_class, part_of = leaves.get, parts.get

    def walk(value: Any) -> bool:
        if type(value) is not dict:
            return False
        for name, part in value.items():
            if leaf_class(name) is type(part):
                continue
            walker = part_of(name)
            if walker is None or not walker(part):
                return False
        return True

    return walk


def _list_walker(typ: Type) -> Walker:
    assert typ.items is not None
    if typ.items.shape == "string":

        def strings(value: Any) -> bool:
            return type(value) is list and all(type(item) is str for item in value)

        return strings
    walk_item = compile_walker(typ.items)

    def walk(value: Any) -> bool:
        if type(value) is not list:
            return False
        for item in value:  # noqa: SIM110 - a generator costs more than the loop
            if not walk_item(item):
                return False
        return True

    return walk


def _map_walker(typ: Type) -> Walker:
    assert typ.items is not None
    if typ.items.shape == "string":

        def strings(value: Any) -> bool:
            if type(value) is not dict:
                return False
            for item in value.values():  # noqa: SIM110
                if type(item) is not str:
                    return False
            return True

        return strings
    walk_item = compile_walker(typ.items)
    return lambda value: type(value) is dict and all(walk_item(item) for item in value.values())


def _is_time(value: Any) -> bool:
    return type(value) is str and len(value) == 20 and value[19] == "Z" and _parses(value)


def _is_micro_time(value: Any) -> bool:
    return type(value) is str and len(value) == 27 and value[26] == "Z" and _parses(value)


def _parses(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _int32(value: Any) -> bool:
    return type(value) is int and -_INT32 <= value < _INT32


def _int64(value: Any) -> bool:
    return type(value) is int and -_INT64 <= value < _INT64


_WALKERS: dict[str, Callable[[Type], Walker]] = {
    "struct": _struct_walker,
    "list": _list_walker,
    "map": _map_walker,
    "object": lambda typ: lambda value: type(value) is dict,
    "any": lambda typ: lambda value: value is not None,
    "string": lambda typ: lambda value: type(value) is str,
    "bool": lambda typ: lambda value: type(value) is bool,
    "int32": lambda typ: _int32,
    "int64": lambda typ: _int64,
    "number": lambda typ: lambda value: type(value) in (int, float),
    "bytes": lambda typ: lambda value: type(value) is str and _BASE64.fullmatch(value) is not None,
    "quantity": lambda typ: quantity.is_known,
    "int-or-string": lambda typ: lambda value: type(value) is str or _int32(value),
    "time": lambda typ: _is_time,
    "micro-time": lambda typ: _is_micro_time,
}

# The slow pass: what is wrong, and putting it right.


def _described(value: Any) -> str:
    """What the decoder calls a value of the wrong type."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


class _Cleaner:
    """One slow pass. `path` has indices, for unknown fields; `trail` is the decoder's, without; errors are
    ValueErrors."""

    def __init__(self, prune: bool) -> None:
        self.prune = prune
        self.unknown: list[str] = []

    def struct(self, typ: Type, obj: Any, path: str, trail: str, place: str = "") -> Any:
        if type(obj) is not dict:
            raise _mismatch(obj, typ, place)
        for name in list(obj):
            here = f"{path}.{name}" if path else name
            field = typ.fields.get(name)
            if field is None:
                if not typ.keep_unknown:
                    self.unknown.append(here)
                    if self.prune:
                        del obj[name]
            elif obj[name] is None:
                del obj[name]
            else:
                inner = f"{trail}.{name}" if trail else name
                obj[name] = self.value(field, obj[name], here, inner, f"{typ.struct_name}.{inner}")
        return obj

    def value(self, typ: Type, value: Any, path: str, trail: str, place: str) -> Any:
        if typ.shape == "struct":
            return self.struct(typ, value, path, trail, place)
        if typ.shape == "list":
            if type(value) is not list:
                raise _mismatch(value, typ, place)
            items = typ.items
            assert items is not None
            for i, item in enumerate(value):
                value[i] = self.item(items, item, f"{path}[{i}]", trail, place)
            return value
        if typ.shape == "map":
            if type(value) is not dict:
                raise _mismatch(value, typ, place)
            assert typ.items is not None
            for key, item in value.items():
                value[key] = self.item(typ.items, item, f"{path}.{key}", trail, place)
            return value
        return _leaf(typ, value, place)

    def item(self, typ: Type, value: Any, path: str, trail: str, place: str) -> Any:
        """A list item or map value: null decodes to the zero value there."""
        if value is None:
            return _ZERO.get(typ.shape, lambda: None)()
        return self.value(typ, value, path, trail, place)


_ZERO: dict[str, Callable[[], Any]] = {
    "struct": dict, "string": str, "bool": bool, "int32": int, "int64": int, "number": int,
    "quantity": lambda: "0", "int-or-string": int, "list": list, "map": dict, "object": dict,
}  # fmt: skip


def _mismatch(value: Any, typ: Type, place: str, described: str = "") -> ValueError:
    target = f"Go struct field {place}" if place else "Go value"
    return ValueError(f"json: cannot unmarshal {described or _described(value)} into {target} of type {typ.go}")


def _leaf(typ: Type, value: Any, place: str) -> Any:
    shape = typ.shape
    if shape == "any":
        return value
    if shape == "quantity":
        return _quantity(value)
    if shape in ("time", "micro-time"):
        return _time(typ, value, place)
    if shape == "int-or-string":
        if type(value) is str or _int32(value):
            return value
        raise _mismatch(value, INT32 if type(value) is int else typ, place)
    if shape in ("int32", "int64", "number"):
        return _number(typ, value, place)
    if shape == "bytes":
        return _bytes(typ, value, place)
    if type(value) is not _LEAF_CLASS[shape]:
        raise _mismatch(value, typ, place)
    return value



def _number(typ: Type, value: Any, place: str) -> Any:
    if type(value) is int and typ.shape != "number":
        limit = _INT32 if typ.shape == "int32" else _INT64
        if not -limit <= value < limit:
            raise _mismatch(value, typ, place, f"number {value}")
    elif type(value) is float and typ.shape != "number":
        raise _mismatch(value, typ, place, f"number {value}")
    elif type(value) not in (int, float):
        raise _mismatch(value, typ, place)
    return value


def _bytes(typ: Type, value: Any, place: str) -> Any:
    if type(value) is not str:
        raise _mismatch(value, typ, place)
    compact = value.replace("\n", "").replace("\r", "")
    if not _BASE64.fullmatch(compact):
        bad = re.search(r"[^A-Za-z0-9+/]", compact)
        raise ValueError(f"illegal base64 data at input byte {bad.start() if bad else len(compact)}")
    return compact


def _quantity(value: Any) -> str:
    if type(value) not in (str, int, float):
        raise ValueError(quantity.MISMATCH)
    return quantity.remember(value.strip() if type(value) is str else quantity.canonical(value))


_TIME = re.compile(r"(\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|[+-]\d\d:\d\d)")


def _time(typ: Type, value: Any, place: str) -> str:
    if type(value) is not str:
        raise _mismatch(value, STRING, place)
    layout = "2006-01-02T15:04:05.000000Z07:00" if typ.shape == "micro-time" else "2006-01-02T15:04:05Z07:00"
    match = _TIME.fullmatch(value)
    if match:
        try:
            text = value.upper()
            if match[2]:
                # Python reads up to six digits of a second's fraction.
                text = text.replace(f".{match[2]}", f".{match[2][:6]:0<6}")
            moment = datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError):
            match = None
        else:
            # Not strftime, which writes the year 687 in three digits.
            exact = "microseconds" if typ.shape == "micro-time" else "seconds"
            return f"{moment.replace(tzinfo=None).isoformat(timespec=exact)}Z"
    raise ValueError(f'parsing time "{value}" as "{layout}": cannot parse "{value}" as "2006"')
