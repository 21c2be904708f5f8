"""CEL's extended strings, version 2, without strings.format, which is in formatting.py.

Positions count characters. Source: cel-go, extension "Strings".
"""

from __future__ import annotations

from kybern.api.cel.declared import function, method

_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v", "\\": "\\\\"}


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise ValueError(f"index out of range: {index}")
    return text[index : index + 1]


def _index_of(text: str, part: str, start: int = 0) -> int:
    if not part:
        return start
    if not 0 <= start <= len(text):
        raise ValueError(f"index out of range: {start}")
    return text.find(part, start)


def _last_index_of(text: str, part: str, last: int | None = None) -> int:
    if last is None:
        return text.rfind(part)
    if not part:
        return last
    if not 0 <= last <= len(text):
        raise ValueError(f"index out of range: {last}")
    return text.rfind(part, 0, last + len(part))


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    return text.replace(old, new, count)


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if separator:
        return text.split(separator, limit - 1 if limit > 0 else -1)
    parts = list(text)
    return parts if limit < 0 or len(parts) <= limit else [*parts[: limit - 1], "".join(parts[limit - 1 :])]


def _substring(text: str, start: int, end: int | None = None) -> str:
    end = len(text) if end is None else end
    if not 0 <= start <= len(text):
        raise ValueError(f"index out of range: {start}")
    if not 0 <= end <= len(text):
        raise ValueError(f"index out of range: {end}")
    if start > end:
        raise ValueError(f"invalid substring range. start: {start}, end: {end}")
    return text[start:end]


def _join(parts: list[str], separator: str = "") -> str:
    if not all(isinstance(part, str) for part in parts):
        raise ValueError("no such overload")
    return separator.join(parts)


def _ascii(text: str, upper: bool) -> str:
    first, last, shift = ("a", "z", -32) if upper else ("A", "Z", 32)
    return "".join(chr(ord(char) + shift) if first <= char <= last else char for char in text)


def _quote(text: str) -> str:
    return '"' + "".join('\\"' if char == '"' else _ESCAPES.get(char, char) for char in text) + '"'


FUNCTIONS = (
    method("string", "charAt", ["int"], "string", _char_at),
    method("string", "indexOf", ["string"], "int", _index_of),
    method("string", "indexOf", ["string", "int"], "int", _index_of),
    method("string", "lastIndexOf", ["string"], "int", _last_index_of),
    method("string", "lastIndexOf", ["string", "int"], "int", _last_index_of),
    method("string", "lowerAscii", [], "string", lambda text: _ascii(text, False)),
    method("string", "upperAscii", [], "string", lambda text: _ascii(text, True)),
    method("string", "replace", ["string", "string"], "string", _replace),
    method("string", "replace", ["string", "string", "int"], "string", _replace),
    method("string", "split", ["string"], "list<string>", _split),
    method("string", "split", ["string", "int"], "list<string>", _split),
    method("string", "substring", ["int"], "string", _substring),
    method("string", "substring", ["int", "int"], "string", _substring),
    method("string", "trim", [], "string", str.strip),
    method("list<string>", "join", [], "string", _join),
    method("list<string>", "join", ["string"], "string", _join),
    function("strings.quote", ["string"], "string", _quote),
)
