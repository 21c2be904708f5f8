"""References to other objects that kinds of this group share, by group, kind or resource, and name."""

from __future__ import annotations

from kybern.api import names
from kybern.api.field import Errors
from kybern.api.types import Object


def check_typed(reference: Object, path: str, errors: Errors) -> None:
    """apiGroup, kind and name of an object somewhere."""
    check_group(reference.get("apiGroup"), f"{path}.apiGroup", errors)
    for key in ("kind", "name"):
        check_segment(reference.get(key), f"{path}.{key}", errors)


def check_group(group: str | None, path: str, errors: Errors) -> None:
    """An API group; None passes."""
    if group is not None:
        for problem in names.dns_subdomain(group):
            errors.invalid(path, group, problem)


def check_segment(value: str | None, path: str, errors: Errors) -> None:
    """A required name that may stand in a path."""
    if not value:
        errors.required(path)
        return
    for problem in names.path_segment(value):
        errors.invalid(path, value, problem)
