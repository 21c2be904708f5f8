"""NamespaceLifecycle: nothing is made in a namespace that isn't there or is going; system namespaces stay."""

from __future__ import annotations

from kybern.api.errors import Forbidden
from kybern.apiserver.admission.base import CREATE, DELETE, UPDATE, Attributes, Plugin
from kybern.apiserver.admission.namespaces import Namespaces
from kybern.apiserver.app import App

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
_NAMESPACES = ("", "namespaces")
_REVIEW = ("authorization.k8s.io", "localsubjectaccessreviews")


class NamespaceLifecycle(Plugin):
    """Looks at every namespaced write."""

    name = "NamespaceLifecycle"
    operations = frozenset((CREATE, UPDATE, DELETE))

    def __init__(self, app: App) -> None:
        self._namespaces = Namespaces(app)

    async def admit(self, a: Attributes) -> None:
        resource = a.resource
        key = (resource.group, resource.plural)
        if key == _NAMESPACES:
            if a.operation == DELETE and not a.subresource and a.name in IMMORTAL:
                raise a.forbidden("this namespace may not be deleted")
            return
        if not resource.namespaced or a.operation != CREATE or key == _REVIEW:
            return
        namespace = await self._namespaces.get(a.namespace)
        phase = (namespace.get("status") or {}).get("phase")
        if phase == "Terminating" or "deletionTimestamp" in namespace["metadata"]:
            raise _terminating(a)


def _terminating(a: Attributes) -> Forbidden:
    error = a.forbidden(
        f"unable to create new content in namespace {a.namespace} because it is being terminated",
    )
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {a.namespace} is being terminated",
        "field": "metadata.namespace",
    }
    error.details = {**(error.details or {}), "causes": [cause]}
    return error
