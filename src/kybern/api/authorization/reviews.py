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
        for field in ("fieldSelector", "labelSelector"):
            if resource is not None and resource.get(field) is not None:
                _validate_selector(resource[field], f"spec.resourceAttributes.{field}", errors)
        if self.names_user and not spec.get("user") and not spec.get("groups"):
            errors.invalid("spec.user", "", "at least one of user or group must be specified")


def _validate_selector(selector: Object, path: str, errors: Errors) -> None:
    raw, requirements = selector.get("rawSelector") or "", selector.get("requirements") or []
    if raw and requirements:
        errors.invalid(f"{path}.rawSelector", raw, "may not specified at the same time as requirements")
    if not raw and not requirements:
        errors.required(f"{path}.requirements", f"when {path} is specified, requirements or rawSelector is required")
    for number, requirement in enumerate(requirements):
        at, operator = f"{path}.requirements[{number}]", requirement.get("operator") or ""
        if not requirement.get("key"):
            errors.required(f"{at}.key", "must be specified")
        values = requirement.get("values") or []
        if operator in ("In", "NotIn"):
            if not values:
                errors.required(f"{at}.values", "must be specified when `operator` is 'In' or 'NotIn'")
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                errors.forbidden(f"{at}.values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
        else:
            errors.unsupported(f"{at}.operator", operator, ("In", "NotIn", "Exists", "DoesNotExist"))
