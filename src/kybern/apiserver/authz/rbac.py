"""The RBAC authorizer: rules compiled per subject, decisions cached until a role or a binding changes.

Source: Kubernetes documentation, "Using RBAC Authorization".
"""

from __future__ import annotations

from collections.abc import Iterator

from kybern.api.types import Object
from kybern.apiserver.app import Decision
from kybern.apiserver.authz.base import NO_OPINION, Rules
from kybern.apiserver.authz.rules import Rule, compiled
from kybern.apiserver.registry import Lister
from kybern.apiserver.request import RequestInfo, UserInfo

GROUP = "rbac.authorization.k8s.io"
_SERVICE_ACCOUNT = "system:serviceaccount:"
_MAX_CACHED = 20_000


class Granted:
    """A binding that applies to a user: where it holds ("" for everywhere) and what for; `missing` says so where its
    role does not exist."""

    __slots__ = ("missing", "namespace", "rules", "text")

    def __init__(self, namespace: str, text: str, rules: tuple[Rule, ...], missing: str = "") -> None:
        self.namespace, self.text, self.rules, self.missing = namespace, text, rules, missing


class RBAC:
    """Listers of roles, rolebindings, clusterroles and clusterrolebindings in; decisions out."""

    def __init__(self, roles: Lister, role_bindings: Lister, cluster_roles: Lister, cluster_bindings: Lister) -> None:
        self._listers = (roles, role_bindings, cluster_roles, cluster_bindings)
        self._stamp: tuple[int, ...] = ()
        self._bindings: dict[str, list[Object]] = {}
        self._rules: dict[tuple[str, str], tuple[Object, tuple[Rule, ...]]] = {}
        self._granted: dict[tuple[str, tuple[str, ...]], list[Granted]] = {}
        self._decisions: dict[tuple[object, ...], Decision] = {}

    async def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        return self.decide(user, info)

    def decide(self, user: UserInfo, info: RequestInfo) -> Decision:
        """What RBAC says, without waiting for anything."""
        a, b, c, d = self._listers
        if (a.version, b.version, c.version, d.version) != self._stamp:
            self._reload()
        # The name matters only through resourceNames, but keying by it is exact and cheap.
        key = (
            user.name, user.groups, info.verb, info.group, info.resource, info.subresource, info.namespace, info.name,
        ) if info.is_resource else (user.name, user.groups, info.verb, info.path)  # fmt: skip
        decision = self._decisions.get(key)
        if decision is None:
            if len(self._decisions) >= _MAX_CACHED:
                self._decisions.clear()
            decision = self._decisions[key] = self._find(user, info)
        return decision

    def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        found = [rule.source for rule in self.rules_of(user, namespace)]
        resource = [{k: v for k, v in rule.items() if k != "nonResourceURLs"} for rule in found if "resources" in rule]
        urls = [
            {"verbs": rule["verbs"], "nonResourceURLs": rule["nonResourceURLs"]}
            for rule in found
            if rule.get("nonResourceURLs")
        ]
        return Rules(resource, urls)

    def rules_of(self, user: UserInfo, namespace: str) -> list[Rule]:
        """Every rule that holds for the user in the namespace ("": cluster-wide ones only)."""
        self._reload()
        granted = self._granted_to(user)
        return [rule for grant in granted if grant.namespace in ("", namespace) for rule in grant.rules]

    def role_rules(self, kind: str, namespace: str, name: str) -> tuple[Rule, ...] | None:
        """The rules of a role; None if there is no such role."""
        lister = self._listers[2] if kind == "ClusterRole" else self._listers[0]
        where = "" if kind == "ClusterRole" else namespace
        role = lister.get(where, name)
        if role is None:
            return None
        key = (f"{kind}/{where}", name)
        cached = self._rules.get(key)
        if cached is None or cached[0] is not role:
            cached = self._rules[key] = (role, compiled(role.get("rules")))
        return cached[1]

    def _find(self, user: UserInfo, info: RequestInfo) -> Decision:
        namespace = info.namespace if info.is_resource else ""
        missing: list[str] = []
        for grant in self._granted_to(user):
            if grant.namespace and grant.namespace != namespace:
                continue
            if grant.missing and grant.missing not in missing:
                missing.append(grant.missing)
            for rule in grant.rules:
                if rule.allows(info):
                    return Decision(True, f"RBAC: allowed by {grant.text}")
        if missing:
            said = missing[0] if len(missing) == 1 else f"[{', '.join(missing)}]"
            return Decision(None, f"RBAC: {said}")
        return NO_OPINION

    def _reload(self) -> None:
        stamp = tuple(lister.version for lister in self._listers)
        if stamp == self._stamp:
            return
        self._decisions.clear()
        self._granted.clear()
        if stamp[1::2] != self._stamp[1::2]:
            self._bindings = {}
            for lister in (self._listers[3], self._listers[1]):
                for binding in lister.list():
                    for subject in _subjects(binding):
                        self._bindings.setdefault(subject, []).append(binding)
        self._stamp = stamp

    def _granted_to(self, user: UserInfo) -> list[Granted]:
        key = (user.name, user.groups)
        granted = self._granted.get(key)
        if granted is None:
            granted = self._granted[key] = []
            for subject in (f"User/{user.name}", *(f"Group/{group}" for group in user.groups)):
                for binding in self._bindings.get(subject, ()):
                    granted.append(self._grant(binding, subject))
        return granted

    def _grant(self, binding: Object, subject: str) -> Granted:
        meta, ref = binding["metadata"], binding["roleRef"]
        namespace = meta.get("namespace", "")
        rules = self.role_rules(ref["kind"], namespace, ref["name"])
        if rules is None:
            return Granted(namespace, "", (), f'{ref["kind"].lower()}.{GROUP} "{ref["name"]}" not found')
        kind, _, name = subject.partition("/")
        if kind == "User" and name.startswith(_SERVICE_ACCOUNT):
            owner, _, account = name.removeprefix(_SERVICE_ACCOUNT).partition(":")
            who = f'ServiceAccount "{account}/{owner}"'
        else:
            who = f'{kind} "{name}"'
        what = "RoleBinding" if namespace else "ClusterRoleBinding"
        where = f"{meta['name']}/{namespace}" if namespace else meta["name"]
        return Granted(namespace, f'{what} "{where}" of {ref["kind"]} "{ref["name"]}" to {who}', rules)


def _subjects(binding: Object) -> Iterator[str]:
    """`User/name` and `Group/name` of a binding's subjects; service accounts by their user name."""
    for subject in binding.get("subjects") or ():
        kind, name = subject["kind"], subject["name"]
        if kind == "ServiceAccount":
            namespace = subject.get("namespace") or binding["metadata"].get("namespace", "")
            yield f"User/{_SERVICE_ACCOUNT}{namespace}:{name}"
        elif kind in ("User", "Group"):
            yield f"{kind}/{name}"
