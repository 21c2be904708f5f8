"""PodGroup, scheduling.k8s.io/v1alpha2: pods that are scheduled together. Source: API reference; KEP-4671."""

from __future__ import annotations

from kybern.api import names, validation
from kybern.api.cells import at, text
from kybern.api.conditions import validate_conditions
from kybern.api.core.podspec_checks import required
from kybern.api.field import Errors
from kybern.api.resource import AGE, METADATA, Column, Preparation, Resource
from kybern.api.scheduling.podgroups import validate_group
from kybern.api.types import Object
from kybern.process import features


class PodGroup(Resource):
    group, kind, plural = "scheduling.k8s.io", "PodGroup", "podgroups"
    versions = ("v1alpha2",)
    gate = "GenericWorkload"
    has_status = True
    status_keeps = METADATA
    columns = (
        Column("Workload", "string", text("spec", "podGroupTemplateRef", "workload", "workloadName")),
        AGE,
    )

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        if features.enabled("WorkloadAwarePreemption"):
            spec.setdefault("disruptionMode", "Pod")

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {}

    def validate(self, obj: Object, errors: Errors) -> None:
        spec = obj["spec"]
        validate_group(spec, "spec", errors)
        reference, path = spec.get("podGroupTemplateRef"), "spec.podGroupTemplateRef"
        workload = (reference or {}).get("workload")
        if reference is not None and workload is None:
            errors.invalid(path, "", "must specify exactly one of: `workload`")
        elif workload is not None:
            path += ".workload"
            required(names.dns_subdomain, workload.get("workloadName"), f"{path}.workloadName", errors)
            required(names.dns_label, workload.get("podGroupTemplateName"), f"{path}.podGroupTemplateName", errors)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        validation.unchanged(obj["spec"], old["spec"], "spec", errors)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        validate_conditions(at(obj, "status", "conditions"), "status.conditions", errors)
        known = {claim.get("name") for claim in at(obj, "spec", "resourceClaims") or ()}
        for index, claim in enumerate(at(obj, "status", "resourceClaimStatuses") or ()):
            path = f"status.resourceClaimStatuses[{index}]"
            if claim.get("name") not in known:
                detail = "must match the name of an entry in `spec.resourceClaims`"
                errors.invalid(f"{path}.name", claim.get("name") or "", detail)
            if claim.get("resourceClaimName"):
                for problem in names.dns_subdomain(claim["resourceClaimName"]):
                    errors.invalid(f"{path}.resourceClaimName", claim["resourceClaimName"], problem)
