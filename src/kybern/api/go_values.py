"""JSON values as Go's fmt prints them: messages of upstream's show them so."""

from __future__ import annotations

from typing import Any


def go_value(value: Any) -> str:
    """`map[a:1 b:[x y]]`"""
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{go_value(value[key])}' for key in sorted(value))}]"
    if isinstance(value, list):
        return f"[{' '.join(map(go_value, value))}]"
    if value is None:
        return "<nil>"
    return str(value).lower() if isinstance(value, bool) else str(value)
