"""Checks the types in ValidatingAdmissionPolicies and puts what it finds into their status.

Source: Kubernetes documentation, "Validating Admission Policy", "Type checking".
"""

from __future__ import annotations

from kybern.api.admissionregistration.type_checking import MAX_TYPES, Checked, inlined, warnings
from kybern.api.errors import NotFound
from kybern.api.types import Object
from kybern.controllers import discovery
from kybern.controllers.controller import Context, Controller
from kybern.controllers.discovery import Served

API_VERSION, PLURAL = "admissionregistration.k8s.io/v1", "validatingadmissionpolicies"


class ValidatingAdmissionPolicyStatusController(Controller):
    name = "validatingadmissionpolicy-status-controller"
    aliases = ("validatingadmissionpolicy-status",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.policies = self.informer(API_VERSION, PLURAL, namespaced=False)
        self._policies = self.client.resource(API_VERSION, PLURAL, namespaced=False)
        self.watch(self.policies, lambda policy: [policy["metadata"]["name"]])

    async def reconcile(self, key: str) -> float | None:
        policy = self.policies.get(key)
        if policy is None:
            return None
        generation, status = policy["metadata"].get("generation") or 0, policy.get("status") or {}
        if (status.get("observedGeneration") or 0) >= generation:
            return None
        found = await self._check(policy)
        checked = {"expressionWarnings": found} if found else {}
        made = {**status, "observedGeneration": generation, "typeChecking": checked}
        try:
            await self._policies.update_status({**policy, "status": made})
        except NotFound:
            return None
        return None

    async def _check(self, policy: Object) -> list[Object]:
        known = await discovery.known(self.client)
        documents: dict[str, dict[str, Object]] = {}
        kinds = []
        for one in sorted(about(policy, known), key=lambda one: (one.group, one.version, one.kind)):
            schema = await self._schema(one.group, one.version, one.kind, documents)
            if schema is not None:
                kinds.append(Checked(f"{one.api_version}, Kind={one.kind}", schema))
        said, params = policy["spec"].get("paramKind"), None
        if said:
            group, _, version = said["apiVersion"].rpartition("/")
            params = await self._schema(group, version, said["kind"], documents)
        return warnings(policy, kinds, params)

    async def _schema(
        self, group: str, version: str, kind: str, documents: dict[str, dict[str, Object]]
    ) -> Object | None:
        """The schema of a kind, as the server publishes it; None where it doesn't."""
        path = f"/openapi/v3/apis/{group}/{version}" if group else f"/openapi/v3/api/{version}"
        if path not in documents:
            try:
                answer = await self.client.request("GET", path)
            except NotFound:
                answer = {}
            documents[path] = (answer.get("components") or {}).get("schemas") or {}
        wanted = {"group": group, "version": version, "kind": kind}
        for name, node in documents[path].items():
            if wanted in (node.get("x-kubernetes-group-version-kind") or ()):
                return inlined(name, documents[path])
        return None


def about(policy: Object, known: list[Served]) -> list[Served]:
    """The kinds that a policy names; none for rules with wildcards, and not more than ten."""
    found: dict[tuple[str, str, str], Served] = {}
    for rule in (policy["spec"].get("matchConstraints") or {}).get("resourceRules") or ():
        groups, versions = rule.get("apiGroups") or (), rule.get("apiVersions") or ()
        plurals = {plural for plural in rule.get("resources") or () if "*" not in plural and "/" not in plural}
        if any("*" in text for text in (*groups, *versions)):
            continue
        for one in known:
            if one.group in groups and one.plural in plurals:
                for version in versions:
                    asked = Served(one.group, version, one.plural, one.kind, one.namespaced, one.verbs)
                    found[one.group, version, one.kind] = asked
    return list(found.values())[:MAX_TYPES]
