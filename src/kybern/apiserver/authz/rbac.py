"""RBAC: bindings say who has a role, roles say what may be done.

Decisions are kept per user. A binding that changes takes away those of the users it names, a role that changes those of
the users its bindings name, and nothing else: what is kept is always what would be found.
Source: Kubernetes documentation, "Using RBAC Authorization".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from kybern.api.types import Object
from kybern.apiserver.app import App, Decision
from kybern.apiserver.authz.base import NO_OPINION, Rules
from kybern.apiserver.authz.rules import Rule, compiled
from kybern.apiserver.registry import Lister
from kybern.apiserver.request import RequestInfo, UserInfo

GROUP = "rbac.authorization.k8s.io"
_SERVICE_ACCOUNT = "system:serviceaccount:"
_MAX_USERS = 10_000
_MAX_DECISIONS = 4_000
"""Of one user: names of objects are part of what was asked."""

UserKey = tuple[str, tuple[str, ...]]
RoleKey = tuple[str, str, str]
"""Kind, namespace ("" for ClusterRoles) and name."""


class Binding(NamedTuple):
    """What is kept of a binding; `namespace` is "" for a ClusterRoleBinding."""

    namespace: str
    name: str
    role: RoleKey
    subjects: tuple[str, ...]


class Granted:
    """A binding that applies to a user: where it holds ("" for everywhere) and what for; `missing` says so where its
    role does not exist."""

    __slots__ = ("missing", "namespace", "rules", "text")

    def __init__(self, namespace: str, text: str, rules: tuple[Rule, ...], missing: str = "") -> None:
        self.namespace, self.text, self.rules, self.missing = namespace, text, rules, missing


class _User:
    """What was found out about a user."""

    __slots__ = ("decisions", "granted")

    def __init__(self, granted: list[Granted]) -> None:
        self.granted = granted
        self.decisions: dict[tuple[str, ...], Decision] = {}


class RBAC:
    """Listers of roles, rolebindings, clusterroles and clusterrolebindings in; decisions out."""

    label = ("RBAC", "rbac")

    def __init__(self, roles: Lister, role_bindings: Lister, cluster_roles: Lister, cluster_bindings: Lister) -> None:
        self._roles, self._cluster_roles = roles, cluster_roles
        self._bindings: dict[str, dict[Binding, None]] = {}
        """Subject -> bindings that name it, in the order in which they came."""
        self._of_role: dict[RoleKey, set[Binding]] = {}
        self._users: dict[UserKey, _User] = {}
        self._users_of: dict[str, set[UserKey]] = {}
        """Subject -> users known here who are it, or are in it."""
        self._rules: dict[RoleKey, tuple[Object, tuple[Rule, ...]]] = {}
        # Of a user's bindings, those that hold everywhere come first.
        for bindings in (cluster_bindings, role_bindings):
            bindings.on_change(self._binding_changed)
        for kind, lister in (("ClusterRole", cluster_roles), ("Role", roles)):
            lister.on_change(lambda old, new, kind=kind: self._role_changed(kind, old or new))  # type: ignore[misc]

    async def authorize(self, user: UserInfo, info: RequestInfo) -> Decision:
        return self.decide(user, info)

    def decide(self, user: UserInfo, info: RequestInfo) -> Decision:
        """What RBAC says, without waiting for anything."""
        known = self._users.get((user.name, user.groups)) or self._know(user)
        # The name matters only through resourceNames, but keying by it is exact and cheap.
        key = (
            (info.verb, info.group, info.resource, info.subresource, info.namespace, info.name)
            if info.is_resource
            else (info.verb, info.path)
        )
        decision = known.decisions.get(key)
        if decision is None:
            if len(known.decisions) >= _MAX_DECISIONS:
                known.decisions.clear()
            decision = known.decisions[key] = _find(known.granted, info)
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
        known = self._users.get((user.name, user.groups)) or self._know(user)
        return [rule for grant in known.granted if grant.namespace in ("", namespace) for rule in grant.rules]

    def role_rules(self, kind: str, namespace: str, name: str) -> tuple[Rule, ...] | None:
        """The rules of a role; None if there is no such role."""
        return self._rules_of_role(_role_key(kind, namespace, name))

    def _rules_of_role(self, key: RoleKey) -> tuple[Rule, ...] | None:
        kind, namespace, name = key
        role = (self._cluster_roles if kind == "ClusterRole" else self._roles).get(namespace, name)
        if role is None:
            self._rules.pop(key, None)
            return None
        cached = self._rules.get(key)
        if cached is None or cached[0] is not role:
            cached = self._rules[key] = (role, compiled(role.get("rules")))
        return cached[1]

    def _know(self, user: UserInfo) -> _User:
        """Gather what the user is granted, to be forgotten when any of it changes."""
        if len(self._users) >= _MAX_USERS:
            self._users.clear()
            self._users_of.clear()
        key = (user.name, user.groups)
        granted = []
        for subject in _subjects_of(*key):
            self._users_of.setdefault(subject, set()).add(key)
            granted += [self._grant(binding, subject) for binding in self._bindings.get(subject, ())]
        # Where everybody is allowed something, the rules for everywhere are found first.
        known = self._users[key] = _User(sorted(granted, key=lambda grant: grant.namespace != ""))
        return known

    def _grant(self, binding: Binding, subject: str) -> Granted:
        role_kind, _, role = binding.role
        rules = self._rules_of_role(binding.role)
        if rules is None:
            return Granted(binding.namespace, "", (), f'{role_kind.lower()}.{GROUP} "{role}" not found')
        kind, _, name = subject.partition("/")
        if kind == "User" and name.startswith(_SERVICE_ACCOUNT):
            owner, _, account = name.removeprefix(_SERVICE_ACCOUNT).partition(":")
            who = f'ServiceAccount "{account}/{owner}"'
        else:
            who = f'{kind} "{name}"'
        what = "RoleBinding" if binding.namespace else "ClusterRoleBinding"
        where = f"{binding.name}/{binding.namespace}" if binding.namespace else binding.name
        return Granted(binding.namespace, f'{what} "{where}" of {role_kind} "{role}" to {who}', rules)

    # Changes.

    def _binding_changed(self, old: Object | None, new: Object | None) -> None:
        before, after = _binding(old), _binding(new)
        if before == after:
            return
        if before is not None:
            self._drop(before)
        if after is not None:
            self._of_role.setdefault(after.role, set()).add(after)
            for subject in after.subjects:
                self._bindings.setdefault(subject, {})[after] = None
            self._forget(after.subjects)

    def _drop(self, binding: Binding) -> None:
        of_role = self._of_role.get(binding.role, set())
        of_role.discard(binding)
        if not of_role:
            self._of_role.pop(binding.role, None)
        for subject in binding.subjects:
            held = self._bindings.get(subject, {})
            held.pop(binding, None)
            if not held:
                self._bindings.pop(subject, None)
        self._forget(binding.subjects)

    def _role_changed(self, kind: str, role: Object) -> None:
        meta = role["metadata"]
        for binding in self._of_role.get(_role_key(kind, meta.get("namespace", ""), meta["name"]), ()):
            self._forget(binding.subjects)

    def _forget(self, subjects: Iterable[str]) -> None:
        """Drop what was found out about the users who are these subjects or in them."""
        for subject in subjects:
            for key in self._users_of.pop(subject, ()):
                self._users.pop(key, None)
                for other in _subjects_of(*key):
                    self._users_of.get(other, set()).discard(key)


def _subjects_of(name: str, groups: tuple[str, ...]) -> Iterator[str]:
    """What of a binding's subjects the user is, or is in."""
    yield f"User/{name}"
    for group in groups:
        yield f"Group/{group}"


