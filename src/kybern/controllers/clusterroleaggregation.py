"""ClusterRoles with an aggregation rule hold the rules of all ClusterRoles it selects.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles
"""

from __future__ import annotations

from kybern.api.errors import NotFound
from kybern.api.selectors import from_object
from kybern.api.types import Object
from kybern.controllers.controller import Context, Controller


class ClusterRoleAggregationController(Controller):
    name = "clusterrole-aggregation-controller"
    aliases = ("clusterrole-aggregation",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        version = "rbac.authorization.k8s.io/v1"
        self.roles = self.informer(version, "clusterroles", namespaced=False)
        self.roles.add_index("aggregating", lambda role: ["yes"] if role.get("aggregationRule") else [])
        self._roles = self.client.resource(version, "clusterroles", namespaced=False)
        self.roles.on_change(self._changed)

    def _changed(self, old: Object | None, new: Object | None) -> None:
        for role in self.roles.by_index("aggregating", "yes"):
            self.queue.add(role["metadata"]["name"])

    async def reconcile(self, key: str) -> float | None:
        role = self.roles.get(key)
        if role is None or not role.get("aggregationRule"):
            return None
        rules = aggregate(role, self.roles.list())
        if rules == (role.get("rules") or []):
            return None
        try:
            await self._roles.update({**role, "rules": rules})
        except NotFound:
            return None
        return None


def aggregate(role: Object, roles: list[Object]) -> list[Object]:
    """The union of the selected roles' rules, in the order of selector and name."""
    rules: list[Object] = []
    for selector in role["aggregationRule"].get("clusterRoleSelectors") or ():
        compiled = from_object(selector)
        for other in sorted(roles, key=lambda one: one["metadata"]["name"]):
            itself = other["metadata"]["name"] == role["metadata"]["name"]
            if not itself and compiled.matches(other["metadata"].get("labels")):
                for rule in other.get("rules") or ():
                    if rule not in rules:
                        rules.append(rule)
    return rules
