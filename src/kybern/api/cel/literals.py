"""What is wrong with literals that the types are right of: durations, times and patterns that are none, and lists and
maps of several types.

Source: Kubernetes documentation, "Common Expression Language in Kubernetes"; cel-go, validators.
"""

from __future__ import annotations

from collections.abc import Iterator

from kybern.api import regex
from kybern.api.apiextensions import formats
from kybern.api.cel.tree import CALL, CONST, LIST, MAP, Node, Tree, fields, parts_of_type

_ARGUMENTS = {"matches": (1, "matches"), "find": (1, "find"), "findAll": (1, "findAll")}
_PRIMITIVES = ("dyn", "bool", "int", "uint", "double", "string", "bytes")
_WELL_KNOWN = ("any", "any", "timestamp", "duration")
_PRIMITIVE, _WRAPPER, _KNOWN, _LIST, _MAP, _MESSAGE, _OPAQUE, _NULL, _DYN = 3, 4, 5, 6, 7, 9, 14, 2, 1
_MAY_MIX = frozenset(("format",))
"""Functions whose lists and maps may have values of several types."""


def problems(tree: Tree, text: str) -> str:
    """All complaints, as the checker words its own; "" for none."""
    return "\n".join(_shown(text, tree.places.get(node.id, 0), said) for node, said in _walk(tree, tree.root))


def _shown(text: str, offset: int, said: str) -> str:
    before = text[:offset]
    line, column = before.count("\n") + 1, offset - (before.rfind("\n") + 1)
    return f"ERROR: <input>:{line}:{column + 1}: {said}\n | {text.splitlines()[line - 1]}\n | {'.' * column}^"


def _walk(tree: Tree, node: Node, mixed: bool = False) -> Iterator[tuple[Node, str]]:
    """(node, complaint) pairs, in order. `mixed`: lists and maps here may have several types."""
    if node.kind == CALL:
        yield from _argument(node)
    elif node.kind == LIST and not mixed:
        yield from _same(tree, node.parts)
    elif node.kind == MAP and not node.name and not mixed:
        yield from _same(tree, node.parts[::2])
        yield from _same(tree, node.parts[1::2])
    for part in node.parts:
        yield from _walk(tree, part, mixed or (node.kind == CALL and node.name in _MAY_MIX))


def _argument(node: Node) -> Iterator[tuple[Node, str]]:
    place, name = _ARGUMENTS.get(node.name, (0, node.name))
    if len(node.parts) <= place or node.parts[place].kind != CONST or not isinstance(node.parts[place].value, str):
        return
    literal = node.parts[place]
    if not _is_good(node.name, literal.value):
        yield literal, f"invalid {name} argument"


def _is_good(function: str, literal: str) -> bool:
    if function == "duration":
        return formats.fits("duration", literal)
    if function == "timestamp":
        return formats.fits("date-time", literal)
    if function in _ARGUMENTS:
        try:
            regex.compiled(literal)
        except ValueError:
            return False
    return True


def _same(tree: Tree, parts: list[Node]) -> Iterator[tuple[Node, str]]:
    wanted = ""
    for part in parts:
        raw = tree.types.get(part.id)
        if raw is None:
            return
        found = _name(raw).removeprefix("optional_type(")
        found = found[:-1] if found != _name(raw) else found
        if found == "dyn":
            continue
        if wanted and found != wanted:
            yield part, f"expected type '{wanted}' but found '{found}'"
            return
        wanted = found


def _name(raw: bytes) -> str:
    """A type as errors name it, of its serialised form."""
    kind, value = parts_of_type(raw)
    if kind == _PRIMITIVE and isinstance(value, int):
        return _PRIMITIVES[value]
    if kind == _WRAPPER and isinstance(value, int):
        return f"wrapper({_PRIMITIVES[value]})"
    if kind == _KNOWN and isinstance(value, int):
        return _WELL_KNOWN[value]
    if kind == _MESSAGE and isinstance(value, bytes):
        return value.decode()
    if kind in (_LIST, _MAP) and isinstance(value, bytes):
        inner = ", ".join(_name(part) for _, part in _inner(value))
        return f"{'list' if kind == _LIST else 'map'}({inner})"
    if kind == _OPAQUE and isinstance(value, bytes):
        said = _inner(value)
        inner = ", ".join(_name(part) for number, part in said if number == 2)
        name = next((part.decode() for number, part in said if number == 1), "")
        return f"{name}({inner})" if inner else name
    return "null" if kind == _NULL else "dyn"


def _inner(value: bytes) -> list[tuple[int, bytes]]:
    return [(number, part) for number, part in fields(value) if isinstance(part, bytes)]
