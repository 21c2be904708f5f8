"""PriorityClass, scheduling.k8s.io/v1. Source: API reference, PriorityClass v1 scheduling.k8s.io."""

from __future__ import annotations

from kybern.api import validation
from kybern.api.cells import number, text
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Resource
from kybern.api.types import Object

HIGHEST_USER_PRIORITY = 1_000_000_000
SYSTEM_CRITICAL = 2_000_000_000
SYSTEM_CLASSES = {"system-cluster-critical": SYSTEM_CRITICAL, "system-node-critical": SYSTEM_CRITICAL + 1000}


class PriorityClass(Resource):
    group, kind, plural = "scheduling.k8s.io", "PriorityClass", "priorityclasses"
    short_names = ("pc",)
    namespaced = False
    columns = (
        Column("Value", "integer", number("value")),
        Column("Global-Default", "boolean", lambda o: bool(o.get("globalDefault"))),
        AGE,
        Column("PreemptionPolicy", "string", text("preemptionPolicy")),
    )

    def default(self, obj: Object) -> None:
        obj.setdefault("preemptionPolicy", "PreemptLowerPriority")

    def changes_generation(self, obj: Object, old: Object) -> bool:
        # Upstream begins to count and leaves it at that.
        return False

    def validate(self, obj: Object, errors: Errors) -> None:
        name, value = obj["metadata"].get("name") or "", obj.get("value") or 0
        if name.startswith("system-"):
            known = SYSTEM_CLASSES.get(name)
            if known is None or known != value or obj.get("globalDefault"):
                reserved = "priority class names with 'system-' prefix are reserved for system use only"
                errors.forbidden("metadata.name", f"{reserved}. error: {_why(name, value, known)}")
        elif value > HIGHEST_USER_PRIORITY:
            detail = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
            errors.forbidden("value", detail)
        policy = obj.get("preemptionPolicy")
        if policy is not None and policy not in ("Never", "PreemptLowerPriority"):
            errors.unsupported("preemptionPolicy", policy, ("Never", "PreemptLowerPriority"))

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        if (obj.get("value") or 0) != (old.get("value") or 0):
            errors.forbidden("value", "may not be changed in an update.")
        path = "preemptionPolicy"
        validation.unchanged(obj.get(path), old.get(path), path, errors)


def _why(name: str, value: int, known: int | None) -> str:
    if known is None:
        return f"{name} is not a known system priority class"
    if known != value:
        return f"value of {name} PriorityClass must be {known}"
    return f"globalDefault of {name} PriorityClass must be false"
