"""Semantic versions 2.0.0. Source: "Common Expression Language in Kubernetes", Kubernetes semver library."""

from __future__ import annotations

import re
from typing import Any

from kybern.api.cel.declared import function, inside, method, opaque, succeeds

_NUMBER = r"(0|[1-9]\d*)"
_PRE = r"(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
_VERSION = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_PRE}(?:\.{_PRE})*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?", re.ASCII
)


def _parse(text: str, lenient: bool = False) -> dict[str, Any]:
    match = _VERSION.fullmatch(_normalized(text) if lenient else text)
    if match is None:
        raise ValueError(f'No Major.Minor.Patch elements found in "{text}"' if text.count(".") < 2 else
                         f'Invalid character(s) found in version "{text}"')  # fmt: skip
    if any(int(number) >= 2**63 for number in match.groups()[:3]):
        raise ValueError("value out of range")
    # Build metadata has no part in comparisons, and so none in equality.
    return opaque("Semver", [*map(int, match.groups()[:3]), match[4] or ""])


def _normalized(text: str) -> str:
    """Without a leading v and leading zeros, with minor and patch."""
    parts = text.removeprefix("v").split(".", 2)
    for index, part in enumerate(parts):
        if len(part) > 1:
            stripped = part.lstrip("0")
            parts[index] = stripped if stripped[:1].isdigit() else f"0{stripped}"
    if len(parts) < 3 and re.search(r"[+-]", parts[-1]):
        raise ValueError("short version cannot contain PreRelease/Build meta data")
    return ".".join([*parts, "0", "0"][: max(3, len(parts))])


def _rank(value: Any) -> tuple[Any, ...]:
    """What versions are ordered by: a release is after its pre-releases, numbers are before words."""
    major, minor, patch, pre = inside(value)
    words = [(0, int(word), "") if word.isdigit() else (1, 0, word) for word in pre.split(".")] if pre else []
    return major, minor, patch, not pre, words


def _compare(a: Any, b: Any) -> int:
    left, right = _rank(a), _rank(b)
    return (left > right) - (left < right)


FUNCTIONS = (
    function("semver", ["string"], "Semver", _parse),
    function("semver", ["string", "bool"], "Semver", _parse),
    function("isSemver", ["string"], "bool", succeeds(_parse)),
    function("isSemver", ["string", "bool"], "bool", succeeds(_parse)),
    method("Semver", "major", [], "int", lambda value: inside(value)[0]),
    method("Semver", "minor", [], "int", lambda value: inside(value)[1]),
    method("Semver", "patch", [], "int", lambda value: inside(value)[2]),
    method("Semver", "isLessThan", ["Semver"], "bool", lambda a, b: _compare(a, b) < 0),
    method("Semver", "isGreaterThan", ["Semver"], "bool", lambda a, b: _compare(a, b) > 0),
    method("Semver", "compareTo", ["Semver"], "int", _compare),
)
