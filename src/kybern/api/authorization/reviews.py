"""The rules that the access reviews share."""

from __future__ import annotations

from kybern.api.field import Errors
from kybern.api.resource import Resource
from kybern.api.types import Object

GROUP = "authorization.k8s.io"


class AccessReview(Resource):
    """Base of the access reviews: create only, never stored."""

    group = GROUP
    namespaced = False
    verbs = ("create",)
    has_generation = False
    names_user = True
    """Whether spec says who is asked about; else it is the caller."""

    def validate(self, obj: Object, errors: Errors) -> None:
        spec = obj.get("spec") or {}
        resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
        if resource is not None and path is not None:
            detail = "cannot be specified in combination with resourceAttributes"
            errors.invalid("spec.nonResourceAttributes", path, detail)
        if resource is None and path is None:
            detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
            errors.invalid("spec.resourceAttributes", None, detail)
        if self.names_user and not spec.get("user") and not spec.get("groups"):
            errors.invalid("spec.user", "", "at least one of user or group must be specified")
