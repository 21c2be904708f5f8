"""Who writes roles and bindings may grant only what they hold themselves, unless they may `escalate` or `bind`.

Source: Kubernetes documentation, "Privilege escalation prevention and bootstrapping".
"""

from __future__ import annotations

from collections.abc import Sequence

from kybern.api.errors import NotFound
from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes, Plugin
from kybern.apiserver.app import App
from kybern.apiserver.authz.base import MASTERS, Union
from kybern.apiserver.authz.rbac import GROUP, rbac_of
from kybern.apiserver.authz.rules import Rule, compiled, shown, uncovered
from kybern.apiserver.request import RequestInfo

_ROLES = frozenset({"roles", "clusterroles"})
_EVERYTHING = compiled(
    [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}, {"verbs": ["*"], "nonResourceURLs": ["*"]}]
)


class RoleEscalation(Plugin):
    """Looks at writes of roles and bindings."""

    name = "RoleEscalation"
    handles = frozenset((GROUP, plural) for plural in ("roles", "clusterroles", "rolebindings", "clusterrolebindings"))
    operations = frozenset((CREATE, UPDATE))

    def __init__(self, app: App) -> None:
        self._app = app
        self._rbac = rbac_of(app)

    async def validate(self, a: Attributes) -> None:
        if a.object is None or MASTERS in a.user.groups:
            return
        if a.resource.plural in _ROLES:
            await self._role(a, a.object)
        else:
            await self._binding(a, a.object)

    async def _role(self, a: Attributes, role: Object) -> None:
        old = a.old or {}
        aggregation = role.get("aggregationRule")
        same_rules = (role.get("rules") or []) == (old.get("rules") or [])
        if a.operation == UPDATE and same_rules and aggregation == old.get("aggregationRule"):
            return
        if await self._may(a, "escalate", a.resource.plural, a.namespace, a.name):
            return
        owned = self._rbac.rules_of(a.user, a.namespace)
        if aggregation and uncovered(owned, _EVERYTHING):
            raise a.forbidden("must have cluster-admin privileges to use the aggregationRule")
        self._check(a, owned, compiled(role.get("rules")))

    async def _binding(self, a: Attributes, binding: Object) -> None:
        old, ref = a.old or {}, binding["roleRef"]
        same = (binding.get("subjects") or []) == (old.get("subjects") or []) and ref == old.get("roleRef")
        if a.operation == UPDATE and same:
            return
        plural = "clusterroles" if ref["kind"] == "ClusterRole" else "roles"
        if await self._may(a, "bind", plural, a.namespace, ref["name"]):
            return
        rules = self._rbac.role_rules(ref["kind"], a.namespace, ref["name"])
        if rules is None:
            raise NotFound.of(plural, GROUP, ref["name"])
        self._check(a, self._rbac.rules_of(a.user, a.namespace), rules)

    async def _may(self, a: Attributes, verb: str, plural: str, namespace: str, name: str) -> bool:
        info = RequestInfo(verb, "", True, GROUP, "v1", plural, "", namespace, name)
        return bool((await Union(self._app.authorizers).authorize(a.user, info)).allowed)

    def _check(self, a: Attributes, owned: Sequence[Rule], wanted: Sequence[Rule]) -> None:
        missing = uncovered(owned, wanted)
        if not missing:
            return
        groups = " ".join(f'"{group}"' for group in a.user.groups)
        lines = "\n".join(sorted(shown(rule) for rule in missing))
        raise a.forbidden(
            f'user "{a.user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n'
            f"{lines}"
        )
