"""IngressClass, networking.k8s.io/v1. Source: API reference, IngressClass v1 networking.k8s.io."""

from __future__ import annotations

from kybern.api import names, validation
from kybern.api.cells import at, text
from kybern.api.field import Errors
from kybern.api.networking import references
from kybern.api.resource import AGE, Column, Resource
from kybern.api.types import Object

DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"
_MAX_CONTROLLER = 250
_SCOPES = ("Cluster", "Namespace")


def is_default(obj: Object) -> bool:
    """Whether ingresses without a class get this one."""
    return (obj["metadata"].get("annotations") or {}).get(DEFAULT_CLASS) == "true"


def _parameters(obj: Object) -> str:
    found = at(obj, "spec", "parameters")
    if not found:
        return "<none>"
    group = f".{found['apiGroup']}" if found.get("apiGroup") is not None else ""
    return f"{found.get('kind')}{group}/{found.get('name')}"


class IngressClass(Resource):
    group, kind, plural = "networking.k8s.io", "IngressClass", "ingressclasses"
    namespaced = False
    columns = (
        Column("Controller", "string", text("spec", "controller")),
        Column("Parameters", "string", _parameters),
        AGE,
    )

    def display_name(self, obj: Object) -> str:
        return super().display_name(obj) + (" (default)" if is_default(obj) else "")

    def default(self, obj: Object) -> None:
        parameters = obj.setdefault("spec", {}).get("parameters")
        if parameters is not None:
            parameters.setdefault("scope", "Cluster")

    def validate(self, obj: Object, errors: Errors) -> None:
        spec = obj["spec"]
        controller = spec.get("controller") or ""
        if not controller:
            errors.required("spec.controller")
        else:
            if len(controller.encode()) > _MAX_CONTROLLER:
                errors.too_long("spec.controller", _MAX_CONTROLLER)
            validation.domain_prefixed_path(controller, "spec.controller", errors)
        if spec.get("parameters") is not None:
            _check_parameters(spec["parameters"], "spec.parameters", errors)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        validation.unchanged(
            obj["spec"].get("controller"), at(old, "spec", "controller"), "spec.controller", errors
        )


def _check_parameters(found: Object, path: str, errors: Errors) -> None:
    references.check_typed(found, path, errors)
    scope, namespace = found.get("scope"), found.get("namespace")
    if scope not in _SCOPES:
        errors.unsupported(f"{path}.scope", scope, _SCOPES)
    elif scope == "Cluster":
        if namespace is not None:
            errors.forbidden(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'")
    elif namespace is None:
        errors.required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")
    else:
        for problem in names.dns_label(namespace):
            errors.invalid(f"{path}.namespace", namespace, problem)
