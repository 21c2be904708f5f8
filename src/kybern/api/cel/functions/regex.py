"""find and findAll. Source: "Common Expression Language in Kubernetes", Kubernetes regex library."""

from __future__ import annotations

from typing import Any

from kybern.api.cel.declared import method
from kybern.api.regex import compiled


def _compiled(pattern: str) -> Any:
    try:
        return compiled(pattern)
    except ValueError as error:
        raise ValueError(f"Illegal regex: {error}") from None


def _find(text: str, pattern: str) -> str:
    found = _compiled(pattern).search(text)
    return found[0] if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [match[0] for match in _compiled(pattern).finditer(text)]
    return found if limit < 0 else found[:limit]


FUNCTIONS = (
    method("string", "find", ["string"], "string", _find),
    method("string", "findAll", ["string"], "list<string>", _find_all),
    method("string", "findAll", ["string", "int"], "list<string>", _find_all),
)
