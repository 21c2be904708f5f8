"""What validating and mutating admission policies and their bindings have in common: defaults and rules.

Source: API reference, ValidatingAdmissionPolicy and MutatingAdmissionPolicy v1 admissionregistration.k8s.io.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from kybern.api import names, selectors, validation
from kybern.api.admissionregistration import conditions, rules, variables
from kybern.api.cel.escaping import RESERVED
from kybern.api.cel.program import ExpressionError, compiled
from kybern.api.cells import at
from kybern.api.field import Errors
from kybern.api.resource import Resource
from kybern.api.types import Object

_IDENTIFIER = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_MATCH_POLICIES, _FAILURE_POLICIES = ("Equivalent", "Exact"), ("Fail", "Ignore")
_NOT_FOUND_ACTIONS = ("Allow", "Deny")


class AdmissionPolicy(Resource):
    """The base of both kinds of policies."""

    group, namespaced = "admissionregistration.k8s.io", False
    categories = ("api-extensions",)

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec["failurePolicy"] = spec.get("failurePolicy") or "Fail"
        default_matching(spec.get("matchConstraints"))

    def validate(self, obj: Object, errors: Errors) -> None:
        self.check(obj, set(), errors)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        same = at(obj, "spec", "paramKind") == at(old, "spec", "paramKind")
        self.check(obj, {text for _, text in self.expressions(old)} if same else set(), errors)

    def expressions(self, obj: Object) -> Iterator[tuple[str, str]]:
        """(path, expression) of all but match conditions and variables."""
        return iter(())

    def check(self, obj: Object, stored: Collection[str], errors: Errors) -> None:
        """All rules; expressions that are `stored` were found good before."""
        spec = obj["spec"]
        validation.one_of(spec.get("failurePolicy"), _FAILURE_POLICIES, "spec.failurePolicy", errors)
        if spec.get("paramKind") is not None:
            _check_param_kind(spec["paramKind"], "spec.paramKind", errors)
        constraints = spec.get("matchConstraints")
        if constraints is None:
            errors.required("spec.matchConstraints")
        else:
            check_matching(constraints, "spec.matchConstraints", errors)
            if not constraints.get("resourceRules"):
                errors.required("spec.matchConstraints.resourceRules")
        known = with_params(variables.CONDITION, spec)
        conditions.validate(spec.get("matchConditions") or [], "spec.matchConditions", errors, known)


def with_params(known: dict[str, str], spec: Object) -> dict[str, str]:
    """Variables, with params where a policy has any."""
    return {**known, "params": "dyn"} if spec.get("paramKind") is not None else known


def check_variables(spec: Object, errors: Errors) -> dict[str, str]:
    """The rules of a policy's variables; what its other expressions may use, name -> type."""
    known = with_params({**variables.CONDITION, "namespaceObject": "dyn"}, spec)
    said = spec.get("variables") or ()
    seen: set[str] = set()
    for index, variable in enumerate(said):
        path, name, text = f"spec.variables[{index}]", variable.get("name") or "", variable.get("expression") or ""
        if not name.strip():
            errors.required(f"{path}.name", "name is not specified")
        elif not _IDENTIFIER.fullmatch(name) or name in RESERVED:
            errors.invalid(f"{path}.name", name, "name is not a valid CEL identifier")
        elif name in seen:
            errors.duplicate(f"{path}.name", name)
        seen.add(name)
        if not text.strip():
            errors.required(f"{path}.expression", "expression is not specified")
        elif problem := conditions.uncompilable(text, known, ()):
            errors.invalid(f"{path}.expression", text, problem)
        elif _IDENTIFIER.fullmatch(name):
            known = {**known, f"variables.{name}": _type_of(text, known)}
    return known


def _type_of(text: str, known: dict[str, str]) -> str:
    """The type of a variable, where that can be said without the types of objects."""
    try:
        return compiled(text, known).result
    except ExpressionError:
        return "dyn"


def check_expression(text: str, known: dict[str, str], expects: Collection[str], path: str, errors: Errors) -> None:
    """The rules of an expression over the variables `known`."""
    if not text.strip():
        errors.required(path, "expression is not specified")
    elif problem := conditions.uncompilable(text, known, expects):
        errors.invalid(path, text, problem)


def _check_param_kind(said: Object, path: str, errors: Errors) -> None:
    api_version, kind = said.get("apiVersion") or "", said.get("kind") or ""
    group, _, version = api_version.rpartition("/")
    if not api_version:
        errors.required(f"{path}.apiVersion")
    elif api_version.count("/") > 1:
        errors.invalid(f"{path}.apiVersion", api_version, f"unexpected GroupVersion string: {api_version}")
    else:
        if group and (problems := names.dns_subdomain(group)):
            errors.invalid(f"{path}.apiVersion", group, ",".join(problems))
        if not version:
            errors.invalid(f"{path}.apiVersion", api_version, "version must be specified")
        elif problems := names.dns1035_label(version):
            errors.invalid(f"{path}.apiVersion", version, ",".join(problems))
    if not kind:
        errors.required(f"{path}.kind")
    elif problems := names.dns1035_label(kind.lower()):
        detail = f"may have mixed case, but should otherwise match: {','.join(problems)}"
        errors.invalid(f"{path}.kind", kind, detail)


