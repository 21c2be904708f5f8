"""Rules of resource requirements: of containers, of pods as a whole, of pod overhead.

Source: API reference, ResourceRequirements v1; "Resource Management for Pods and Containers", "Manage HugePages".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kybern.api import names, quantity
from kybern.api.core import pod_resources
from kybern.api.core.podspec_checks import follows
from kybern.api.field import Errors, FieldError
from kybern.api.types import Object

_HUGE = "hugepages-"
_COMPUTE = ("cpu", "memory")
_CONTAINER = frozenset(("cpu", "memory", "ephemeral-storage"))
_COUNTED = frozenset(
    ("pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps",
     "persistentvolumeclaims", "services.nodeports", "services.loadbalancers")
)  # fmt: skip
_STANDARD = (
    _CONTAINER | _COUNTED | {"storage", "requests.storage"}
    | {f"{kind}.{name}" for kind in ("requests", "limits") for name in _CONTAINER}
)  # fmt: skip
_OF_PODS = ("cpu", _HUGE, "memory")

NameRule = Callable[[str, str, Errors], None]


def validate_requirements(resources: Object, claims: frozenset[str], path: str, errors: Errors) -> None:
    """A container's resources; `claims` are the names of its pod's resource claims."""
    _requirements(resources, _container_name, path, errors)
    if resources.get("claims"):
        _claims(resources["claims"], claims, f"{path}.claims", errors)


def validate_overhead(overhead: Object, path: str, errors: Errors) -> None:
    """A pod's overhead, which upstream treats as limits."""
    _requirements({"limits": overhead}, _container_name, path, errors)


def validate_pod_resources(spec: Object, path: str, errors: Errors) -> None:
    """spec.resources: for the pod as a whole. `path` is the spec's."""
    resources, here = spec["resources"], f"{path}.resources"
    if (spec.get("os") or {}).get("name") == "windows":
        errors.forbidden(here, "may not be set for a windows pod")
        return
    if resources.get("claims") is not None:
        errors.forbidden(f"{here}.claims", "claims may not be set for Resources at pod-level")
    before = len(errors)
    _requirements(resources, _pod_name, here, errors)
    if len(errors) == before:
        _consistent(spec, resources, here, errors)


def _requirements(resources: Object, name_rule: NameRule, path: str, errors: Errors) -> None:
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    for name, amount in limits.items():
        _entry(name, amount, name_rule, f"{path}.limits[{name}]", errors)
    for name, amount in requests.items():
        _entry(name, amount, name_rule, f"{path}.requests[{name}]", errors)
        _against_limit(name, amount, limits, path, errors)
    given = limits.keys() | requests.keys()
    if given.isdisjoint(_COMPUTE) and any(name.startswith(_HUGE) for name in given):
        errors.forbidden(path, "HugePages require cpu or memory")


def _entry(name: str, amount: Any, name_rule: NameRule, path: str, errors: Errors) -> None:
    name_rule(name, path, errors)
    value = quantity.parse(amount)
    if value < 0:
        errors.invalid(path, quantity.canonical(amount), "must be greater than or equal to 0")
    if name in _CONTAINER:
        return
    if (name in _COUNTED or is_extended(name)) and quantity.milli(amount) % 1000:
        errors.invalid(path, quantity.canonical(amount), "must be an integer")
    if name.startswith(_HUGE) and not _divisible(name, amount):
        shown = quantity.canonical(amount)
        errors.invalid(path, shown, f"{shown} is not positive integer multiple of {name}")


def _divisible(name: str, amount: Any) -> bool:
    try:
        page = quantity.whole(name.removeprefix(_HUGE))
    except ValueError:
        return False
    return page > 0 and quantity.whole(amount) % page == 0


def _against_limit(name: str, amount: Any, limits: Object, path: str, errors: Errors) -> None:
    flexible = name in _CONTAINER or (is_native(name) and not name.startswith(_HUGE))
    limit = limits.get(name)
    if limit is None:
        if not flexible:
            errors.required(f"{path}.limits", "Limit must be set for non overcommitable resources")
        return
    if amount == limit:
        return
    order = quantity.compare(amount, limit)
    shown = quantity.canonical(limit)
    if order and not flexible:
        errors.invalid(f"{path}.requests", quantity.canonical(amount), f"must be equal to {name} limit of {shown}")
    elif order > 0:
        detail = f"must be less than or equal to {name} limit of {shown}"
        errors.invalid(f"{path}.requests", quantity.canonical(amount), detail)


def _container_name(name: str, path: str, errors: Errors) -> None:
    if name in _CONTAINER:
        return
    before = len(errors)
    follows(names.qualified_name, name, path, errors)
    qualified = len(errors) == before
    if "/" not in name:
        if name.startswith(_HUGE):
            return
        if qualified and name not in _STANDARD:
            errors.invalid(path, name, "must be a standard resource type or fully qualified")
        errors.invalid(path, name, "must be a standard resource for containers")
    elif not is_native(name) and not is_extended(name):
        errors.invalid(path, name, "doesn't follow extended resource name standard")


def _pod_name(name: str, path: str, errors: Errors) -> None:
    follows(names.qualified_name, name, path, errors)
    if name not in _COMPUTE and not name.startswith(_HUGE):
        errors.unsupported(path, name, _OF_PODS)


def is_native(name: str) -> bool:
    """Whether Kubernetes itself defines the resource."""
    return "/" not in name or "kubernetes.io/" in name


def is_extended(name: str) -> bool:
    """Whether somebody else does, as device plugins do."""
    return not (is_native(name) or name.startswith("requests.") or names.qualified_name(f"requests.{name}"))


def _claims(claims: list[Object], known: frozenset[str], path: str, errors: Errors) -> None:
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        here, name, request = f"{path}[{index}]", claim.get("name"), claim.get("request")
        if not name:
            errors.required(here)
            continue
        key = f"{name}/{request}" if request else name
        if request and name not in seen:
            follows(names.dns_label, request, f"{here}.request", errors)
        if name in seen or key in seen:
            errors.duplicate(here, name if name in seen else key)
        elif not request and any(other.startswith(f"{name}/") for other in seen):
            errors.duplicate(here, name)
        seen.add(key)
        if name not in known:
            which = f": {', '.join(sorted(known))}" if known else " which is empty"
            detail = f"must be one of the names in pod.spec.resourceClaims{which}"
            errors.append(FieldError("FieldValueNotFound", here, name, detail))


def _consistent(spec: Object, resources: Object, path: str, errors: Errors) -> None:
    """The pod's amounts cover those of its containers."""
    requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
    for name, total in pod_resources.aggregate(spec, "requests").items():
        if name in requests and quantity.compare(total, requests[name]) > 0:
            detail = f"must be greater than or equal to aggregate container requests of {total}"
            errors.invalid(f"{path}.requests[{name}]", quantity.canonical(requests[name]), detail)
    for name, total in pod_resources.aggregate(spec, "limits").items():
        if name.startswith(_HUGE) and name in limits and quantity.compare(total, limits[name]) > 0:
            detail = f"must be greater than or equal to aggregate container limits of {total}"
            errors.invalid(f"{path}.limits[{name}]", quantity.canonical(limits[name]), detail)
    for index, container in enumerate(spec.get("containers") or ()):
        for name, limit in ((container.get("resources") or {}).get("limits") or {}).items():
            if name in limits and quantity.compare(limit, limits[name]) > 0:
                detail = f"must be less than or equal to pod limits of {quantity.canonical(limits[name])}"
                errors.invalid(f"{path}.containers[{index}][{name}].limits", quantity.canonical(limit), detail)
