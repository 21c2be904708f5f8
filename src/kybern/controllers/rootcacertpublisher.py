"""Every active namespace has the ConfigMap kube-root-ca.crt, with which pods verify the API server."""

from __future__ import annotations

from kybern.api.errors import AlreadyExists, Forbidden, NotFound
from kybern.api.types import Object
from kybern.controllers.controller import Context, Controller
from kybern.controllers.options import Options
from kybern.controllers.serviceaccount import is_active, is_ending

_NAME = "kube-root-ca.crt"
_ANNOTATION = "kubernetes.io/description"
_DESCRIPTION = (
    "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
    "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes "
    "clusters."
)


class RootCACertPublisher(Controller):
    name = "root-ca-certificate-publisher-controller"
    aliases = ("root-ca-cert-publisher",)
    workers = 1

    @classmethod
    def wanted(cls, options: Options) -> bool:
        return bool(options.root_ca)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.namespaces = self.informer("v1", "namespaces", namespaced=False)
        self.maps = self.informer("v1", "configmaps", field_selector=f"metadata.name={_NAME}")
        self._maps = self.client.resource("v1", "configmaps")
        self.watch(self.namespaces, lambda obj: [obj["metadata"]["name"]])
        self.watch(self.maps, lambda obj: [obj["metadata"]["namespace"]])

    async def reconcile(self, key: str) -> float | None:
        if not is_active(self.namespaces.get(key)):
            return None
        held = self.maps.get(f"{key}/{_NAME}")
        data = {"ca.crt": self.options.root_ca}
        try:
            if held is None:
                await self._maps.create(self._made(key, data))
            elif held.get("data") != data or not (held["metadata"].get("annotations") or {}).get(_ANNOTATION):
                annotations = {**(held["metadata"].get("annotations") or {}), _ANNOTATION: _DESCRIPTION}
                await self._maps.update(
                    {**held, "metadata": {**held["metadata"], "annotations": annotations}, "data": data}
                )
        except (AlreadyExists, NotFound):
            return None
        except Forbidden as error:
            if not is_ending(error):
                raise
        return None

    @staticmethod
    def _made(namespace: str, data: dict[str, str]) -> Object:
        annotations = {_ANNOTATION: _DESCRIPTION}
        meta = {"name": _NAME, "namespace": namespace, "annotations": annotations}
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
