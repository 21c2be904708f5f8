"""What roles and bindings share: the rules of policy rules, subjects and role references."""

from __future__ import annotations

from collections.abc import Callable

from kybern.api import names
from kybern.api.cells import at
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column
from kybern.api.types import Object

GROUP = "rbac.authorization.k8s.io"


def check_rules(rules: list[Object], namespaced: bool, errors: Errors) -> None:
    """PolicyRules: what each must name, and that namespaced roles have no non-resource URLs."""
    for index, rule in enumerate(rules):
        path = f"rules[{index}]"
        if not rule.get("verbs"):
            errors.required(f"{path}.verbs", "verbs must contain at least one value")
        if rule.get("nonResourceURLs"):
            if namespaced:
                detail = "namespaced rules cannot apply to non-resource URLs"
                errors.invalid(f"{path}.nonResourceURLs", rule["nonResourceURLs"], detail)
            if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
                detail = "rules cannot apply to both regular resources and non-resource URLs"
                errors.invalid(f"{path}.nonResourceURLs", rule["nonResourceURLs"], detail)
            continue
        if not rule.get("apiGroups"):
            errors.required(f"{path}.apiGroups", "resource rules must supply at least one api group")
        if not rule.get("resources"):
            errors.required(f"{path}.resources", "resource rules must supply at least one resource")


def default_binding(obj: Object) -> None:
    """roleRef and subjects get the API group that their kind implies."""
    role = obj.setdefault("roleRef", {})
    role["apiGroup"] = role.get("apiGroup") or GROUP
    for subject in obj.get("subjects") or []:
        if not subject.get("apiGroup"):
            group = GROUP if subject.get("kind") in ("User", "Group") else ""
            if group:
                subject["apiGroup"] = group


def check_binding(obj: Object, namespaced: bool, errors: Errors) -> None:
    """roleRef and subjects."""
    role = obj.get("roleRef") or {}
    if role.get("apiGroup") != GROUP:
        errors.unsupported("roleRef.apiGroup", role.get("apiGroup") or "", (GROUP,))
    kinds = ("ClusterRole", "Role") if namespaced else ("ClusterRole",)
    if role.get("kind") not in kinds:
        errors.unsupported("roleRef.kind", role.get("kind") or "", kinds)
    if not role.get("name"):
        errors.required("roleRef.name")
    else:
        for problem in names.path_segment(role["name"]):
            errors.invalid("roleRef.name", role["name"], problem)
    for index, subject in enumerate(obj.get("subjects") or []):
        _check_subject(subject, namespaced, f"subjects[{index}]", errors)


def _check_subject(subject: Object, namespaced: bool, path: str, errors: Errors) -> None:
    name, kind, group = subject.get("name"), subject.get("kind") or "", subject.get("apiGroup") or ""
    if not name:
        errors.required(f"{path}.name")
    if kind == "ServiceAccount":
        for problem in names.dns_subdomain(name) if name else []:
            errors.invalid(f"{path}.name", name, problem)
        if group:
            errors.unsupported(f"{path}.apiGroup", group, ("",))
        if not namespaced and not subject.get("namespace"):
            errors.required(f"{path}.namespace")
    elif kind in ("User", "Group"):
        if group != GROUP:
            errors.unsupported(f"{path}.apiGroup", group, (GROUP,))
    else:
        errors.unsupported(f"{path}.kind", kind, ("Group", "ServiceAccount", "User"))


def check_same_role(obj: Object, old: Object, errors: Errors) -> None:
    """A binding keeps its role."""
    if obj.get("roleRef") != old.get("roleRef"):
        errors.invalid("roleRef", obj.get("roleRef"), "cannot change roleRef")


def _subjects(kind: str) -> Callable[[Object], str]:
    def cell(obj: Object) -> str:
        found = [s for s in obj.get("subjects") or [] if s.get("kind") == kind]
        if kind == "ServiceAccount":
            return ", ".join(f"{s.get('namespace', '')}/{s.get('name', '')}" for s in found)
        return ", ".join(str(s.get("name", "")) for s in found)

    return cell


BINDING_COLUMNS = (
    Column("Role", "string", lambda o: f"{at(o, 'roleRef', 'kind') or ''}/{at(o, 'roleRef', 'name') or ''}"),
    AGE,
    Column("Users", "string", _subjects("User"), "", 1),
    Column("Groups", "string", _subjects("Group"), "", 1),
    Column("ServiceAccounts", "string", _subjects("ServiceAccount"), "", 1),
)
