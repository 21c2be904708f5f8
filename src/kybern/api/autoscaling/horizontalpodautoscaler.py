"""HorizontalPodAutoscaler, autoscaling/v2 (stored) and v1 (conversion.py).

Source: API reference, HorizontalPodAutoscaler v2 autoscaling.
"""

from __future__ import annotations

from typing import Any

from kybern.api.autoscaling import conversion, metrics
from kybern.api.cells import at, number
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource
from kybern.api.types import Object
from kybern.process import features

_SCALE_UP = (("Pods", 4, 15), ("Percent", 100, 15))
_SCALE_DOWN = (("Percent", 100, 15),)


def _reference(obj: Object) -> str:
    target = at(obj, "spec", "scaleTargetRef") or {}
    return f"{target.get('kind', '')}/{target.get('name', '')}"


def _least(obj: Object) -> str:
    least = at(obj, "spec", "minReplicas")
    return "<unset>" if least is None else str(least)


class HorizontalPodAutoscaler(Resource):
    group, kind, plural = "autoscaling", "HorizontalPodAutoscaler", "horizontalpodautoscalers"
    versions = ("v2", "v1")
    reshapes = frozenset({"autoscaling/v1"})
    short_names = ("hpa",)
    categories = ("all",)
    has_status = True
    has_generation = False
    columns = (
        Column("Reference", "string", _reference),
        Column("Targets", "string", metrics.shown),
        Column("MinPods", "string", _least),
        Column("MaxPods", "string", number("spec", "maxReplicas")),
        Column("Replicas", "string", number("status", "currentReplicas")),
        AGE,
    )

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("minReplicas", 1)
        if not spec.get("metrics"):
            target = {"type": "Utilization", "averageUtilization": 80}
            spec["metrics"] = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
        behavior = spec.get("behavior")
        if behavior is not None:
            _default_rules(behavior, "scaleUp", _SCALE_UP)
            _default_rules(behavior, "scaleDown", _SCALE_DOWN)
            behavior["scaleUp"].setdefault("stabilizationWindowSeconds", 0)

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {"desiredReplicas": 0}

    def validate(self, obj: Object, errors: Errors) -> None:
        metrics.validate_spec(obj["spec"], errors, 0 if features.enabled("HPAScaleToZero") else 1)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        zero = features.enabled("HPAScaleToZero") or at(old, "spec", "minReplicas") == 0
        metrics.validate_spec(obj["spec"], errors, 0 if zero else 1)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        for name in ("currentReplicas", "desiredReplicas"):
            value: Any = at(obj, "status", name) or 0
            if value < 0:
                errors.invalid(f"status.{name}", value, "must be greater than or equal to 0")

    def convert(self, obj: Object, version: str) -> Object:
        here = str(obj.get("apiVersion", "")).rpartition("/")[2]
        if here == version:
            return dict(obj)
        return conversion.to_v1(obj) if version == "v1" else conversion.to_v2(obj)


def _default_rules(behavior: Object, direction: str, policies: tuple[tuple[str, int, int], ...]) -> None:
    rules = behavior.get(direction)
    if rules is None:
        rules = behavior[direction] = {}
    rules.setdefault("selectPolicy", "Max")
    if not rules.get("policies"):
        rules["policies"] = [{"type": t, "value": value, "periodSeconds": s} for t, value, s in policies]
