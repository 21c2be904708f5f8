"""PodDisruptionBudget, policy/v1. Source: API reference, PodDisruptionBudget v1 policy."""

from __future__ import annotations

from collections.abc import Callable

from kybern.api import selectors, validation
from kybern.api.cells import at, number
from kybern.api.conditions import validate_conditions
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource
from kybern.api.types import Object

_POLICIES = ("AlwaysAllow", "IfHealthyBudget")


def _bound(name: str) -> Callable[[Object], str]:
    def cell(obj: Object) -> str:
        value = at(obj, "spec", name)
        return "N/A" if value is None else str(value)

    return cell


class PodDisruptionBudget(Resource):
    group, kind, plural = "policy", "PodDisruptionBudget", "poddisruptionbudgets"
    versioned_updates = True
    short_names = ("pdb",)
    has_status = True
    columns = (
        Column("Min Available", "string", _bound("minAvailable")),
        Column("Max Unavailable", "string", _bound("maxUnavailable")),
        Column("Allowed Disruptions", "integer", number("status", "disruptionsAllowed")),
        AGE,
    )

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}

    def validate(self, obj: Object, errors: Errors) -> None:
        spec = obj["spec"]
        least, most = spec.get("minAvailable"), spec.get("maxUnavailable")
        if least is not None and most is not None:
            errors.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set")
        for name, value in (("minAvailable", least), ("maxUnavailable", most)):
            if value is not None:
                validation.int_or_percent(value, f"spec.{name}", errors)
                validation.at_most_all(value, f"spec.{name}", errors)
        selectors.validate_object(spec.get("selector"), "spec.selector", errors)
        policy = spec.get("unhealthyPodEvictionPolicy")
        if policy is not None and policy not in _POLICIES:
            errors.unsupported("spec.unhealthyPodEvictionPolicy", policy, _POLICIES)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        validate_conditions(at(obj, "status", "conditions"), "status.conditions", errors)
        keys = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")
        validation.all_not_negative(obj.get("status") or {}, "status", keys, errors)
