"""Names of resources, in the places that take other ones than containers do: quotas, limit ranges, nodes.

Source: Kubernetes documentation, "Resource Quotas", "Limit Ranges", "Resource Management for Pods and Containers".
"""

from __future__ import annotations

from typing import Any

from kybern.api import names, quantity
from kybern.api.core.resources_validation import is_extended, is_native
from kybern.api.field import Errors

COMPUTE = frozenset(("cpu", "memory", "ephemeral-storage"))
COUNTED = frozenset(
    ("pods", "resourcequotas", "services", "replicationcontrollers", "secrets", "configmaps",
     "persistentvolumeclaims", "services.nodeports", "services.loadbalancers")
)  # fmt: skip
QUOTA = (
    COMPUTE | COUNTED | {f"{kind}.{name}" for kind in ("requests", "limits") for name in COMPUTE} | {"requests.storage"}
)
_STANDARD = QUOTA | {"storage"}
_HUGE = ("hugepages-", "requests.hugepages-")


def check_name(name: str, path: str, errors: Errors) -> bool:
    """Any resource: one that upstream knows, or a qualified name."""
    before = len(errors)
    for problem in names.qualified_name(name):
        errors.invalid(path, name, problem)
    if len(errors) == before and "/" not in name and name not in _STANDARD and not name.startswith(_HUGE):
        errors.invalid(path, name, "must be a standard resource type or fully qualified")
    return len(errors) == before


def check_container_name(name: str, path: str, errors: Errors) -> None:
    """A resource that a container may ask for."""
    check_name(name, path, errors)
    if "/" not in name:
        if name not in COMPUTE and not name.startswith(_HUGE[0]):
            errors.invalid(path, name, "must be a standard resource for containers")
    elif not is_native(name) and not is_extended(name):
        errors.invalid(path, name, "doesn't follow extended resource name standard")


def is_quota_name(name: str) -> bool:
    """Whether upstream knows it as something to set a quota on."""
    return name in QUOTA or name.startswith(_HUGE)


def check_quota_name(name: str, path: str, errors: Errors) -> None:
    """A resource that may be limited by a quota."""
    check_name(name, path, errors)
    if "/" not in name and not is_quota_name(name):
        errors.invalid(path, name, "must be a standard resource for quota")


def check_amount(name: str, value: Any, path: str, errors: Errors) -> None:
    """0 or more; of what can only be counted, a whole number."""
    try:
        amount = quantity.parse(value)
    except ValueError:
        return
    if amount < 0:
        errors.invalid(path, quantity.canonical(value), "must be greater than or equal to 0")
    if (name in COUNTED or is_extended(name)) and quantity.milli(value) % 1000:
        errors.invalid(path, quantity.canonical(value), "must be an integer")


def may_be_overcommitted(name: str) -> bool:
    """Whether requests may be below limits."""
    return is_native(name) and not name.startswith(_HUGE[0])
