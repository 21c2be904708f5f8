"""OwnerReferencesPermissionEnforcement: who gives an object an owner may delete the object, and where the owner has
to wait for it, may set the owner's finalizers.

Source: Kubernetes documentation, "Admission Control in Kubernetes", OwnerReferencesPermissionEnforcement.
"""

from __future__ import annotations

from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, UPDATE, Attributes, Plugin
from kybern.apiserver.app import App
from kybern.apiserver.authz.base import Union
from kybern.apiserver.request import RequestInfo


class OwnerReferencesPermissionEnforcement(Plugin):
    """Looks at whatever gets owners."""

    name = "OwnerReferencesPermissionEnforcement"
    operations = frozenset((CREATE, UPDATE))

    def __init__(self, app: App) -> None:
        self._app = app

    async def validate(self, a: Attributes) -> None:
        # The status of pods can't change owners.
        if a.object is None or a.is_for("", "pods", "status"):
            return
        new, old = _owners(a.object), _owners(a.old)
        if new == old:
            return
        mine = a.resource
        info = RequestInfo("delete", "", True, mine.group, a.version, mine.plural, a.subresource, a.namespace, a.name)
        refusal = await self._refusal(a, info)
        if refusal is not None:
            raise a.forbidden(f"cannot set an ownerRef on a resource you can't delete: {refusal}, <nil>")
        blocked = {owner.get("uid") for owner in old if owner.get("blockOwnerDeletion")}
        for owner in new:
            if owner.get("blockOwnerDeletion") and owner.get("uid") not in blocked:
                await self._check_owner(a, owner)

    async def _check_owner(self, a: Attributes, owner: Object) -> None:
        version, kind = owner.get("apiVersion") or "", owner.get("kind") or ""
        known = self._app.registry.scheme.kind(version, kind)
        if known is None:
            raise a.forbidden(
                f"cannot set blockOwnerDeletion in this case because cannot find RESTMapping for APIVersion {version} "
                f'Kind {kind}: no matches for kind "{kind}" in version "{version}"'
            )
        group, _, bare = version.rpartition("/")
        namespace, name = a.namespace if known.namespaced else "", owner.get("name") or ""
        info = RequestInfo("update", "", True, group, bare, known.plural, "finalizers", namespace, name)
        refusal = await self._refusal(a, info)
        if refusal is not None:
            raise a.forbidden(
                "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: "
                f"{refusal}, <nil>"
            )

    async def _refusal(self, a: Attributes, info: RequestInfo) -> str | None:
        """Why the user may not; None if he may."""
        decision = await Union(self._app.authorizers).authorize(a.user, info)
        return None if decision.allowed else decision.reason


def _owners(obj: Object | None) -> list[Object]:
    found = ((obj or {}).get("metadata") or {}).get("ownerReferences")
    return list(found or ())
