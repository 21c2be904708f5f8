"""MutatingAdmissionPolicyBinding, admissionregistration.k8s.io/v1: puts a policy in force, with its parameters.

Source: API reference, MutatingAdmissionPolicyBinding v1 admissionregistration.k8s.io.
"""

from __future__ import annotations

from kybern.api.admissionregistration import policies
from kybern.api.cells import text
from kybern.api.resource import AGE, Column, Deprecated


class MutatingAdmissionPolicyBinding(policies.AdmissionPolicyBinding):
    kind, plural = "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings"
    versioned_updates = True
    versions = ("v1", "v1beta1", "v1alpha1")
    deprecated = {
        version: Deprecated(36, 0, "admissionregistration.k8s.io/v1 MutatingAdmissionPolicyBinding")
        for version in ("v1beta1", "v1alpha1")
    }
    columns = (
        Column("PolicyName", "string", text("spec", "policyName")),
        Column("ParamRef", "string", policies.param_ref),
        AGE,
    )
