"""Names of properties as identifiers of the language. Source: "Validation rules", "Accessible property names"."""

from __future__ import annotations

import re

RESERVED = frozenset(
    ("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import",
     "let", "loop", "package", "namespace", "return", "var", "void", "while")
)  # fmt: skip
_ESCAPES = (("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__"))
_NAME = re.compile(r"[A-Za-z_./-][A-Za-z0-9_./-]*")


def unescaped(name: str) -> str:
    """The property that an identifier stands for."""
    if name.startswith("__") and name.endswith("__") and name[2:-2] in RESERVED:
        return name[2:-2]
    for sign, word in reversed(_ESCAPES):
        name = name.replace(word, sign)
    return name


def escaped(name: str) -> str:
    """A property's name as an identifier: `a-b` -> `a__dash__b`, `namespace` -> `__namespace__`; "" if none."""
    if name in RESERVED:
        return f"__{name}__"
    if not _NAME.fullmatch(name):
        return ""
    for sign, word in _ESCAPES:
        name = name.replace(sign, word) if sign == "__" or sign in name else name
    return name
