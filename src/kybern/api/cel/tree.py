"""An expression's tree, out of the library's serialised form: to price it, to see what it names, to rewrite it.

The form is protobuf, cel.expr.CheckedExpr and ParsedExpr. Source: cel-spec, proto/cel/expr/syntax.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from kybern.api.cel.escaping import unescaped

_POSITIONS = 4
_LOOP_PARTS = (2, 4, 5, 6, 7)
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
    raw: bytes = b""
    """Of a CONST: as serialised."""
    optional: tuple[int, ...] = ()
    """The places of optional items, or pairs."""
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
    return Tree(_node(expression), types, places)


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
    made.raw = data
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
    for number, value in fields(data):
        if number == 1:
            made.parts.append(_node(value))
        else:
            made.optional += _varints(value) if isinstance(value, bytes) else (value,)


def _read_map(made: Node, data: bytes) -> None:
    made.value = []
    for number, value in fields(data):
        if number == 1:
            made.name = value.decode()
        elif number == 2:
            said = dict(fields(value))
            if said.get(5):
                made.optional += (len(made.value),)
            key = text(unescaped(said[2].decode())) if 2 in said else _node(said[3])
            made.value.append(said[2].decode() if 2 in said else "")
            made.parts += [key, _node(said[4])]


def _read_loop(made: Node, data: bytes) -> None:
    said = dict(fields(data))
    made.name = said.get(1, b"").decode()
    made.variables = said.get(3, b"").decode(), said.get(8, b"").decode()
    made.parts = [_node(said[number]) for number in _LOOP_PARTS]


_READ = {
    CONST: _read_const, IDENT: _read_ident, SELECT: _read_select, CALL: _read_call, LIST: _read_list,
    MAP: _read_map, LOOP: _read_loop,
}  # fmt: skip


# Writing.


def written(node: Node) -> bytes:
    """A serialised expression."""
    return (_field(2, node.id) if node.id else b"") + _bytes(node.kind, _WRITE[node.kind](node))


def _write_const(node: Node) -> bytes:
    return bytes(node.raw)


def _write_ident(node: Node) -> bytes:
    return _bytes(1, node.name.encode())


def _write_select(node: Node) -> bytes:
    test = _field(3, 1) if node.test else b""
    return _bytes(1, written(node.parts[0])) + _bytes(2, node.name.encode()) + test


def _write_call(node: Node) -> bytes:
    parts = [_bytes(1 if node.target and not index else 3, written(part)) for index, part in enumerate(node.parts)]
    return b"".join((parts.pop(0) if node.target else b"", _bytes(2, node.name.encode()), *parts))


def _write_list(node: Node) -> bytes:
    optional = b"".join(_field(2, index) for index in node.optional)
    return b"".join(_bytes(1, written(part)) for part in node.parts) + optional


def _write_map(node: Node) -> bytes:
    made = b""
    for index in range(len(node.parts) // 2):
        optional = _field(5, 1) if index in node.optional else b""
        key, value = (written(part) for part in node.parts[2 * index : 2 * index + 2])
        made += _bytes(2, _bytes(3, key) + _bytes(4, value) + optional)
    return made


def _write_loop(node: Node) -> bytes:
    accumulator, second = node.variables
    names = _bytes(1, node.name.encode()) + _bytes(3, accumulator.encode())
    parts = b"".join(_bytes(number, written(part)) for number, part in zip(_LOOP_PARTS, node.parts, strict=True))
    return names + parts + (_bytes(8, second.encode()) if second else b"")


_WRITE = {
    CONST: _write_const, IDENT: _write_ident, SELECT: _write_select, CALL: _write_call, LIST: _write_list,
    MAP: _write_map, LOOP: _write_loop,
}  # fmt: skip


# Making.


def integer(value: int) -> Node:
    """A constant."""
    return Node(CONST, 0, value=value, raw=_field(3, value))


def text(value: str) -> Node:
    """A constant."""
    return Node(CONST, 0, value=value, raw=_bytes(6, value.encode()))


def truth(value: bool) -> Node:
    """A constant."""
    return Node(CONST, 0, value=value, raw=_field(2, value))


def name(value: str) -> Node:
    """An identifier."""
    return Node(IDENT, 0, value)


def call(function: str, *parts: Node) -> Node:
    """A call without a target."""
    return Node(CALL, 0, function, list(parts))


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


def _varints(data: bytes) -> tuple[int, ...]:
    found, at = [], 0
    while at < len(data):
        value, at = _varint(data, at)
        found.append(value)
    return tuple(found)


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
