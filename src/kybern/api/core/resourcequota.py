"""ResourceQuota, v1. Source: API reference, ResourceQuota v1 core."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kybern.api import validation
from kybern.api.cells import at
from kybern.api.core import resource_names
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource
from kybern.api.types import Object

SCOPES = (
    "BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "PriorityClass", "Terminating",
    "VolumeAttributesClass",
)  # fmt: skip
_EXISTING = ("Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "CrossNamespacePodAffinity")
_POD_AMOUNTS = frozenset(
    ("pods", "cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory")
)
_LIMITED_IN = {
    "BestEffort": frozenset(("pods",)),
    "VolumeAttributesClass": frozenset(("persistentvolumeclaims", "requests.storage")),
    **dict.fromkeys(
        ("Terminating", "NotTerminating", "NotBestEffort", "PriorityClass", "CrossNamespacePodAffinity"), _POD_AMOUNTS
    ),
}
"""Scope -> what may be limited in it, of the resources that upstream knows."""


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
        _check_amounts(spec.get("hard"), "spec.hard", errors)
        hard, path = sorted(spec.get("hard") or {}), "spec.scopes"
        scopes = spec.get("scopes") or []
        for scope in scopes:
            _check_scope(scope, hard, path, scopes, path, scopes, errors)
        _check_conflicts(scopes, path, scopes, errors)
        rules, path = at(spec, "scopeSelector", "matchExpressions") or [], "spec.scopeSelector.matchExpressions"
        for rule in rules:
            shown = {"MatchExpressions": [_internal(one) for one in rules]}
            scope = rule.get("scopeName") or ""
            _check_scope(scope, hard, f"{path}.scopeName", scope, path, shown, errors)
            _check_scope_rule(rule, path, errors)
        _check_conflicts([rule.get("scopeName") or "" for rule in rules], path, scopes or None, errors)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        scopes = obj["spec"].get("scopes") or []
        if set(scopes) != set(old["spec"].get("scopes") or []):
            errors.invalid("spec.scopes", scopes, validation.IMMUTABLE)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        for name in ("hard", "used"):
            _check_amounts(at(obj, "status", name), f"status.{name}", errors)


def _check_amounts(amounts: Object | None, path: str, errors: Errors) -> None:
    for name, value in (amounts or {}).items():
        resource_names.check_quota_name(name, f"{path}[{name}]", errors)
        resource_names.check_amount(name, value, f"{path}[{name}]", errors)


def _check_scope(
    scope: str, hard: list[str], path: str, value: Any, whole_path: str, whole: Any, errors: Errors
) -> None:
    """A scope, and that each resource limited may be limited in it."""
    if scope not in SCOPES:
        errors.invalid(path, value, "unsupported scope")
    allowed = _LIMITED_IN.get(scope)
    for name in hard:
        if allowed is not None and resource_names.is_quota_name(name) and name not in allowed:
            errors.invalid(whole_path, whole, "unsupported scope applied to resource")


def _check_conflicts(scopes: list[str], path: str, value: Any, errors: Errors) -> None:
    for pair in (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating")):
        if set(pair) <= set(scopes):
            errors.invalid(path, value, "conflicting scopes")


def _internal(rule: Object) -> Object:
    return {"ScopeName": rule.get("scopeName"), "Operator": rule.get("operator"), "Values": rule.get("values")}


def _check_scope_rule(rule: Object, path: str, errors: Errors) -> None:
    operator, values = rule.get("operator"), rule.get("values") or []
    if rule.get("scopeName") in _EXISTING and operator != "Exists":
        detail = (
            "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, "
            "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
            "ResourceQuotaScopeCrossNamespacePodAffinity"
        )
        errors.invalid(f"{path}.operator", operator or "", detail)
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
