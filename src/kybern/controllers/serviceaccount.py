"""Every active namespace has a ServiceAccount named `default`.

Source: https://kubernetes.io/docs/concepts/security/service-accounts/
"""

from __future__ import annotations

from kybern.api.errors import AlreadyExists, Forbidden, NotFound
from kybern.api.types import Object
from kybern.controllers.controller import Context, Controller


class ServiceAccountController(Controller):
    name = "serviceaccount-controller"
    aliases = ("serviceaccount",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.namespaces = self.informer("v1", "namespaces", namespaced=False)
        self.accounts = self.informer("v1", "serviceaccounts")
        self._accounts = self.client.resource("v1", "serviceaccounts")
        self.watch(self.namespaces, lambda obj: [obj["metadata"]["name"]])
        self.accounts.on_change(self._account_changed)

    def _account_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None and old["metadata"]["name"] == "default":
            self.queue.add(old["metadata"]["namespace"])

    async def reconcile(self, key: str) -> float | None:
        namespace = self.namespaces.get(key)
        if not is_active(namespace) or f"{key}/default" in self.accounts.store:
            return None
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": key}}
        try:
            await self._accounts.create(account)
        except (AlreadyExists, NotFound):
            return None
        except Forbidden as error:
            if not is_ending(error):
                raise
        return None


def is_active(namespace: Object | None) -> bool:
    """Whether things may be created in it."""
    return namespace is not None and (namespace.get("status") or {}).get("phase", "Active") == "Active"


def is_ending(error: Forbidden) -> bool:
    """Whether a creation was refused because its namespace is being deleted."""
    return "because it is being terminated" in error.message
