"""ReplicaSet, apps/v1. Source: API reference, ReplicaSet v1 apps."""

from __future__ import annotations

from collections.abc import Mapping

from kybern.api import validation
from kybern.api.apps.workload import check_selector, check_status_counts, check_template, default_workload
from kybern.api.cells import CONTAINERS, at, number, selector
from kybern.api.core import pod_warnings
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource, Scale
from kybern.api.types import Object


class ReplicaSet(Resource):
    group, kind, plural = "apps", "ReplicaSet", "replicasets"
    short_names = ("rs",)
    categories = ("all",)
    has_status = True
    scale = Scale()
    columns = (
        Column("Desired", "integer", number("spec", "replicas")),
        Column("Current", "integer", number("status", "replicas")),
        Column("Ready", "integer", number("status", "readyReplicas")),
        AGE,
        *CONTAINERS,
        Column("Selector", "string", lambda o: selector(at(o, "spec", "selector")), "", 1),
    )
    selectable_fields = ("status.replicas",)

    def selectable(self, obj: Object) -> Mapping[str, str]:
        return {"status.replicas": str(at(obj, "status", "replicas") or 0)}

    def default(self, obj: Object) -> None:
        default_workload(obj).setdefault("replicas", 1)

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {"replicas": 0}
        prep.warnings += validation.pod_name_warnings(obj)
        pod_warnings.tell(prep, obj)

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        pod_warnings.tell(prep, obj, old)

    def validate(self, obj: Object, errors: Errors) -> None:
        spec = obj["spec"]
        validation.all_not_negative(spec, "spec", ("replicas", "minReadySeconds"), errors)
        check_selector(obj, "replicaset", errors)
        check_template(obj, "ReplicaSet", errors)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        validation.unchanged(at(obj, "spec", "selector"), at(old, "spec", "selector"), "spec.selector", errors)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        check_status_counts(obj, errors)
