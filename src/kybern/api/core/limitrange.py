"""LimitRange, v1. Source: API reference, LimitRange v1 core."""

from __future__ import annotations

from kybern.api import names, quantity
from kybern.api.cells import CREATED_AT
from kybern.api.core import resource_names
from kybern.api.field import Errors
from kybern.api.resource import Resource
from kybern.api.types import Object

_OF_PODS = ("Container", "Pod")
_TYPES = (*_OF_PODS, "PersistentVolumeClaim")
_DEFAULTS = ("default", "defaultRequest")
_BOUNDS = ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


class LimitRange(Resource):
    kind, plural = "LimitRange", "limitranges"
    creates_on_update = True
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
            _check_type(kind, f"{path}.type", errors)
            if kind in seen:
                errors.duplicate(f"{path}.type", kind)
            seen.add(kind)
            rule = resource_names.check_container_name if kind in _OF_PODS else resource_names.check_name
            for bound in _BOUNDS:
                if kind == "Pod" and bound in _DEFAULTS:
                    continue
                for name in limit.get(bound) or {}:
                    rule(name, f"{path}.{bound}[{name}]", errors)
            if kind == "Pod":
                for bound in ("default", "defaultRequest"):
                    if limit.get(bound):
                        errors.forbidden(f"{path}.{bound}", "may not be specified when `type` is 'Pod'")
            if kind == "PersistentVolumeClaim" and not (
                "storage" in (limit.get("min") or {}) or "storage" in (limit.get("max") or {})
            ):
                detail = "either minimum or maximum storage value is required, but neither was provided"
                errors.required(f"{path}.limits", detail)
            _check_order(_without_defaults(limit) if kind == "Pod" else limit, path, errors)


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

    def complain(at: str, name: str, low: str, high: str, words: str, value: str = "") -> None:
        if exceeds(low, high, name):
            shown = quantity.canonical(limit[value or at][name])
            first, second = (quantity.canonical(limit[one][name]) for one in (low, high))
            errors.invalid(f"{path}.{at}[{name}]", shown, words.format(first, second))

    for name in sorted({name for bound in _BOUNDS for name in limit.get(bound) or {}}):
        complain("min", name, "min", "max", "min value {0} is greater than max value {1}")
        words = "min value {0} is greater than default request value {1}"
        complain("defaultRequest", name, "min", "defaultRequest", words)
        words = "default request value {0} is greater than max value {1}"
        complain("defaultRequest", name, "defaultRequest", "max", words)
        words = "default request value {0} is greater than default limit value {1}"
        complain("defaultRequest", name, "defaultRequest", "default", words)
        complain("default", name, "min", "default", "min value {0} is greater than default value {1}", "min")
        complain("default", name, "default", "max", "default value {0} is greater than max value {1}", "max")
        _check_ratio(limit, name, path, errors)
        default, request = ((limit.get(bound) or {}).get(name) for bound in _DEFAULTS)
        if resource_names.may_be_overcommitted(name) or default is None or request is None:
            continue
        if quantity.compare(default, request):
            first, second = quantity.canonical(default), quantity.canonical(request)
            detail = f"default value {first} must equal to defaultRequest value {second} in {name}"
            errors.invalid(f"{path}.defaultRequest[{name}]", second, detail)


def _check_ratio(limit: Object, name: str, path: str, errors: Errors) -> None:
    ratio = (limit.get("maxLimitRequestRatio") or {}).get(name)
    if ratio is None:
        return
    shown, path = quantity.canonical(ratio), f"{path}.maxLimitRequestRatio[{name}]"
    if quantity.parse(ratio) < 1:
        errors.invalid(path, shown, f"ratio {shown} is less than 1")
    least, most = ((limit.get(bound) or {}).get(name) for bound in ("min", "max"))
    if least is None or most is None or not quantity.parse(least):
        return
    possible = float(quantity.parse(most) / quantity.parse(least))
    if float(quantity.parse(ratio)) > possible:
        errors.invalid(path, shown, f"ratio {shown} is greater than max/min = {possible:f}")


def _without_defaults(limit: Object) -> Object:
    return {key: value for key, value in limit.items() if key not in _DEFAULTS}


def _check_type(kind: str, path: str, errors: Errors) -> None:
    problems = names.qualified_name(kind)
    for problem in problems:
        errors.invalid(path, kind, problem)
    if not problems and "/" not in kind and kind not in _TYPES:
        errors.invalid(path, kind, "must be a standard limit type or fully qualified")
