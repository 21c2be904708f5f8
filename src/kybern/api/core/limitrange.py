"""LimitRange, v1. Source: API reference, LimitRange v1 core."""

from __future__ import annotations

from typing import Any

from kybern.api import quantity, validation
from kybern.api.cells import CREATED_AT
from kybern.api.field import Errors
from kybern.api.resource import Resource
from kybern.api.types import Object

_BOUNDS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


class LimitRange(Resource):
    kind, plural = "LimitRange", "limitranges"
    short_names = ("limits",)
    has_generation = False
    columns = (CREATED_AT,)

    def default(self, obj: Object) -> None:
        for limit in obj.setdefault("spec", {}).setdefault("limits", []):
            if limit.get("type") == "Container":
                _default_container(limit)

    def validate(self, obj: Object, errors: Errors) -> None:
        seen: set[str] = set()
        for index, limit in enumerate(obj["spec"].get("limits") or []):
            path, kind = f"spec.limits[{index}]", limit.get("type") or ""
            if kind in seen:
                errors.duplicate(f"{path}.type", kind)
            seen.add(kind)
            for bound in _BOUNDS:
                for name in limit.get(bound) or {}:
                    validation.resource_name(name, f"{path}.{bound}[{name}]", errors)
            if kind == "Pod":
                for bound in ("default", "defaultRequest"):
                    if limit.get(bound):
                        errors.forbidden(f"{path}.{bound}", "may not be specified when `type` is 'Pod'")
            if kind == "PersistentVolumeClaim" and not (
                "storage" in (limit.get("min") or {}) or "storage" in (limit.get("max") or {})
            ):
                detail = "either minimum or maximum storage value is required, but neither was provided"
                errors.required(f"{path}.limits", detail)
            _check_order(limit, path, errors)


def _default_container(limit: Object) -> None:
    """A default limit is the maximum, a default request the default limit or else the minimum."""
    default, request = limit.setdefault("default", {}), limit.setdefault("defaultRequest", {})
    for name, value in (limit.get("max") or {}).items():
        default.setdefault(name, value)
    for name, value in default.items():
        request.setdefault(name, value)
    for name, value in (limit.get("min") or {}).items():
        request.setdefault(name, value)
    for bound in ("default", "defaultRequest"):
        if not limit[bound]:
            del limit[bound]


def _check_order(limit: Object, path: str, errors: Errors) -> None:
    """min <= defaultRequest <= default <= max."""

    def exceeds(low: str, high: str, name: str) -> bool:
        first, second = (limit.get(low) or {}).get(name), (limit.get(high) or {}).get(name)
        return first is not None and second is not None and quantity.compare(first, second) > 0

    def complain(at: str, name: str, low: str, high: str, words: str) -> None:
        if exceeds(low, high, name):
            value: Any = str(limit[at][name])
            errors.invalid(f"{path}.{at}[{name}]", value, words.format(limit[low][name], limit[high][name]))

    for name in sorted({name for bound in _BOUNDS for name in limit.get(bound) or {}}):
        complain("min", name, "min", "max", "min value {0} is greater than max value {1}")
        words = "min value {0} is greater than default request value {1}"
        complain("defaultRequest", name, "min", "defaultRequest", words)
        words = "default request value {0} is greater than max value {1}"
        complain("defaultRequest", name, "defaultRequest", "max", words)
        words = "default request value {0} is greater than default limit value {1}"
        complain("defaultRequest", name, "defaultRequest", "default", words)
        complain("default", name, "min", "default", "min value {0} is greater than default value {1}")
        complain("default", name, "default", "max", "default value {0} is greater than max value {1}")
        ratio = (limit.get("maxLimitRequestRatio") or {}).get(name)
        if ratio is not None and quantity.parse(ratio) < 1:
            errors.invalid(f"{path}.maxLimitRequestRatio[{name}]", str(ratio), f"ratio {ratio} is less than 1")
