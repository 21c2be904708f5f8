"""Expressions that say how an object is to be changed: `Object{spec: Object.spec{replicas: 1}}` and lists of JSONPatch.

The messages they make have the names of their places in the object, and are known by these expressions only; what
comes out is JSON. Source: Kubernetes documentation, "Mutating Admission Policy".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from kybern.api.admissionregistration import variables
from kybern.api.cel import environment, tree, words
from kybern.api.cel.messages import Messages
from kybern.api.cel.program import ExpressionError, Program, compiled, parsed
from kybern.api.cel.tree import LIST, MAP, Node

RESULTS = {"ApplyConfiguration": ("Object", "Object"), "JSONPatch": ("list<JSONPatch>", "list(JSONPatch)")}
"""patchType -> the type that an expression must have, and how errors name it."""
_EXTENSIONS = ("jsonpatch",)
_JSON_PATCH = {"op": "string", "path": "string", "from": "string", "value": "dyn"}
# A dot is not to be had in the name of a message among others of its kind, and an underscore is as long.
_NAME = re.compile(r"""('(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")|\bObject((?:\s*\.\s*\w+)+)(?=\s*\{)""")
_MADE = re.compile(r"\bObject((?:_[A-Za-z]\w*?)+)\b")


def uncompilable(text: str, kind: str, known: Mapping[str, str]) -> str:
    """Why an expression is none for a patchType; "" if it is."""
    try:
        program = mutation(text, known)
    except ExpressionError as error:
        return str(error)
    wanted, shown = RESULTS[kind]
    return "" if program.result == wanted else f"must evaluate to {shown}"


def mutation(text: str, known: Mapping[str, str]) -> Program:
    """The program of an expression. Raises ExpressionError."""
    try:
        return _mutation(_NAME.sub(lambda match: match[1] or "Object" + match[2].replace(".", "_"), text), _key(known))
    except ExpressionError as error:
        raise ExpressionError(_MADE.sub(lambda match: f"Object{match[1].replace('_', '.')}", str(error))) from None


def _key(known: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(known.items()))


@lru_cache(maxsize=512)
def _mutation(text: str, known: tuple[tuple[str, str], ...]) -> Program:
    try:
        expression = parsed(environment.checking(known, None, _EXTENSIONS), text, checks=False)
    except (RuntimeError, ValueError) as error:
        raise ExpressionError(f"compilation failed: {words.compilation(str(error))}") from None
    made: dict[str, dict[str, str]] = {"JSONPatch": _JSON_PATCH}
    for node in tree.read(expression.serialize()).root.walk():
        if node.kind == MAP and node.name.startswith("Object"):
            made.setdefault(node.name, {}).update(dict.fromkeys(node.value, "dyn"))
    messages = Messages(variables.SCHEMA, whole=False, verbatim=True, more=made)
    program = compiled(text, dict(known), messages, extensions=_EXTENSIONS)
    for node in program.tree.root.walk():
        _check_places(node)
    return program


def _check_places(node: Node) -> None:
    """Raise ExpressionError if a message is not named as the field it is in."""
    if node.kind != MAP or not node.name.startswith("Object"):
        return
    for field, part in zip(node.value, node.parts[1::2], strict=True):
        for inner in part.parts if part.kind == LIST else (part,):
            place = f"{node.name}_{field}"
            if inner.kind == MAP and inner.name and inner.name != place:
                raise ExpressionError(
                    f'type mismatch: unexpected type name "{inner.name}", expected "{place}", which matches field name '
                    "path from root Object type"
                )


