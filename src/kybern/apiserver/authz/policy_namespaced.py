"""The default Roles and RoleBindings of kube-system and kube-public."""

from __future__ import annotations

from kybern.api.types import Object
from kybern.apiserver.authz.policy_rules import READ, events, rule

_MANAGER, _SCHEDULER = "kube-controller-manager", "kube-scheduler"


def _leader_locking(name: str) -> list[Object]:
    return [rule("watch", resources="configmaps"), rule("get update", resources="configmaps", names=[name])]


ROLES: dict[tuple[str, str], list[Object]] = {
    ("kube-system", "extension-apiserver-authentication-reader"): [
        rule(READ, resources="configmaps", names=["extension-apiserver-authentication"])
    ],
    ("kube-system", "system:controller:bootstrap-signer"): [rule(READ, resources="secrets")],
    ("kube-system", "system:controller:cloud-provider"): [rule("create get list update watch", resources="configmaps")],
    ("kube-system", "system:controller:token-cleaner"): [rule("delete get list watch", resources="secrets"), events()],
    ("kube-system", f"system::leader-locking-{_MANAGER}"): _leader_locking(_MANAGER),
    ("kube-system", f"system::leader-locking-{_SCHEDULER}"): _leader_locking(_SCHEDULER),
    ("kube-public", "system:controller:bootstrap-signer"): [
        rule(READ, resources="configmaps"),
        rule("update", resources="configmaps", names=["cluster-info"]),
        events(),
    ],
}
"""(namespace, name) -> rules."""

ROLE_BINDINGS: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    ("kube-system", "system::extension-apiserver-authentication-reader"): (
        "extension-apiserver-authentication-reader",
        (f"User/system:{_MANAGER}", f"User/system:{_SCHEDULER}"),
    ),
    **{
        ("kube-system", f"system::leader-locking-{name}"): (
            f"system::leader-locking-{name}",
            (f"User/system:{name}", f"ServiceAccount/kube-system/{name}"),
        )
        for name in (_MANAGER, _SCHEDULER)
    },
    **{
        (namespace, f"system:controller:{name}"): (
            f"system:controller:{name}",
            # A controller manager that runs these loops with its own credentials needs what each of them may do.
            (f"ServiceAccount/kube-system/{name}", f"User/system:{_MANAGER}"),
        )
        for namespace, name in (
            ("kube-system", "bootstrap-signer"),
            ("kube-public", "bootstrap-signer"),
            ("kube-system", "cloud-provider"),
            ("kube-system", "token-cleaner"),
        )
    },
}
"""(namespace, binding) -> (role, subjects)."""
