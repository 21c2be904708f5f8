"""ReplicationController, v1. Source: API reference, ReplicationController v1 core."""

from __future__ import annotations

from collections.abc import Mapping

from kybern.api import validation
from kybern.api.apps.workload import check_status_counts, check_template, default_workload
from kybern.api.cells import CONTAINERS, at, labels, number
from kybern.api.core import pod_warnings
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource, Scale
from kybern.api.types import Object


class ReplicationController(Resource):
    kind, plural = "ReplicationController", "replicationcontrollers"
    short_names = ("rc",)
    categories = ("all",)
    has_status = True
    storage_prefix = "controllers"
    scale = Scale()
    columns = (
        Column("Desired", "integer", number("spec", "replicas")),
        Column("Current", "integer", number("status", "replicas")),
        Column("Ready", "integer", number("status", "readyReplicas")),
        AGE,
        *CONTAINERS,
        Column("Selector", "string", lambda o: labels(at(o, "spec", "selector")), "", 1),
    )
    selectable_fields = ("status.replicas",)

    def selectable(self, obj: Object) -> Mapping[str, str]:
        return {"status.replicas": str(at(obj, "status", "replicas") or 0)}

    def default(self, obj: Object) -> None:
        spec = default_workload(obj)
        spec.setdefault("replicas", 1)
        pod_labels = at(spec, "template", "metadata", "labels")
        if pod_labels:
            spec["selector"] = spec.get("selector") or dict(pod_labels)
            metadata = obj["metadata"]
            metadata["labels"] = metadata.get("labels") or dict(pod_labels)

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {"replicas": 0}
        prep.warnings += validation.pod_name_warnings(obj)
        pod_warnings.tell(prep, obj)

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        pod_warnings.tell(prep, obj, old)

    def validate(self, obj: Object, errors: Errors) -> None:
        spec = obj["spec"]
        validation.all_not_negative(spec, "spec", ("minReadySeconds", "replicas"), errors)
        chosen = spec.get("selector") or {}
        if not chosen:
            errors.required("spec.selector")
        if not at(spec, "template", "spec", "containers") and not at(spec, "template", "metadata", "labels"):
            errors.required("spec.template")
            return
        pod_labels = at(spec, "template", "metadata", "labels") or {}
        if chosen and any(pod_labels.get(key) != value for key, value in chosen.items()):
            detail = "`selector` does not match template `labels`"
            errors.invalid("spec.template.metadata.labels", pod_labels, detail)
        check_template(obj, "ReplicationController", errors)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        check_status_counts(obj, errors)