def rbac_of(app: App) -> RBAC:
    """The server's one RBAC, made at first use."""
    found = app.services.get("rbac")
    if found is None:
        kinds = ("roles", "rolebindings", "clusterroles", "clusterrolebindings")
        found = app.services["rbac"] = RBAC(*(app.registry.lister(GROUP, plural) for plural in kinds))
    made: RBAC = found
    return made


def _find(granted: Iterable[Granted], info: RequestInfo) -> Decision:
    namespace = info.namespace if info.is_resource else ""
    missing: list[str] = []
    for grant in granted:
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


def _role_key(kind: str, namespace: str, name: str) -> RoleKey:
    return (kind, "" if kind == "ClusterRole" else namespace, name)


def _binding(obj: Object | None) -> Binding | None:
    if obj is None:
        return None
    meta, ref = obj["metadata"], obj["roleRef"]
    namespace = meta.get("namespace", "")
    return Binding(
        namespace, meta["name"], _role_key(ref["kind"], namespace, ref["name"]), tuple(dict.fromkeys(_subjects(obj)))
    )


def _subjects(binding: Object) -> Iterator[str]:
    """`User/name` and `Group/name` of a binding's subjects; service accounts by their user name."""
    for subject in binding.get("subjects") or ():
        kind, name = subject["kind"], subject["name"]
        if kind == "ServiceAccount":
            namespace = subject.get("namespace") or binding["metadata"].get("namespace", "")
            yield f"User/{_SERVICE_ACCOUNT}{namespace}:{name}"
        elif kind in ("User", "Group"):
            yield f"{kind}/{name}"
