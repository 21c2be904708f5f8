"""LocalSubjectAccessReview, authorization.k8s.io/v1. Source: API reference, LocalSubjectAccessReview v1."""

from __future__ import annotations

from kybern.api.authorization.reviews import AccessReview
from kybern.api.cells import at
from kybern.api.field import Errors
from kybern.api.types import Object


class LocalSubjectAccessReview(AccessReview):
    kind, plural = "LocalSubjectAccessReview", "localsubjectaccessreviews"
    namespaced = True

    def validate(self, obj: Object, errors: Errors) -> None:
        super().validate(obj, errors)
        asked = at(obj, "spec", "resourceAttributes", "namespace") or ""
        if asked != (obj["metadata"].get("namespace") or ""):
            detail = "must match metadata.namespace"
            errors.invalid("spec.resourceAttributes.namespace", asked, detail)
        path = at(obj, "spec", "nonResourceAttributes")
        if path is not None:
            errors.invalid("spec.nonResourceAttributes", path, "disallowed on this kind of request")