# MatchResources.


def default_matching(said: Object | None) -> None:
    """Fill in what a MatchResources leaves out."""
    if said is None:
        return
    said["matchPolicy"] = said.get("matchPolicy") or "Equivalent"
    for field in ("namespaceSelector", "objectSelector"):
        if said.get(field) is None:
            said[field] = {}
    for rule in (*(said.get("resourceRules") or ()), *(said.get("excludeResourceRules") or ())):
        rules.default(rule)


def check_matching(said: Object, path: str, errors: Errors) -> None:
    """The rules of a MatchResources."""
    validation.one_of(said.get("matchPolicy"), _MATCH_POLICIES, f"{path}.matchPolicy", errors)
    for field in ("namespaceSelector", "objectSelector"):
        if said.get(field) is None:
            errors.required(f"{path}.{field}")
        else:
            selectors.validate_object(said[field], f"{path}.{field}", errors)
    for field in ("resourceRules", "excludeResourceRules"):
        for index, rule in enumerate(said.get(field) or ()):
            _check_named_rule(rule, f"{path}.{field}[{index}]", errors)


def _check_named_rule(rule: Object, path: str, errors: Errors) -> None:
    seen: set[str] = set()
    for index, name in enumerate(rule.get("resourceNames") or ()):
        for problem in names.path_segment(name):
            errors.invalid(f"{path}.resourceNames[{index}]", name, problem)
        if name in seen:
            errors.duplicate(f"{path}.resourceNames[{index}]", name)
        seen.add(name)
    rules.validate(rule, path, errors)


# Bindings.


class AdmissionPolicyBinding(Resource):
    """The base of both kinds of bindings."""

    group, namespaced = "admissionregistration.k8s.io", False
    categories = ("api-extensions",)

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        default_matching(spec.get("matchResources"))
        ref = spec.get("paramRef")
        if ref is not None:
            ref["parameterNotFoundAction"] = ref.get("parameterNotFoundAction") or "Deny"

    def validate(self, obj: Object, errors: Errors) -> None:
        spec = obj["spec"]
        name = spec.get("policyName") or ""
        if not name:
            errors.required("spec.policyName")
        for problem in names.dns_subdomain(name) if name else ():
            errors.invalid("spec.policyName", name, problem)
        if spec.get("paramRef") is not None:
            _check_param_ref(spec["paramRef"], "spec.paramRef", errors)
        if spec.get("matchResources") is not None:
            check_matching(spec["matchResources"], "spec.matchResouces", errors)


def _check_param_ref(ref: Object, path: str, errors: Errors) -> None:
    name, selector = ref.get("name") or "", ref.get("selector")
    for problem in names.path_segment(name) if name else ():
        errors.invalid(f"{path}.name", name, problem)
    if name and selector is not None:
        errors.forbidden(f"{path}.name", "name and selector are mutually exclusive")
    if selector is not None:
        selectors.validate_object(selector, f"{path}.selector", errors)
        if name:
            errors.forbidden(f"{path}.selector", "name and selector are mutually exclusive")
    if not name and selector is None:
        errors.required(path, "one of name or selector must be specified")
    validation.one_of(
        ref.get("parameterNotFoundAction"), _NOT_FOUND_ACTIONS, f"{path}.parameterNotFoundAction", errors
    )


# Cells.


def param_kind(obj: Object) -> str:
    """The ParamKind column."""
    said = at(obj, "spec", "paramKind")
    return f"{said.get('apiVersion')}/{said.get('kind')}" if said else "<unset>"


def param_ref(obj: Object) -> str:
    """The ParamRef column."""
    said = at(obj, "spec", "paramRef") or {}
    if said.get("name"):
        return f"{said['namespace']}/{said['name']}" if said.get("namespace") else str(said["name"])
    return "*" if said.get("selector") is not None else "<unset>"


def only_operations(constraints: Object | None, allowed: Iterable[str], errors: Errors) -> None:
    """The operations that a policy may be about."""
    for index, rule in enumerate((constraints or {}).get("resourceRules") or ()):
        for place, operation in enumerate(rule.get("operations") or ()):
            if operation in rules.OPERATIONS and operation not in allowed:
                path = f"spec.matchConstraints.resourceRules[{index}].operations[{place}]"
                errors.unsupported(path, operation, allowed)
