"""Makes an expression less deep for the library's parser, whose limit of 32 is fixed: upstream's is 250.

Long sums are put in parentheses by halves, and parentheses around parentheses are left out. The value is the same: sums
can be made in any order. Source: cel-spec, doc/langdef.md, "Syntax".
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TypeAlias

DEPTH, _LIBRARY = 250, 32
_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
    |(?P<string>[bB]?[rR][bB]?(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*')
        |[bB]?(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?[uU]?)
    |(?P<word>[A-Za-z_]\w*|`[^`\n]*`)
    |(?P<sign>&&|\|\||[=!<>]=|[-+*/%!<>?:,.(){}\[\]])""",
    re.VERBOSE | re.DOTALL,
)
_LOOSER = frozenset(("?", ":", ",", "&&", "||", "==", "!=", "<", "<=", ">", ">=", "in"))
"""What binds less than a sum."""
_CLOSING = {")": "(", "]": "[", "}": "{"}
_LONG = 4


@dataclass(slots=True)
class _Group:
    """What stands between brackets."""

    opened: str
    items: list[_Item] = field(default_factory=list)
    closed: str = ""
    depth: int = 1


_Item: TypeAlias = "str | _Group"


def reduced(text: str) -> str:
    """The expression, less deep where that can be."""
    root = _grouped(text)
    return text if root is None else _shown(root.items)


def _grouped(text: str) -> _Group | None:
    """Its tokens, by brackets; None of what is no expression."""
    stack, at = [_Group("")], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or len(stack) > DEPTH:
            return None
        at, token = match.end(), match[0]
        if match.lastgroup == "space":
            continue
        if token in _CLOSING:
            if stack[-1].opened != _CLOSING[token]:
                return None
            group = _closed(stack.pop(), token)
            stack[-1].items.append(group)
            stack[-1].depth = max(stack[-1].depth, group.depth + 1)
        elif token in "([{":
            stack.append(_Group(token))
        else:
            stack[-1].items.append(token)
    return stack[0] if len(stack) == 1 and stack[0].depth <= _LIBRARY else None


def _closed(group: _Group, token: str) -> _Group:
    """A whole group; of one around another the inner one."""
    group.closed = token
    inner = group.items[0] if len(group.items) == 1 else None
    return inner if isinstance(inner, _Group) and inner.opened == group.opened == "(" else group


def _shown(items: list[_Item]) -> str:
    """The text of items, sum by sum."""
    made, part = list[str](), list[_Item]()
    for item in items:
        if isinstance(item, str) and item in _LOOSER:
            made += [_sum(part), item]
            part = []
        else:
            part.append(item)
    return " ".join((*made, _sum(part)))


def _sum(items: list[_Item]) -> str:
    terms: list[list[_Item]] = [[]]
    for item in items:
        if item == "+":
            terms.append([])
        elif item == "-" and terms[-1] and not _is_sign(terms[-1][-1]):
            # What is taken away is taken from all before.
            return " ".join(map(_text, items))
        else:
            terms[-1].append(item)
    texts = [" ".join(map(_text, term)) for term in terms]
    return _halved(texts) if _LONG < len(texts) <= DEPTH else " + ".join(texts)


def _is_sign(item: _Item) -> bool:
    return isinstance(item, str) and item in "*/%!-"


def _halved(texts: list[str]) -> str:
    if len(texts) == 1:
        return texts[0]
    middle = len(texts) // 2
    return f"({_halved(texts[:middle])} + {_halved(texts[middle:])})"


def _text(item: _Item) -> str:
    return item if isinstance(item, str) else f"{item.opened}{_shown(item.items)}{item.closed}"
