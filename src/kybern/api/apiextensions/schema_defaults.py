"""What defaults of a schema must be like: nothing the schema would prune or refuse, and none where maps have free keys
of metadata.

Source: Extend the API with CustomResourceDefinitions, "Defaulting and Nullable".
"""

from __future__ import annotations

from kybern.api.apiextensions import structural, values
from kybern.api.errors import BadRequest
from kybern.api.field import Errors
from kybern.api.patch import clone
from kybern.api.types import Object

_HEAD = ("apiVersion", "kind", "metadata")


def check(schema: Object, path: str, errors: Errors, *, root: bool = True) -> None:
    """Complain of the defaults of a node and of all below."""
    if schema.get("default") is not None:
        _check_default(schema, f"{path}.default", errors)
    items = schema.get("items")
    if isinstance(items, dict):
        check(items, f"{path}.items", errors, root=False)
    for name, child in (schema.get("properties") or {}).items():
        where = f"{path}.properties[{name}]"
        if root and name in _HEAD:
            if child.get("default") is not None:
                errors.forbidden(f"{where}.default", f"must not be set in top-level {name}")
            continue
        check(child, where, errors, root=False)
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        check(more, f"{path}.additionalProperties", errors, root=False)


def _check_default(schema: Object, path: str, errors: Errors) -> None:
    value = schema["default"]
    pruned = clone({"value": value})
    try:
        unknown = structural.prune({"type": "object", "properties": {"value": schema}}, {**pruned})
    except BadRequest as error:
        errors.invalid(path, value, f"must result in valid metadata: {error.message}")
        return
    if unknown:
        errors.invalid(path, value, "must not have unknown fields")
    values.check_value(schema, value, path, errors)
