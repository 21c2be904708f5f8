"""ResourceQuota, v1. Source: API reference, ResourceQuota v1 core."""

from __future__ import annotations

from collections.abc import Callable

from kybern.api import validation
from kybern.api.cells import at
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource
from kybern.api.types import Object

SCOPES = (
    "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating",
    "VolumeAttributesClass",
)  # fmt: skip


def _used(limits: bool) -> Callable[[Object], str]:
    def cell(obj: Object) -> str:
        hard, used = at(obj, "status", "hard") or {}, at(obj, "status", "used") or {}
        shown = [f"{n}: {used.get(n, '0')}/{hard[n]}" for n in sorted(hard) if ("limits" in n) == limits]
        return ", ".join(shown)

    return cell


class ResourceQuota(Resource):
    kind, plural = "ResourceQuota", "resourcequotas"
    short_names = ("quota",)
    has_status = True
    has_generation = False
    columns = (
        Column("Request", "string", _used(limits=False), "Requests of resources: used/hard"),
        Column("Limit", "string", _used(limits=True), "Limits of resources: used/hard"),
        AGE,
    )

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})
        obj.setdefault("status", {})

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {}

    def validate(self, obj: Object, errors: Errors) -> None:
        spec = obj["spec"]
        validation.amounts(spec.get("hard"), "spec.hard", errors)
        seen: set[str] = set()
        for scope in spec.get("scopes") or []:
            if scope not in SCOPES:
                errors.invalid("spec.scopes", spec["scopes"], "unsupported scope")
            seen.add(scope)
        for first, second in (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")):
            if {first, second} <= seen:
                errors.invalid("spec.scopes", spec["scopes"], "conflicting scopes")
        for rule in at(spec, "scopeSelector", "matchExpressions") or []:
            _check_scope_rule(rule, errors)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        validation.unchanged(obj["spec"].get("scopes"), old["spec"].get("scopes"), "spec.scopes", errors)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        for name in ("hard", "used"):
            validation.amounts(at(obj, "status", name), f"status.{name}", errors)


def _check_scope_rule(rule: Object, errors: Errors) -> None:
    path = "spec.scopeSelector.matchExpressions"
    if rule.get("scopeName") not in SCOPES:
        errors.invalid(f"{path}.scopeName", rule.get("scopeName") or "", "unsupported scope")
    operator, values = rule.get("operator"), rule.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            detail = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            errors.required(f"{path}.values", detail)
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            detail = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
            errors.invalid(f"{path}.values", values, detail)
    else:
        errors.invalid(f"{path}.operator", operator or "", "not a valid selector operator")
