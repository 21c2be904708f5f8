"""Who writes admission policies and bindings may have only those objects evaluated as parameters that they may read.

Source: Kubernetes documentation, "Validating Admission Policy", "Parameter resources".
"""

from __future__ import annotations

from kybern.api.cells import at
from kybern.api.errors import Invalid
from kybern.api.field import Errors
from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes, Plugin
from kybern.apiserver.app import App
from kybern.apiserver.authz.base import MASTERS, decide
from kybern.apiserver.request import RequestInfo, UserInfo

_GROUP = "admissionregistration.k8s.io"
_POLICIES = {
    "validatingadmissionpolicybindings": "validatingadmissionpolicies",
    "mutatingadmissionpolicybindings": "mutatingadmissionpolicies",
}


class PolicyParams(Plugin):
    """Looks at writes of policies and bindings."""

    name = "PolicyParams"
    handles = frozenset((_GROUP, plural) for pair in _POLICIES.items() for plural in pair)
    operations = frozenset((CREATE, UPDATE))

    def __init__(self, app: App) -> None:
        self._app = app

    async def validate(self, a: Attributes) -> None:
        if a.object is None or a.subresource or MASTERS in a.user.groups:
            return
        errors, field = Errors(), "paramRef" if a.resource.plural in _POLICIES else "paramKind"
        said = at(a.object, "spec", field)
        if said is None or (a.operation == UPDATE and said == at(a.old, "spec", field)):
            return
        refused = await (self._ref if field == "paramRef" else self._kind)(a, said)
        if refused:
            errors.forbidden(f"spec.{field}", refused)
            raise Invalid.of(a.resource.kind, a.resource.group, a.name, errors)

    async def _kind(self, a: Attributes, kind: Object) -> str:
        """Why a kind can't be that of parameters; "" if it can."""
        if await self._may(a.user, "get", kind, "*", "*"):
            return ""
        what = f"kind={kind.get('kind')}, apiVersion={kind.get('apiVersion')}"
        return f'user {_shown(a.user)} must have "get" permission on all objects of the referenced paramKind ({what})'

    async def _ref(self, a: Attributes, ref: Object) -> str:
        """Why objects can't be parameters; "" if they can."""
        lister = self._app.registry.lister(_GROUP, _POLICIES[a.resource.plural])
        policy = lister.get("", at(a.object, "spec", "policyName") or "")
        kind = at(policy, "spec", "paramKind") or {}
        verb = "list" if ref.get("selector") is not None else "get"
        if await self._may(a.user, verb, kind, ref.get("namespace") or "*", ref.get("name") or "*"):
            return ""
        return f'user {_shown(a.user)} does not have "{verb}" permission on the object referenced by paramRef'

    async def _may(self, user: UserInfo, verb: str, kind: Object, namespace: str, name: str) -> bool:
        """Whether a user may read objects of a kind; of one that isn't known, any."""
        group, _, version = (kind.get("apiVersion") or "").rpartition("/")
        found = self._app.registry.scheme.kind(kind.get("apiVersion") or "", kind.get("kind") or "")
        plural = found.plural if found else "*"
        if not kind:
            group, version = "*", "*"
        info = RequestInfo(verb, "", True, group, version, plural, "", namespace, name)
        return bool((await decide(self._app, user, info)).allowed)


def _shown(user: UserInfo) -> str:
    """A user as Go prints one."""
    extra = " ".join(f"{key}:[{' '.join(values)}]" for key, values in sorted(user.extra.items()))
    return f"&{{{user.name} {user.uid} [{' '.join(user.groups)}] map[{extra}]}}"
