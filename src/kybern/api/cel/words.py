"""What upstream says where the library says it in other words.

Upstream's are cel-go's, those of the library cel-cpp's.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_CODE = re.compile(r"^[A-Z_]+: ")
_TAIL = re.compile(r" \[[A-Z_]+\]$")
_STRUCT = re.compile(r"undefined field '([^']*)' not found in struct '[^']*'")
_SELECT = re.compile(r"expression of type '([^']*)' cannot be the operand of a select operation")
_UNDECLARED = re.compile(
    r"<input>:(\d+):(\d+): undeclared reference to '(\w+)((?:\.\w+)*)\.\w+'( \(in container ''\)\n \| .*\n \| )\.*\^"
)
_MESSAGE = re.compile(r"\bschema\.T\d+\b")
OUT_OF_BUDGET = "operation cancelled: actual cost limit exceeded"
NO_OVERLOAD = "no such overload"
TOO_MANY_ROUNDS = "Iteration budget exceeded"
"""In what the library says when it ends an evaluation."""
TOO_DEEP = re.compile(r"max recursion depth|recursion limit")
"""In what the parser says of expressions that are nested too deep."""

NO_ATTRIBUTE = "no such attribute(s): "
"""How the failure begins that a name has no value; the name follows."""
_FAILURES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile(r'^Key not found in map : "?(.*?)"?$'), r"no such key: \1"),
    (re.compile(r"^Index error: index=(-?\d+) size=\d+$"), r"index out of bounds: \1"),
    (re.compile(r"^divide by zero$"), "division by zero"),
    (re.compile(r"^(No matching overloads found|Applying SELECT|Invalid container|Index err).*$"), NO_OVERLOAD),
    (re.compile(r'^No value with name "(.*)" found in Activation$'), rf"{NO_ATTRIBUTE}\1"),
    (re.compile(r"^flatten\(\): level must"), "level must"),
    (re.compile(r"^sort\(\): list elements"), "list elements"),
    (re.compile(r"^Type conversion error"), "type conversion error"),
    (re.compile(r"^\w+ out of uint64 range$"), "unsigned integer overflow"),
    (re.compile(r"^\w+ out of int64 range$"), "integer overflow"),
    (re.compile(r"^cannot convert string to (\w+)$"), r"type conversion error from 'string' to '\1'"),
    (re.compile(r"^String to (Timestamp|Duration) conversion failed$"),
     lambda m: f"type conversion error from 'string' to 'google.protobuf.{m[1]}'"),
)  # fmt: skip


def compilation(text: str) -> str:
    """Why an expression is none: `ERROR: <input>:1:5: ...` and the place in it."""
    text = _TAIL.sub("", _CODE.sub("", text))
    text = _STRUCT.sub(r"undefined field '\1'", text)
    text = _UNDECLARED.sub(_at_root, text)
    text = _SELECT.sub(r"type '\1' does not support field selection", text)
    return _MESSAGE.sub("object", text)


def _at_root(match: re.Match[str]) -> str:
    """`params.x`, both unknown: upstream misses `params`, and points at it."""
    line, column, root, middle, tail = match.groups()
    start = max(1, int(column) - len(root + middle))
    return f"<input>:{line}:{start}: undeclared reference to '{root}'{tail}{'.' * (start - 1)}^"


def failure(text: str) -> str:
    """Why an evaluation failed."""
    text = _TAIL.sub("", _CODE.sub("", text))
    for pattern, said in _FAILURES:
        if pattern.match(text):
            return pattern.sub(said, text)
    return text
