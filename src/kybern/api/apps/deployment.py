"""Deployment, apps/v1. Source: API reference, Deployment v1 apps."""

from __future__ import annotations

from kybern.api import validation
from kybern.api.apps.workload import (
    check_collisions,
    check_selector,
    check_status_counts,
    check_template,
    default_workload,
)
from kybern.api.cells import CONTAINERS, at, number, selector
from kybern.api.core import pod_warnings
from kybern.api.field import Errors
from kybern.api.meta import same
from kybern.api.resource import AGE, Column, Preparation, Resource, Scale
from kybern.api.types import Object


def _ready(obj: Object) -> str:
    return f"{at(obj, 'status', 'readyReplicas') or 0}/{at(obj, 'spec', 'replicas') or 0}"


class Deployment(Resource):
    group, kind, plural = "apps", "Deployment", "deployments"
    short_names = ("deploy",)
    categories = ("all",)
    has_status = True
    status_keeps = ("labels",)
    scale = Scale()
    columns = (
        Column("Ready", "string", _ready, "Number of the pod with ready state"),
        Column("Up-to-date", "string", number("status", "updatedReplicas")),
        Column("Available", "string", number("status", "availableReplicas")),
        AGE,
        *CONTAINERS,
        Column("Selector", "string", lambda o: selector(at(o, "spec", "selector")), "", 1),
    )

    def default(self, obj: Object) -> None:
        spec = default_workload(obj)
        spec.setdefault("replicas", 1)
        spec.setdefault("revisionHistoryLimit", 10)
        spec.setdefault("progressDeadlineSeconds", 600)
        strategy = spec.setdefault("strategy", {})
        strategy["type"] = strategy.get("type") or "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("maxUnavailable", "25%")
            rolling.setdefault("maxSurge", "25%")

    def changes_generation(self, obj: Object, old: Object) -> bool:
        annotations, before = obj["metadata"].get("annotations"), old["metadata"].get("annotations")
        return super().changes_generation(obj, old) or not same(annotations, before)

    def validate(self, obj: Object, errors: Errors) -> None:
        spec = obj["spec"]
        validation.not_negative(spec.get("replicas"), "spec.replicas", errors)
        check_selector(obj, "deployment", errors)
        check_template(obj, "ReplicaSet", errors)
        _check_strategy(spec["strategy"], errors)
        keys = ("minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds")
        validation.all_not_negative(spec, "spec", keys, errors)
        deadline, ready = spec.get("progressDeadlineSeconds"), spec.get("minReadySeconds") or 0
        if deadline is not None and deadline <= ready:
            errors.invalid("spec.progressDeadlineSeconds", deadline, "must be greater than minReadySeconds")

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        validation.unchanged(at(obj, "spec", "selector"), at(old, "spec", "selector"), "spec.selector", errors)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        check_status_counts(obj, errors)
        check_collisions(obj, old, errors)

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {}
        prep.warnings += validation.pod_name_warnings(obj)
        pod_warnings.tell(prep, obj)

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        pod_warnings.tell(prep, obj, old)


def _check_strategy(strategy: Object, errors: Errors) -> None:
    path, rolling = "spec.strategy", strategy.get("rollingUpdate")
    validation.one_of(strategy.get("type"), ("Recreate", "RollingUpdate"), f"{path}.type", errors)
    if strategy.get("type") == "Recreate" and rolling is not None:
        errors.forbidden(f"{path}.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'")
    if strategy.get("type") != "RollingUpdate":
        return
    if rolling is None:
        errors.required(f"{path}.rollingUpdate", "this should be defaulted and never be nil")
        return
    unavailable, surge = rolling.get("maxUnavailable") or 0, rolling.get("maxSurge") or 0
    validation.int_or_percent(unavailable, f"{path}.rollingUpdate.maxUnavailable", errors)
    validation.int_or_percent(surge, f"{path}.rollingUpdate.maxSurge", errors)
    if validation.is_zero(unavailable) and validation.is_zero(surge):
        where = f"{path}.rollingUpdate.maxUnavailable"
        errors.invalid(where, unavailable, "may not be 0 when `maxSurge` is 0")
    validation.at_most_all(unavailable, f"{path}.rollingUpdate.maxUnavailable", errors)
