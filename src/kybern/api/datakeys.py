"""What ConfigMap and Secret share: the keys of their data, and `immutable`."""

from __future__ import annotations

from collections.abc import Iterable

from kybern.api import names
from kybern.api.field import Errors
from kybern.api.types import Object


def check_keys(keys: Iterable[str], path: str, errors: Errors) -> None:
    """Complain of keys that couldn't be file names of a volume."""
    for key in keys:
        for problem in names.config_key(key):
            errors.invalid(f"{path}[{key}]", key, problem)


def check_immutable_data(obj: Object, old: Object, fields: tuple[str, ...], errors: Errors) -> None:
    """Complain of changes to an object whose `immutable` is true."""
    if not old.get("immutable"):
        return
    if not obj.get("immutable"):
        errors.forbidden("immutable", "field is immutable when `immutable` is set")
    for name in fields:
        if (obj.get(name) or {}) != (old.get(name) or {}):
            errors.forbidden(name, "field is immutable when `immutable` is set")
