"""ResourceClaimTemplate, resource.k8s.io/v1, v1beta2 and v1beta1.

Source: API reference, ResourceClaimTemplate v1 resource.k8s.io.
"""

from __future__ import annotations

from kybern.api import meta, validation
from kybern.api.dra import conversion
from kybern.api.dra.claims import default_claim, validate_claim
from kybern.api.field import Errors
from kybern.api.resource import Resource
from kybern.api.types import Object

_METADATA = ("annotations", "labels")


class ResourceClaimTemplate(Resource):
    group, kind, plural = "resource.k8s.io", "ResourceClaimTemplate", "resourceclaimtemplates"
    versions = ("v1", "v1beta2", "v1beta1")
    deprecated = conversion.DEPRECATED
    reshapes = frozenset({f"resource.k8s.io/{conversion.FLAT}"})
    has_generation = False

    def default(self, obj: Object) -> None:
        default_claim(obj.setdefault("spec", {}).setdefault("spec", {}))

    def validate(self, obj: Object, errors: Errors) -> None:
        metadata = obj["spec"].get("metadata") or {}
        meta.validate_annotations(metadata.get("annotations"), "spec.metadata.annotations", errors)
        meta.validate_labels(metadata.get("labels"), "spec.metadata.labels", errors)
        for key, value in metadata.items():
            if value and key not in _METADATA:
                errors.forbidden(f"spec.metadata.{key}", "cannot be set")
        validate_claim(obj["spec"].get("spec") or {}, "spec.spec", errors)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        validation.unchanged(obj["spec"], old["spec"], "spec", errors)

    def convert(self, obj: Object, version: str) -> Object:
        here, made = conversion.version_of(obj), super().convert(obj, version)
        if here != version and conversion.FLAT in (here, version):
            change = conversion.flat_claim if version == conversion.FLAT else conversion.full_claim
            spec = made.get("spec") or {}
            made["spec"] = {**spec, "spec": change(spec.get("spec") or {})}
        return made
