"""An expression's tree, out of the library's serialised form: to price it, to see what it names, to rewrite it.

The form is protobuf, cel.expr.CheckedExpr and ParsedExpr. Source: cel-spec, proto/cel/expr/syntax.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kybern.api.cel.escaping import unescaped

_POSITIONS = 4
_PARSED = "type.googleapis.com/cel.expr.ParsedExpr"
CONST, IDENT, SELECT, CALL, LIST, MAP, LOOP = 3, 4, 5, 6, 7, 8, 9


@dataclass(slots=True, eq=False)
class Node:
    """One part of an expression; `kind` is CONST ... LOOP.

    `parts`: SELECT its operand, CALL the target (if `target`) and arguments, LIST the elements, MAP keys and values
    in turn, LOOP the range, the start, condition, step and result.
    """

    kind: int
    id: int
    name: str = ""
    """Of an identifier, field, function, message or loop variable."""
    parts: list[Node] = field(default_factory=list)
    target: bool = False
    test: bool = False
    """Of a SELECT: has()."""
    value: Any = None
    """Of a CONST; of a MAP that makes a message the names of its fields."""
    variables: tuple[str, str] = ("", "")
    """Of a LOOP: its accumulator and second variable."""

    def walk(self) -> Iterator[Node]:
        """The node and all below."""
        yield self
        for part in self.parts:
            yield from part.walk()


@dataclass(slots=True)
class Tree:
    """An expression: its root and, if it is checked, the types of its nodes, as serialised."""

    root: Node
    types: dict[int, bytes]
    expression: bytes
    places: dict[int, int]
    """Node id -> where it is in the text, in characters."""


def read(data: bytes) -> Tree:
    """A serialised CheckedExpr or ParsedExpr."""
    said = dict(fields(data))
    place = 2 if said[1] == _PARSED.encode() else 4
    expression, types, places = b"", dict[int, bytes](), dict[int, int]()
    for number, value in fields(said[2]):
        if number == 3 and place == 4:
            entry = dict(fields(value))
            types[entry.get(1, 0)] = bytes(entry.get(2, b""))
        elif number == place:
            expression = value
        elif number == place + 1:
            entries = (dict(fields(entry)) for key, entry in fields(value) if key == _POSITIONS)
            places = {entry.get(1, 0): entry.get(2, 0) for entry in entries}
    return Tree(_node(expression), types, expression, places)


def parsed(data: bytes) -> bytes:
    """A serialised ParsedExpr of a serialised expression."""
    return _bytes(1, _PARSED.encode()) + _bytes(2, _bytes(2, data))


def _node(data: bytes) -> Node:
    made = Node(CONST, 0)
    for number, value in fields(data):
        if number == 2:
            made.id = value
        elif number in _READ:
            made.kind = number
            _READ[number](made, value)
    return made


def _read_const(made: Node, data: bytes) -> None:
    for number, value in fields(data):
        if number == 2:
            made.value = bool(value)
        elif number == 3:
            made.value = value - (1 << 64) if value >> 63 else value
        elif number == 5:
            made.value = struct.unpack("<d", value)[0]
        elif number == 6:
            made.value = value.decode()
        else:
            made.value = value


def _read_ident(made: Node, data: bytes) -> None:
    made.name = _name(data)


def _name(data: bytes) -> str:
    return str(dict(fields(data)).get(1, b"").decode())


def _read_select(made: Node, data: bytes) -> None:
    for number, value in fields(data):
        if number == 1:
            made.parts.append(_node(value))
        elif number == 2:
            made.name = value.decode()
        elif number == 3:
            made.test = bool(value)


def _read_call(made: Node, data: bytes) -> None:
    for number, value in fields(data):
        if number == 2:
            made.name = value.decode()
        else:
            made.target = made.target or number == 1
            made.parts.append(_node(value))


def _read_list(made: Node, data: bytes) -> None:
    made.parts = [_node(value) for number, value in fields(data) if number == 1]


def _read_map(made: Node, data: bytes) -> None:
    made.value = []
    for number, value in fields(data):
        if number == 1:
            made.name = value.decode()
        elif number == 2:
            made.parts += [_node(part) for key, part in fields(value) if key in (3, 4)]
            made.value += [part.decode() for key, part in fields(value) if key == 2]


def _read_loop(made: Node, data: bytes) -> None:
    said = dict(fields(data))
    made.name = said.get(1, b"").decode()
    made.variables = said.get(3, b"").decode(), said.get(8, b"").decode()
    made.parts = [_node(said[number]) for number in (2, 4, 5, 6, 7)]


_READ = {
    CONST: _read_const, IDENT: _read_ident, SELECT: _read_select, CALL: _read_call, LIST: _read_list,
    MAP: _read_map, LOOP: _read_loop,
}  # fmt: skip


# Rewriting works on the serialised form; this says where expressions hold others.
_INNER: dict[int, tuple[int, ...]] = {SELECT: (1,), CALL: (1, 3), LIST: (1,), LOOP: (2, 4, 5, 6, 7)}
_ENTRY, _ENTRY_PARTS, _FIELD_KEY, _MESSAGE_NAME, _STRING = 2, (3, 4), 2, 1, 6
_ZERO = b"\x1a\x02\x18\x00"
"""The serialised constant 0."""


def rewritten(data: bytes, wrappers: dict[str, str], optionals: frozenset[str]) -> bytes:
    """A serialised expression in which each call of a function in `wrappers` is the argument of what is named there,
    each variable in `optionals`, a list of one or none, is its optional first item, and messages are maps."""
    made, called = b"", ""
    for number, value in fields(data):
        if number == IDENT and _name(value) in optionals:
            return _bytes(CALL, _bytes(2, b"_[?_]") + _bytes(3, data) + _bytes(3, _ZERO))
        if number == CALL:
            called = dict(fields(value))[2].decode()
        if number in _INNER:
            value = _changed(value, _INNER[number], lambda part: rewritten(part, wrappers, optionals))
        elif number == MAP:
            value = _changed(value, (_ENTRY,), lambda entry: _rewritten_entry(entry, wrappers, optionals))
            value = b"".join(_field(key, part) for key, part in fields(value) if key != _MESSAGE_NAME)
        made += _field(number, value)
    return _bytes(CALL, _bytes(2, wrappers[called].encode()) + _bytes(3, made)) if called in wrappers else made


def _rewritten_entry(entry: bytes, wrappers: dict[str, str], optionals: frozenset[str]) -> bytes:
    entry = _changed(entry, _ENTRY_PARTS, lambda part: rewritten(part, wrappers, optionals))
    made = b""
    for number, value in fields(entry):
        if number == _FIELD_KEY:
            key = _bytes(CONST, _bytes(_STRING, unescaped(value.decode()).encode()))
            made += _bytes(_ENTRY_PARTS[0], key)
        else:
            made += _field(number, value)
    return made


def _changed(data: bytes, numbers: tuple[int, ...], change: Callable[[bytes], bytes]) -> bytes:
    made = ((number, change(value) if number in numbers else value) for number, value in fields(data))
    return b"".join(_field(number, value) for number, value in made)


# Protobuf's wire format.


def parts_of_type(raw: bytes) -> tuple[int, Any]:
    """(which field of cel.expr.Type says it, what it says) of a serialised type."""
    return next(fields(raw), (1, b""))


def fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a message: (number, an int or bytes)."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        wire = tag & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield tag >> 3, value
            continue
        size = 8 if wire == 1 else 4
        if wire == 2:
            size, at = _varint(data, at)
        yield tag >> 3, data[at : at + size]
        at += size


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7


def _encoded(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    made.append(value)
    return bytes(made)


def _field(number: int, value: int | bytes) -> bytes:
    return _encoded(number << 3) + _encoded(value) if isinstance(value, int) else _bytes(number, value)


def _bytes(number: int, value: bytes) -> bytes:
    return _encoded(number << 3 | 2) + _encoded(len(value)) + value
