"""The bootstrap policy as objects: every role and binding that a cluster has from its first moment."""

from __future__ import annotations

from collections.abc import Iterator

from kybern.api.types import Object
from kybern.apiserver.authz.policy_cluster import (
    AGGREGATE_TO,
    AGGREGATED,
    CLUSTER_BINDINGS,
    CLUSTER_ROLES,
    aggregation_label,
)
from kybern.apiserver.authz.policy_controllers import CONTROLLER_ROLES
from kybern.apiserver.authz.policy_namespaced import ROLE_BINDINGS, ROLES

GROUP = "rbac.authorization.k8s.io"
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"
LABELS = {"kubernetes.io/bootstrapping": "rbac-defaults"}
_MANAGER = "User/system:kube-controller-manager"


def cluster_roles() -> Iterator[Object]:
    """ClusterRoles; the aggregated ones with the rules they come to."""
    roles = {name: _role("ClusterRole", name, rules) for name, rules in CLUSTER_ROLES.items()}
    for name, target in AGGREGATE_TO.items():
        roles[name]["metadata"]["labels"][aggregation_label(target)] = "true"
    for name, (made_of, part_of) in AGGREGATED.items():
        role = _role("ClusterRole", name, aggregated_rules(made_of))
        role["aggregationRule"] = {"clusterRoleSelectors": [{"matchLabels": {aggregation_label(made_of): "true"}}]}
        if part_of:
            role["metadata"]["labels"][aggregation_label(part_of)] = "true"
        roles[name] = role
    for name, rules in CONTROLLER_ROLES.items():
        roles[f"system:controller:{name}"] = _role("ClusterRole", f"system:controller:{name}", rules)
    yield from roles.values()


def aggregated_rules(role: str) -> list[Object]:
    """What admin, edit and view come to: their own part and those of the roles below them."""
    rules = list(CLUSTER_ROLES[f"system:aggregate-to-{role}"])
    for below, (_, part_of) in AGGREGATED.items():
        if part_of == role:
            rules += [rule for rule in aggregated_rules(below) if rule not in rules]
    return rules


def cluster_role_bindings() -> Iterator[Object]:
    """ClusterRoleBindings."""
    for name, subjects in CLUSTER_BINDINGS.items():
        yield _binding("ClusterRoleBinding", name, "", "ClusterRole", name, subjects)
    for name in CONTROLLER_ROLES:
        # A controller manager that runs all loops with its own credentials needs what each of them may do.
        subjects = (f"ServiceAccount/kube-system/{name}", _MANAGER)
        role = f"system:controller:{name}"
        yield _binding("ClusterRoleBinding", role, "", "ClusterRole", role, subjects)


def roles() -> Iterator[Object]:
    """Roles."""
    for (namespace, name), rules in ROLES.items():
        yield _role("Role", name, rules, namespace)


def role_bindings() -> Iterator[Object]:
    """RoleBindings."""
    for (namespace, name), (role, subjects) in ROLE_BINDINGS.items():
        yield _binding("RoleBinding", name, namespace, "Role", role, subjects)


def _head(kind: str, name: str, namespace: str) -> Object:
    meta: Object = {"name": name, "labels": dict(LABELS), "annotations": {AUTOUPDATE: "true"}}
    if namespace:
        meta["namespace"] = namespace
    return {"kind": kind, "apiVersion": f"{GROUP}/v1", "metadata": meta}


def _role(kind: str, name: str, rules: list[Object], namespace: str = "") -> Object:
    return {**_head(kind, name, namespace), "rules": [dict(rule) for rule in rules]}


def _binding(kind: str, name: str, namespace: str, role_kind: str, role: str, subjects: tuple[str, ...]) -> Object:
    made = _head(kind, name, namespace)
    made["roleRef"] = {"apiGroup": GROUP, "kind": role_kind, "name": role}
    if subjects:
        made["subjects"] = [_subject(subject) for subject in subjects]
    return made


def _subject(text: str) -> Object:
    kind, _, name = text.partition("/")
    if kind != "ServiceAccount":
        return {"kind": kind, "apiGroup": GROUP, "name": name}
    namespace, _, account = name.partition("/")
    return {"kind": kind, "name": account, "namespace": namespace}
