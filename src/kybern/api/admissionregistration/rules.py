"""Which requests a webhook or a policy is about: the rules of RuleWithOperations, and what they match.

Source: API reference, RuleWithOperations v1 admissionregistration.k8s.io.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kybern.api.field import Errors
from kybern.api.types import Object

OPERATIONS = ("*", "CONNECT", "CREATE", "DELETE", "UPDATE")
SCOPES = ("*", "Cluster", "Namespaced")


class Asked(NamedTuple):
    """What is asked for, as rules see it. `namespace` is the name where it is a namespace itself."""

    operation: str
    group: str
    version: str
    resource: str
    subresource: str
    namespace: str


def default(rule: Object) -> None:
    """Fill in the scope."""
    rule["scope"] = rule.get("scope") or "*"


def matches(rule: Object, asked: Asked) -> bool:
    """Whether the rule is about that."""
    return (
        _among(rule.get("operations"), asked.operation)
        and _among(rule.get("apiGroups"), asked.group)
        and _among(rule.get("apiVersions"), asked.version)
        and _names(rule, asked.resource, asked.subresource)
        and _in_scope(rule.get("scope") or "*", asked)
    )


def may_match(rule: Object, operation: str, plural: str) -> bool:
    """Whether it may be about some request of that operation for the resource, in whatever group and version."""
    named = {text.partition("/")[0] for text in rule.get("resources") or ()}
    return _among(rule.get("operations"), operation) and bool(named & {"*", plural})


def _among(items: Iterable[str] | None, wanted: str) -> bool:
    return any(item in ("*", wanted) for item in items or ())


def _names(rule: Object, resource: str, subresource: str) -> bool:
    for text in rule.get("resources") or ():
        plural, _, part = text.partition("/")
        if plural in ("*", resource) and part in ("*", subresource):
            return True
    return False


def _in_scope(scope: str, asked: Asked) -> bool:
    # Namespaces are cluster-scoped, though requests for them have a namespace: their own name.
    cluster = not asked.namespace or (asked.group, asked.version, asked.resource) == ("", "v1", "namespaces")
    return scope == "*" or cluster is (scope == "Cluster")


def validate(rule: Object, path: str, errors: Errors) -> None:
    """The rules of a RuleWithOperations."""
    operations = rule.get("operations") or []
    if not operations:
        errors.required(f"{path}.operations")
    if len(operations) > 1 and "*" in operations:
        errors.invalid(f"{path}.operations", operations, "if '*' is present, must not specify other operations")
    for index, operation in enumerate(operations):
        if operation not in OPERATIONS:
            errors.unsupported(f"{path}.operations[{index}]", operation, OPERATIONS)
    for field, words in (("apiGroups", "API groups"), ("apiVersions", "API versions")):
        values = rule.get(field) or []
        if not values:
            errors.required(f"{path}.{field}")
        if len(values) > 1 and "*" in values:
            errors.invalid(f"{path}.{field}", values, f"if '*' is present, must not specify other {words}")
    for index, version in enumerate(rule.get("apiVersions") or ()):
        if not version:
            errors.required(f"{path}.apiVersions[{index}]")
    _validate_resources(rule.get("resources") or [], f"{path}.resources", errors)
    if rule.get("scope") is not None and rule["scope"] not in SCOPES:
        errors.unsupported(f"{path}.scope", rule["scope"], SCOPES)


def _validate_resources(resources: list[str], path: str, errors: Errors) -> None:
    if not resources:
        errors.required(path)
    all_parts: set[str] = set()
    everywhere: set[str] = set()
    for index, text in enumerate(resources):
        where = f"{path}[{index}]"
        if not text:
            errors.required(where)
            continue
        plural, slash, part = text.partition("/")
        if not slash:
            continue
        if plural in all_parts:
            errors.invalid(where, text, f"if '{plural}/*' is present, must not specify {text}")
        if part in everywhere:
            errors.invalid(where, text, f"if '*/{part}' is present, must not specify {text}")
        if part == "*":
            all_parts.add(plural)
        if plural == "*":
            everywhere.add(part)
    if len(resources) > 1 and "*/*" in resources:
        errors.invalid(path, resources, "if '*/*' is present, must not specify other resources")
    if "*" in resources and any("/" not in text and text not in ("", "*") for text in resources):
        detail = "if '*' is present, must not specify other resources without subresources"
        errors.invalid(path, resources, detail)
