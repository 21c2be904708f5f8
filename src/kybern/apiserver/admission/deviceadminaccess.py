"""Only claims in namespaces that are marked for it may use devices as administrators do, beside those who have them.

Source: Kubernetes documentation, "Dynamic Resource Allocation", Admin access; KEP-5018.
"""

from __future__ import annotations

from kybern.api.cells import at
from kybern.api.errors import Invalid
from kybern.api.field import Errors
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes, Plugin
from kybern.apiserver.app import App

GROUP = "resource.k8s.io"
LABEL = "resource.kubernetes.io/admin-access"
_REFUSED = f"admin access to devices requires the `{LABEL}: true` label on the containing namespace"


class DeviceAdminAccess(Plugin):
    """Looks at new claims and templates, and at new allocations."""

    name = "DeviceAdminAccess"
    handles = frozenset({(GROUP, "resourceclaims"), (GROUP, "resourceclaimtemplates")})
    operations = frozenset((CREATE, UPDATE))

    def __init__(self, app: App) -> None:
        self._namespaces = app.registry.lister("", "namespaces")

    async def validate(self, a: Attributes) -> None:
        if not self._asks(a):
            return
        namespace = self._namespaces.get("", a.namespace) or {}
        if (at(namespace, "metadata", "labels") or {}).get(LABEL) != "true":
            errors = Errors()
            errors.forbidden("", _REFUSED)
            raise Invalid.of(a.resource.kind, a.resource.group, a.name, errors)

    def _asks(self, a: Attributes) -> bool:
        if a.subresource == "status":
            results, before = (at(one, "status", "allocation", "devices", "results") or () for one in (a.object, a.old))
            return any(one.get("adminAccess") for one in results) and not any(one.get("adminAccess") for one in before)
        if a.operation != CREATE or a.subresource:
            return False
        spec = at(a.object, "spec") or {}
        spec = spec.get("spec") or {} if a.resource.plural == "resourceclaimtemplates" else spec
        return any(at(request, "exactly", "adminAccess") for request in at(spec, "devices", "requests") or ())
