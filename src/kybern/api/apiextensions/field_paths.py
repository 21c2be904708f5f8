"""Paths to fields of a schema: `.spec.replicas`, `.spec.labels['a.b']`, as rules and selectable fields have them.

Source: API reference, ValidationRule.fieldPath and SelectableField v1 apiextensions.k8s.io.
"""

from __future__ import annotations

import re

from kybern.api.types import Object

_PART = re.compile(r"\.([^.\[\]]+)|\['((?:[^'\\]|\\.)*)'\]")


class PathInvalid(Exception):
    """A path that leads nowhere in a schema; the message says why, in upstream's words."""


def resolve(path: str, schema: Object, *, brackets: bool = True) -> tuple[str, Object]:
    """(the path as errors show it, the schema there). Raises PathInvalid."""
    shown, at, found = "", 0, schema
    while at < len(path):
        match = _PART.match(path, at)
        if match is None:
            raise PathInvalid(f"expected [ or . but got: {path[at:]}")
        if match[2] is not None and not brackets:
            raise PathInvalid("array notation is not allowed")
        name = match[1] if match[1] is not None else re.sub(r"\\(.)", r"\1", match[2])
        properties, more = found.get("properties"), found.get("additionalProperties")
        if properties and name in properties:
            shown, found = f"{shown}.{name}", properties[name]
        elif not properties and isinstance(more, dict):
            shown, found = f"{shown}[{name}]", more
        else:
            raise PathInvalid("does not refer to a valid field")
        at = match.end()
    return shown, found
