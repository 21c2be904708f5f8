"""What Deployment, ReplicaSet and their kin share: counts, pod template and selector rules."""

from __future__ import annotations

from kybern.api import selectors, validation
from kybern.api.cells import at
from kybern.api.core.podspec import default_pod_template, validate_pod_template
from kybern.api.field import Errors
from kybern.api.types import Object


def default_workload(obj: Object) -> Object:
    """Default the pod template, and `replicas` to 1; gives the spec."""
    spec: Object = obj.setdefault("spec", {})
    default_pod_template(spec.setdefault("template", {}))
    return spec


def check_selector(obj: Object, kind: str, errors: Errors) -> None:
    """A selector is required, not empty, and matches the template. `kind` is as messages call it."""
    selector = at(obj, "spec", "selector")
    if selector is None:
        errors.required("spec.selector")
        return
    before = len(errors)
    selectors.validate_object(selector, "spec.selector", errors)
    if validation.is_empty_selector(selector):
        errors.invalid("spec.selector", selector, f"empty selector is invalid for {kind}")
    elif len(errors) == before:
        validation.template_selected(obj, errors)


def check_template(obj: Object, kind: str, errors: Errors) -> None:
    """The pod template of a kind whose pods run for ever. `kind` is as messages call it."""
    template = at(obj, "spec", "template") or {}
    validate_pod_template(template, "spec.template", errors)
    spec = template.get("spec") or {}
    if spec.get("restartPolicy") not in (None, "Always"):
        errors.unsupported("spec.template.spec.restartPolicy", spec["restartPolicy"], ("Always",))
    if spec.get("activeDeadlineSeconds") is not None:
        path = "spec.template.spec.activeDeadlineSeconds"
        errors.forbidden(path, f"activeDeadlineSeconds in {kind} is not Supported")


def check_status_counts(obj: Object, errors: Errors) -> None:
    """Counts in status: none negative, and no more ready or available pods than there are."""
    status = obj.get("status") or {}
    keys = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas", "fullyLabeledReplicas")
    others = ("unavailableReplicas", "terminatingReplicas", "observedGeneration", "collisionCount")
    validation.all_not_negative(status, "status", (*keys, *others), errors)
    total = status.get("replicas") or 0
    for key in keys[1:]:
        if (status.get(key) or 0) > total:
            errors.invalid(f"status.{key}", status[key], "cannot be greater than status.replicas")
    if (status.get("availableReplicas") or 0) > (status.get("readyReplicas") or 0):
        errors.invalid("status.availableReplicas", status["availableReplicas"], "cannot be greater than readyReplicas")


def check_collisions(obj: Object, old: Object, errors: Errors) -> None:
    """status.collisionCount only grows."""
    count, before = at(obj, "status", "collisionCount"), at(old, "status", "collisionCount")
    if before is not None and (count or 0) < before:
        errors.invalid("status.collisionCount", count or 0, "cannot be decremented")
