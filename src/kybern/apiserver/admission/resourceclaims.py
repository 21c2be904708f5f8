"""What may be written of ResourceClaims beyond what their rules say: devices for administrators only in namespaces that
are marked for it, and parts of status only by who has leave for just that part.

Source: Kubernetes documentation, "Dynamic Resource Allocation", Admin access, Granular status authorization; KEP-5018,
KEP-4817.
"""

from __future__ import annotations

from kybern.api import names
from kybern.api.cells import at
from kybern.api.dra.claimstatus import device_key
from kybern.api.errors import Invalid
from kybern.api.field import Errors
from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes, Plugin
from kybern.apiserver.app import App
from kybern.apiserver.authz.base import Union, forbidden
from kybern.apiserver.request import RequestInfo, UserInfo
from kybern.process import features

GROUP = "resource.k8s.io"
LABEL = "resource.kubernetes.io/admin-access"
GRANULAR = "DRAResourceClaimGranularStatusAuthorization"
NODE_NAME = "authentication.kubernetes.io/node-name"
_REFUSED = f"admin access to devices requires the `{LABEL}: true` label on the containing namespace"


class DeviceAdminAccess(Plugin):
    """Looks at new claims and templates, and at new allocations."""

    name = "DeviceAdminAccess"
    handles = frozenset({(GROUP, "resourceclaims"), (GROUP, "resourceclaimtemplates")})
    operations = frozenset((CREATE, UPDATE))

    def __init__(self, app: App) -> None:
        self._namespaces = app.registry.lister("", "namespaces")

    async def validate(self, a: Attributes) -> None:
        path = _asks(a)
        if not path:
            return
        namespace = self._namespaces.get("", a.namespace) or {}
        if (at(namespace, "metadata", "labels") or {}).get(LABEL) != "true":
            errors = Errors()
            errors.forbidden(path, _REFUSED)
            raise Invalid.of(a.resource.kind, a.resource.group, a.name, errors)


def _asks(a: Attributes) -> str:
    """Where admin access is asked for that there was not before, or ""."""
    if a.subresource == "status":
        results, before = (at(one, "status", "allocation", "devices", "results") or () for one in (a.object, a.old))
        if any(one.get("adminAccess") for one in before):
            return ""
        path, asked = "status.allocation.devices.results", [bool(one.get("adminAccess")) for one in results]
    elif a.operation != CREATE or a.subresource:
        return ""
    else:
        spec = at(a.object, "spec") or {}
        spec = spec.get("spec") or {} if a.resource.plural == "resourceclaimtemplates" else spec
        requests = at(spec, "devices", "requests") or ()
        path, asked = "spec.devices.requests", [bool(at(one, "exactly", "adminAccess")) for one in requests]
    return f"{path}[{asked.index(True)}].adminAccess" if True in asked else ""


class ClaimStatusAuthorization(Plugin):
    """Looks at writes of a claim's status. Who allocates and reserves needs leave for `resourceclaims/binding`; who
    reports of devices for `resourceclaims/driver` of their driver: with the verb `associated-node:VERB` where it is a
    service account on the claim's node, else with `arbitrary-node:VERB`."""

    name = "ClaimStatusAuthorization"
    handles = frozenset({(GROUP, "resourceclaims")})
    operations = frozenset((UPDATE,))

    def __init__(self, app: App) -> None:
        self._app = app

    def concerned(self, operation: str, group: str, plural: str) -> bool:
        return features.enabled(GRANULAR) and super().concerned(operation, group, plural)

    async def validate(self, a: Attributes) -> None:
        if a.subresource != "status" or a.request is None:
            return
        now, before = (((obj or {}).get("status") or {}) for obj in (a.object, a.old))
        errors, verb = Errors(), a.request.info.verb
        binds = any((now.get(field) or None) != (before.get(field) or None) for field in ("allocation", "reservedFor"))
        if binds and (why := await self._refused(a, verb, "binding", "", "")):
            asked = f'resource="resourceclaims/binding", verb="{verb}"'
            said = f"changing status.allocation or status.reservedFor requires {asked} permission: {why}"
            errors.forbidden("status", said)
        verbs = [f"arbitrary-node:{verb}"]
        if _is_on(a.user, _node_of(now.get("allocation"))):
            verbs.insert(0, f"associated-node:{verb}")
        for driver in sorted(_changed_drivers(now, before)):
            if why := await self._all_refused(a, verbs, driver):
                asked = f'resource="resourceclaims/driver", verb="[{" ".join(verbs)}]"'
                errors.forbidden("status.devices", f"changing status.devices requires {asked} permission: {why}")
        if errors:
            raise Invalid.of(a.resource.kind, a.resource.group, a.name, errors)

    async def _all_refused(self, a: Attributes, verbs: list[str], driver: str) -> str:
        """Why the first of the verbs is refused, where all are."""
        first = ""
        for verb in verbs:
            why = await self._refused(a, verb, "driver", a.namespace, driver)
            if not why:
                return ""
            first = first or why
        return first

    async def _refused(self, a: Attributes, verb: str, part: str, namespace: str, name: str) -> str:
        info = RequestInfo(verb, "", True, GROUP, a.version, a.resource.plural, part, namespace, name)
        decision = await Union(self._app.authorizers).authorize(a.user, info)
        if decision.allowed:
            return ""
        reason = ": ".join(part for part in (decision.error, decision.reason) if part)
        return forbidden(a.user, info, reason).message


def _changed_drivers(now: Object, before: Object) -> set[str]:
    """Whose devices' reports came, went or changed."""
    old = {device_key(one): one for one in before.get("devices") or ()}
    new = {device_key(one): one for one in now.get("devices") or ()}
    return {key[0] for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


def _node_of(allocation: Object | None) -> str:
    """The one node that an allocation is for, or ""."""
    match at(allocation, "nodeSelector", "nodeSelectorTerms"):
        case [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [str(name)]}]} as term]:
            return "" if term.get("matchExpressions") else name
    return ""


def _is_on(user: UserInfo, node: str) -> bool:
    """Whether the user is a service account whose token is bound to that node."""
    if not node or not user.name.startswith("system:serviceaccount:"):
        return False
    bound = list(user.extra.get(NODE_NAME) or ())
    return bound == [node] and not names.dns_subdomain(node)
