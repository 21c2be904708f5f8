"""StorageVersionMigration, storagemigration.k8s.io/v1beta1. Source: API reference; KEP-4192."""

from __future__ import annotations

from kybern.api import names, validation
from kybern.api.cells import at
from kybern.api.conditions import validate_conditions
from kybern.api.field import Errors
from kybern.api.resource import METADATA, Preparation, Resource
from kybern.api.types import Object

_LASTING = ("Succeeded", "Failed")


class StorageVersionMigration(Resource):
    group, kind, plural = "storagemigration.k8s.io", "StorageVersionMigration", "storageversionmigrations"
    versions = ("v1beta1",)
    namespaced = False
    has_status = True
    status_keeps = METADATA
    has_generation = False

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {}

    def validate(self, obj: Object, errors: Errors) -> None:
        resource = at(obj, "spec", "resource") or {}
        if not resource.get("resource"):
            errors.required("spec.resource.resource", "resource is required")
        else:
            for problem in names.dns1035_label(resource["resource"]):
                errors.invalid("spec.resource.resource", resource["resource"], problem)
        if resource.get("group"):
            for problem in names.dns_subdomain(resource["group"]):
                errors.invalid("spec.resource.group", resource["group"], problem)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        validation.unchanged(obj.get("spec"), old.get("spec"), "spec", errors)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        status, before = obj.get("status") or {}, old.get("status") or {}
        validate_conditions(status.get("conditions"), "status.conditions", errors)
        true = {one.get("type") for one in status.get("conditions") or () if one.get("status") == "True"}
        if true.issuperset(_LASTING):
            path, detail = "status.conditions", "Both success and failed conditions cannot be true at the same time"
            errors.invalid(path, status["conditions"], detail)
        for kind in _LASTING:
            if _is_true(before, kind) and kind not in true:
                errors.invalid("status.conditions", kind, f"{kind} condition cannot be set to false once it is true")
        if before.get("resourceVersion"):
            path = "status.resourceVersion"
            validation.unchanged(status.get("resourceVersion"), before["resourceVersion"], path, errors)


def _is_true(status: Object, kind: str) -> bool:
    return any(one.get("type") == kind and one.get("status") == "True" for one in status.get("conditions") or ())
