"""Conditions as newer kinds report them. Source: API reference, Condition v1 meta.k8s.io."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kybern.api import names
from kybern.api.field import Errors
from kybern.api.types import Object

_STATUSES = ("False", "True", "Unknown")
_REASON = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_REASON_TEXT = (
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric "
    "characters or '_,:', and must end with an alphanumeric character or '_' (e.g. 'my_name',  or 'MY_NAME',  or "
    f"'MyName',  or 'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is '{_REASON}')"
)
_REASON_LENGTH, _MESSAGE_LENGTH = 1024, 32 * 1024
_is_reason = re.compile(_REASON, re.ASCII).fullmatch


def validate_conditions(conditions: Iterable[Object] | None, path: str, errors: Errors) -> None:
    """Each type once, and each condition complete."""
    seen: set[str] = set()
    for index, condition in enumerate(conditions or ()):
        kind, here = condition.get("type") or "", f"{path}[{index}]"
        if kind in seen:
            errors.duplicate(f"{here}.type", kind)
        seen.add(kind)
        _check(condition, here, errors)


def _check(condition: Object, path: str, errors: Errors) -> None:
    for problem in names.qualified_name(condition.get("type") or ""):
        errors.invalid(f"{path}.type", condition.get("type") or "", problem)
    status, reason = condition.get("status") or "", condition.get("reason") or ""
    if status not in _STATUSES:
        errors.unsupported(f"{path}.status", status, _STATUSES)
    observed = condition.get("observedGeneration") or 0
    if observed < 0:
        errors.invalid(f"{path}.observedGeneration", observed, "must be greater than or equal to zero")
    if not condition.get("lastTransitionTime"):
        errors.required(f"{path}.lastTransitionTime", "must be set")
    if not reason:
        errors.required(f"{path}.reason", "must be set")
    else:
        if not _is_reason(reason):
            errors.invalid(f"{path}.reason", reason, _REASON_TEXT)
        if len(reason) > _REASON_LENGTH:
            errors.too_long(f"{path}.reason", _REASON_LENGTH)
    if len(condition.get("message") or "") > _MESSAGE_LENGTH:
        errors.too_long(f"{path}.message", _MESSAGE_LENGTH)
