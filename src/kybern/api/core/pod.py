"""Pod, v1: declaration, grace, and what a create or update may set; podspec*.py have the defaults and rules.

Source: API reference, Pod v1 core; KEP-3521 (scheduling gates), KEP-277 (ephemeral containers), KEP-1287 (resize).
"""

from __future__ import annotations

from collections.abc import Mapping

from kybern.api.cells import at
from kybern.api.core import pod_update_validation as updates
from kybern.api.core import pod_warnings
from kybern.api.core.pod_columns import COLUMNS
from kybern.api.core.podspec import default_pod, validate_pod_spec
from kybern.api.core.qos import qos_class
from kybern.api.core.scheduling_validation import MERGE_SPREAD_KEYS
from kybern.api.field import Errors
from kybern.api.resource import Preparation, Resource, Subresource
from kybern.api.types import Object
from kybern.process import features

TERMINAL_PHASES = ("Succeeded", "Failed")
_STREAM = ("create", "get")
_PART = ("get", "patch", "update")
_SPEC_FIELDS = ("nodeName", "restartPolicy", "schedulerName", "serviceAccountName")
_STATUS_FIELDS = ("phase", "podIP", "nominatedNodeName")


class Pod(Resource):
    kind, plural = "Pod", "pods"
    short_names = ("po",)
    categories = ("all",)
    has_status = True
    status_keeps = ("ownerReferences",)
    grace_period = True
    subresources = (
        Subresource("attach", "PodAttachOptions", verbs=_STREAM),
        Subresource("binding", "Binding"),
        Subresource("ephemeralcontainers", "Pod", verbs=_PART),
        Subresource("eviction", "Eviction", "policy"),
        Subresource("exec", "PodExecOptions", verbs=_STREAM),
        Subresource("log", "Pod", verbs=("get",)),
        Subresource("portforward", "PodPortForwardOptions", verbs=_STREAM),
        Subresource("proxy", "PodProxyOptions", verbs=("create", "delete", "get", "patch", "update")),
        Subresource("resize", "Pod", verbs=_PART),
    )
    columns = COLUMNS
    selectable_fields = (
        *(f"spec.{name}" for name in _SPEC_FIELDS),
        "spec.host",
        "spec.hostNetwork",
        *(f"status.{name}" for name in _STATUS_FIELDS),
        "status.podIPs",
    )

    def selectable(self, obj: Object) -> Mapping[str, str]:
        spec, status = obj.get("spec") or {}, obj.get("status") or {}
        fields = {f"spec.{name}": spec.get(name) or "" for name in _SPEC_FIELDS}
        fields |= {f"status.{name}": status.get(name) or "" for name in _STATUS_FIELDS}
        fields["spec.host"] = fields["spec.nodeName"]
        fields["spec.hostNetwork"] = "true" if spec.get("hostNetwork") else "false"
        return fields

    def default(self, obj: Object) -> None:
        default_pod(obj)

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        status: Object = {"phase": "Pending", "qosClass": qos_class(obj)}
        if obj["spec"].get("schedulingGates"):
            status["conditions"] = [_gated()]
        obj["status"] = status
        prep.warnings += pod_warnings.of_pod(obj)
        _match_label_keys(obj)

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        if prep.subresource == "ephemeralcontainers":
            wanted = obj["spec"].get("ephemeralContainers")
            obj["metadata"] = _unchanged(obj["metadata"], old["metadata"])
            obj["spec"] = {**old["spec"], "ephemeralContainers": wanted}
            if not wanted:
                del obj["spec"]["ephemeralContainers"]
        elif prep.subresource == "resize":
            obj["metadata"] = _unchanged(obj["metadata"], old["metadata"])
            obj["spec"] = _resized(obj["spec"], old["spec"])
        elif prep.subresource != "status" and at(old, "spec", "schedulingGates") != obj["spec"].get("schedulingGates"):
            _open_gates(obj)

    def validate(self, obj: Object, errors: Errors) -> None:
        validate_pod_spec(obj["spec"], "spec", errors, metadata=obj["metadata"])

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        updates.validate_pod_update(obj, old, errors)

    def validate_part(self, subresource: str, obj: Object, old: Object, errors: Errors) -> None:
        if subresource == "ephemeralcontainers":
            updates.validate_ephemeral_containers_update(obj, old, errors)
        elif subresource == "resize":
            updates.validate_pod_resize(obj, old, errors)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        updates.validate_pod_status_update(obj, old, errors)

    def grace_seconds(self, obj: Object, asked: int | None) -> int:
        spec = obj.get("spec") or {}
        if not spec.get("nodeName") or at(obj, "status", "phase") in TERMINAL_PHASES:
            return 0
        seconds = (spec.get("terminationGracePeriodSeconds") or 0) if asked is None else asked
        return int(seconds) if seconds >= 0 else 1


def _unchanged(metadata: Object, old: Object) -> Object:
    """The old metadata, for ways in that don't write it; who wrote what is told all the same."""
    kept = {**old, "managedFields": metadata.get("managedFields")}
    return kept if kept["managedFields"] is not None else {k: v for k, v in old.items() if k != "managedFields"}


def _gated() -> Object:
    return {
        "type": "PodScheduled",
        "status": "False",
        "reason": "SchedulingGated",
        "message": "Scheduling is blocked due to non-empty scheduling gates",
    }


def _open_gates(obj: Object) -> None:
    """With the last gate gone the pod is no longer said to be held back."""
    conditions = at(obj, "status", "conditions")
    if conditions and not obj["spec"].get("schedulingGates"):
        kept = [c for c in conditions if c.get("reason") != "SchedulingGated"]
        obj["status"] = {**obj["status"], "conditions": kept}


def _match_label_keys(obj: Object) -> None:
    """matchLabelKeys of pod affinity terms and spread constraints become part of their selectors, with the pod's own
    values (KEP-3633, KEP-3243)."""
    labels = obj["metadata"].get("labels") or {}
    if features.enabled(MERGE_SPREAD_KEYS):
        for constraint in obj["spec"].get("topologySpreadConstraints") or ():
            _merge_keys(constraint, labels)
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = at(obj, "spec", "affinity", kind) or {}
        required = terms.get("requiredDuringSchedulingIgnoredDuringExecution") or []
        preferred = [
            entry.get("podAffinityTerm") or {}
            for entry in terms.get("preferredDuringSchedulingIgnoredDuringExecution") or []
        ]
        for term in [*required, *preferred]:
            _merge_keys(term, labels)


def _merge_keys(term: Object, labels: Object) -> None:
    for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")):
        for key in term.get(field) or ():
            if term.get("labelSelector") is not None and key in labels:
                requirement = {"key": key, "operator": operator, "values": [labels[key]]}
                term["labelSelector"].setdefault("matchExpressions", []).append(requirement)


def _resized(new: Object, old: Object) -> Object:
    """`old` with the resources (and how they may change) that `new` asks for."""
    spec = dict(old)
    for field in ("containers", "initContainers"):
        if old.get(field):
            asked = {container["name"]: container for container in new.get(field) or ()}
            spec[field] = [_container_resized(asked.get(c["name"], c), c) for c in old[field]]
    if "resources" in new:
        spec["resources"] = new["resources"]
    return spec


def _container_resized(new: Object, old: Object) -> Object:
    kept: Object = {name: new[name] for name in ("resources", "resizePolicy") if name in new}
    return {**old, **kept}
