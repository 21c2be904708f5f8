"""ValidatingAdmissionPolicy, admissionregistration.k8s.io/v1: CEL expressions that may refuse writes.

Source: API reference, ValidatingAdmissionPolicy v1 admissionregistration.k8s.io; KEP-3488.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from kybern.api import names
from kybern.api.admissionregistration import policies
from kybern.api.cells import at
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column
from kybern.api.types import Object

MAX_ANNOTATIONS, MAX_ANNOTATION_LENGTH = 20, 5 * 1024
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge", "Unauthorized")
_NONE = "validations or auditAnnotations must contain at least one item"


class ValidatingAdmissionPolicy(policies.AdmissionPolicy):
    kind, plural = "ValidatingAdmissionPolicy", "validatingadmissionpolicies"
    versioned_updates = True
    has_status = True
    columns = (
        Column("Validations", "integer", lambda obj: len(at(obj, "spec", "validations") or ())),
        Column("ParamKind", "string", policies.param_kind),
        AGE,
    )

    def expressions(self, obj: Object) -> Iterator[tuple[str, str]]:
        for index, said in enumerate(at(obj, "spec", "validations") or ()):
            for key in ("expression", "messageExpression"):
                if said.get(key):
                    yield f"spec.validations[{index}].{key}", said[key]
        for index, said in enumerate(at(obj, "spec", "auditAnnotations") or ()):
            yield f"spec.auditAnnotations[{index}].valueExpression", said.get("valueExpression") or ""

    def check(self, obj: Object, stored: Collection[str], errors: Errors) -> None:
        super().check(obj, stored, errors)
        spec = obj["spec"]
        known = policies.check_variables(spec, errors)
        validations, annotations = spec.get("validations") or [], spec.get("auditAnnotations") or []
        if not validations and not annotations:
            errors.required("spec.validations", _NONE)
            errors.required("spec.auditAnnotations", _NONE)
        for index, said in enumerate(validations):
            _check_validation(said, known, f"spec.validations[{index}]", errors)
        if len(annotations) > MAX_ANNOTATIONS:
            detail = f"must not have more than {MAX_ANNOTATIONS} auditAnnotations"
            errors.invalid("spec.auditAnnotations", annotations, detail)
        seen: set[str] = set()
        for index, said in enumerate(annotations):
            path, key = f"spec.auditAnnotations[{index}]", said.get("key") or ""
            _check_annotation(obj["metadata"].get("name") or "", said, known, path, errors)
            if key in seen:
                errors.duplicate(f"{path}.key", key)
            seen.add(key)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        for index, said in enumerate(at(obj, "status", "typeChecking", "expressionWarnings") or ()):
            for key in ("warning", "fieldRef"):
                if not (said.get(key) or "").strip():
                    errors.required(f"status.typeChecking.expressionWarnings[{index}].{key}")


def _check_validation(said: Object, known: dict[str, str], path: str, errors: Errors) -> None:
    policies.check_expression(said.get("expression") or "", known, ("bool",), f"{path}.expression", errors)
    source, message = said.get("messageExpression") or "", said.get("message") or ""
    if source and not source.strip():
        errors.invalid(f"{path}.messageExpression", source, "must be non-empty if specified")
    elif source:
        without = {name: kind for name, kind in known.items() if not name.startswith("authorizer")}
        policies.check_expression(source, without, ("string",), f"{path}.messageExpression", errors)
    if message and not message.strip():
        errors.invalid(f"{path}.message", message, "message must be non-empty if specified")
    elif "\n" in message.strip() or "\r" in message.strip():
        errors.invalid(f"{path}.message", message, "message must not contain line breaks")
    if said.get("reason") is not None and said["reason"] not in _REASONS:
        errors.unsupported(f"{path}.reason", said["reason"], _REASONS)


def _check_annotation(name: str, said: Object, known: dict[str, str], path: str, errors: Errors) -> None:
    key, source = said.get("key") or "", said.get("valueExpression") or ""
    if name:
        for problem in names.qualified_name(f"{name}/{key}"):
            errors.invalid(f"{path}.key", f"{name}/{key}", problem)
    else:
        errors.invalid(f"{path}.key", key, "requires metadata.name be non-empty")
    if not source.strip():
        errors.required(f"{path}.valueExpression", "valueExpression is not specified")
    elif len(source.strip().encode()) > MAX_ANNOTATION_LENGTH:
        detail = f"must not exceed {MAX_ANNOTATION_LENGTH} bytes in length"
        errors.required(f"{path}.valueExpression", detail)
    else:
        policies.check_expression(source, known, ("string", "null_type"), f"{path}.valueExpression", errors)
