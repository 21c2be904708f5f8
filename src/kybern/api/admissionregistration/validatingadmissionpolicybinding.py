"""ValidatingAdmissionPolicyBinding, admissionregistration.k8s.io/v1: puts a policy in force, with its parameters.

Source: API reference, ValidatingAdmissionPolicyBinding v1 admissionregistration.k8s.io.
"""

from __future__ import annotations

from kybern.api.admissionregistration import policies
from kybern.api.cells import text
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column
from kybern.api.types import Object

_ACTIONS = ("Audit", "Deny", "Warn")
_BOTH = (
    "must not contain both Deny and Warn (repeating the same validation failure information in the API response and "
    "headers serves no purpose)"
)


class ValidatingAdmissionPolicyBinding(policies.AdmissionPolicyBinding):
    kind, plural = "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings"
    versioned_updates = True
    columns = (
        Column("PolicyName", "string", text("spec", "policyName")),
        Column("ParamRef", "string", policies.param_ref),
        AGE,
    )

    def validate(self, obj: Object, errors: Errors) -> None:
        super().validate(obj, errors)
        path, actions = "spec.validationActions", obj["spec"].get("validationActions") or []
        for index, action in enumerate(actions):
            if action not in _ACTIONS:
                errors.unsupported(f"{path}[{index}]", action, _ACTIONS)
            if action in actions[:index]:
                errors.duplicate(f"{path}[{index}]", action)
        if "Deny" in actions and "Warn" in actions:
            errors.invalid(path, actions, _BOTH)
        if not actions:
            errors.required(path, "at least one validation action is required")
