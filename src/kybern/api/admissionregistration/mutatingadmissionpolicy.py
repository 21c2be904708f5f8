"""MutatingAdmissionPolicy, admissionregistration.k8s.io/v1: CEL expressions that change what is written.

Source: API reference, MutatingAdmissionPolicy v1 admissionregistration.k8s.io; KEP-3962.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from kybern.api import validation
from kybern.api.admissionregistration import mutations, policies
from kybern.api.cells import at
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Deprecated
from kybern.api.types import Object

_OPERATIONS = ("*", "CONNECT", "CREATE", "UPDATE")
_REINVOCATION = ("IfNeeded", "Never")
_TYPES = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}


class MutatingAdmissionPolicy(policies.AdmissionPolicy):
    kind, plural = "MutatingAdmissionPolicy", "mutatingadmissionpolicies"
    versioned_updates = True
    versions = ("v1", "v1beta1", "v1alpha1")
    deprecated = {
        version: Deprecated(36, 0, "admissionregistration.k8s.io/v1 MutatingAdmissionPolicy")
        for version in ("v1beta1", "v1alpha1")
    }
    columns = (
        Column("Mutations", "integer", lambda obj: len(at(obj, "spec", "mutations") or ())),
        Column("ParamKind", "string", policies.param_kind),
        AGE,
    )

    def default(self, obj: Object) -> None:
        super().default(obj)
        obj["spec"]["reinvocationPolicy"] = obj["spec"].get("reinvocationPolicy") or "Never"

    def expressions(self, obj: Object) -> Iterator[tuple[str, str]]:
        for index, said in enumerate(at(obj, "spec", "mutations") or ()):
            field = _TYPES.get(said.get("patchType") or "", "")
            yield f"spec.mutations[{index}].{field}.expression", at(said, field, "expression") or ""

    def check(self, obj: Object, stored: Collection[str], errors: Errors) -> None:
        super().check(obj, stored, errors)
        spec = obj["spec"]
        policies.only_operations(spec.get("matchConstraints"), _OPERATIONS, errors)
        validation.one_of(spec.get("reinvocationPolicy"), _REINVOCATION, "spec.reinvocationPolicy", errors)
        known = policies.check_variables(spec, errors)
        if not spec.get("mutations"):
            errors.required("spec.mutations", "mutations must contain at least one item")
        for index, said in enumerate(spec.get("mutations") or ()):
            _check_mutation(said, known, f"spec.mutations[{index}]", errors)


def _check_mutation(said: Object, known: dict[str, str], path: str, errors: Errors) -> None:
    kind = said.get("patchType") or ""
    validation.one_of(kind, _TYPES, f"{path}.patchType", errors)
    for one, field in _TYPES.items():
        if one != kind and said.get(field) is not None:
            errors.forbidden(f"{path}.{field}", f"must not be specified when patchType is {kind}")
    field = _TYPES.get(kind, "")
    if not field:
        return
    text = at(said, field, "expression") or ""
    if said.get(field) is None:
        errors.required(f"{path}.{field}", f"must be specified when patchType is {kind}")
    elif not text.strip():
        errors.required(f"{path}.{field}.expression", "expression is not specified")
    elif problem := mutations.uncompilable(text, kind, known):
        errors.invalid(f"{path}.{field}.expression", text, problem)
