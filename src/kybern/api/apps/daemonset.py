"""DaemonSet, apps/v1. Source: API reference, DaemonSet v1 apps."""

from __future__ import annotations

from kybern.api import selectors, validation
from kybern.api.apps.workload import check_collisions, check_template, default_workload
from kybern.api.cells import CONTAINERS, at, labels, number, selector
from kybern.api.core import pod_warnings
from kybern.api.field import Errors
from kybern.api.meta import same
from kybern.api.resource import AGE, Column, Preparation, Resource
from kybern.api.types import Object

TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
"""The annotation that counts changes of the template; its pods carry the count as a label."""
_COUNTS = (
    "currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady", "observedGeneration",
    "updatedNumberScheduled", "numberAvailable", "numberUnavailable", "collisionCount",
)  # fmt: skip


class DaemonSet(Resource):
    group, kind, plural = "apps", "DaemonSet", "daemonsets"
    short_names = ("ds",)
    categories = ("all",)
    has_status = True
    columns = (
        Column("Desired", "integer", number("status", "desiredNumberScheduled")),
        Column("Current", "integer", number("status", "currentNumberScheduled")),
        Column("Ready", "integer", number("status", "numberReady")),
        Column("Up-to-date", "integer", number("status", "updatedNumberScheduled")),
        Column("Available", "integer", number("status", "numberAvailable")),
        Column("Node Selector", "string", lambda o: labels(at(o, "spec", "template", "spec", "nodeSelector"))),
        AGE,
        *CONTAINERS,
        Column("Selector", "string", lambda o: selector(at(o, "spec", "selector")), "", 1),
    )

    def default(self, obj: Object) -> None:
        spec = default_workload(obj)
        spec.setdefault("revisionHistoryLimit", 10)
        strategy = spec.setdefault("updateStrategy", {})
        strategy["type"] = strategy.get("type") or "RollingUpdate"
        if strategy["type"] == "RollingUpdate":
            rolling = strategy.setdefault("rollingUpdate", {})
            rolling.setdefault("maxUnavailable", 1)
            rolling.setdefault("maxSurge", 0)

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = dict.fromkeys(_COUNTS[:4], 0)
        _set_generation(obj, max(1, template_generation(obj) or 0))
        pod_warnings.tell(prep, obj)

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        if prep.subresource == "status":
            return
        count = template_generation(old) or 0
        changed = not same(at(obj, "spec", "template"), at(old, "spec", "template"))
        _set_generation(obj, count + 1 if changed else count)
        pod_warnings.tell(prep, obj, old)

    def validate(self, obj: Object, errors: Errors) -> None:
        spec = obj["spec"]
        _check_selector(obj, errors)
        check_template(obj, "DaemonSet", errors)
        validation.all_not_negative(spec, "spec", ("minReadySeconds", "revisionHistoryLimit"), errors)
        _check_strategy(spec["updateStrategy"], errors)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        validation.unchanged(at(obj, "spec", "selector"), at(old, "spec", "selector"), "spec.selector", errors)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        validation.all_not_negative(obj.get("status") or {}, "status", _COUNTS, errors)
        check_collisions(obj, old, errors)


def template_generation(obj: Object) -> int | None:
    """How often the template changed; None where the annotation is missing or no number."""
    text = (obj["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, "")
    return int(text) if text.isdigit() else None


def _set_generation(obj: Object, count: int) -> None:
    obj["metadata"]["annotations"] = {**(obj["metadata"].get("annotations") or {}), TEMPLATE_GENERATION: str(count)}


def _check_selector(obj: Object, errors: Errors) -> None:
    """Unlike its kin, a DaemonSet without a selector is told only that it doesn't match."""
    wanted, before = at(obj, "spec", "selector"), len(errors)
    if wanted is not None:
        selectors.validate_object(wanted, "spec.selector", errors)
    if len(errors) == before:
        validation.template_selected(obj, errors)
    if wanted is not None and validation.is_empty_selector(wanted):
        errors.invalid("spec.selector", wanted, "empty selector is invalid for daemonset")


def _check_strategy(strategy: Object, errors: Errors) -> None:
    path = "spec.updateStrategy"
    if strategy["type"] not in ("RollingUpdate", "OnDelete"):
        errors.unsupported(path, strategy, ("RollingUpdate", "OnDelete"))
    if strategy["type"] != "RollingUpdate":
        return
    rolling = strategy.get("rollingUpdate")
    if rolling is None:
        errors.required(f"{path}.rollingUpdate")
        return
    unavailable, surge = rolling.get("maxUnavailable") or 0, rolling.get("maxSurge") or 0
    path += ".rollingUpdate"
    for check in (validation.int_or_percent, validation.at_most_all):
        check(unavailable, f"{path}.maxUnavailable", errors)
        check(surge, f"{path}.maxSurge", errors)
    zeros = validation.is_zero(unavailable), validation.is_zero(surge)
    if zeros == (False, False):
        errors.invalid(f"{path}.maxSurge", surge, "may not be set when maxUnavailable is non-zero")
    elif zeros == (True, True):
        errors.required(f"{path}.maxUnavailable", "cannot be 0 when maxSurge is 0")
