"""Which objects the pods of a node refer to: the edges that the Node authorizer asks about.

node <- pod <- secret, config map, service account, resource claim, claim
               claim <- volume <- secret
node <- volume attachment, resource slice, pod certificate request
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from kybern.api.types import Object
from kybern.apiserver.app import App
from kybern.apiserver.registry import Lister

Ref = tuple[str, str, str]
"""(plural, namespace, name); namespace "" for cluster-scoped objects."""
OF_NODES = {
    "volumeattachments": "storage.k8s.io",
    "resourceslices": "resource.k8s.io",
    "podcertificaterequests": "certificates.k8s.io",
}
"""Resources whose spec.nodeName says to whom they belong -> group."""


class NodeRefs:
    """References of each node's pods, counted as pods come, change and go; of volumes, the claim and the secrets.
    `others` are listers of resources that name their node, by plural."""

    def __init__(self, pods: Lister, volumes: Lister | None = None, others: Mapping[str, Lister] | None = None) -> None:
        self._pods, self._volumes, self._others = pods, volumes, others or {}
        self._by_node: dict[str, Counter[Ref]] = {}
        self._claims_by_secret: dict[Ref, Counter[Ref]] = {}
        pods.on_change(self._pod_changed)
        if volumes is not None:
            volumes.on_change(self._volume_changed)

    def linked(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Whether a pod on the node, or the node itself, refers to the object."""
        refs: Counter[Ref] = self._by_node.get(node, Counter())
        if resource == "persistentvolumes":
            volume = self._volumes.get("", name) if self._volumes else None
            claim = _claim(volume) if volume else None
            return claim is not None and claim in refs
        if resource in OF_NODES:
            lister = self._others.get(resource)
            found = lister.get(namespace, name) if lister else None
            return found is not None and found["spec"].get("nodeName") == node
        ref = (resource, namespace, name)
        if ref in refs:
            return True
        return resource == "secrets" and any(claim in refs for claim in self._claims_by_secret.get(ref, ()))

    def elsewhere(self, node: str, namespace: str, name: str) -> bool:
        """Whether the pod exists and is not on the node. A pod that is gone gives away nothing."""
        pod = self._pods.get(namespace, name)
        return pod is not None and pod["spec"].get("nodeName") != node

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        node_before = old["spec"].get("nodeName", "") if old else ""
        node_now = new["spec"].get("nodeName", "") if new else ""
        before = Counter(set(pod_refs(old))) if old and node_before else Counter()
        now = Counter(set(pod_refs(new))) if new and node_now else Counter()
        if node_before == node_now and before == now:
            return
        if before:
            left = self._by_node.get(node_before, Counter()) - before
            if left:
                self._by_node[node_before] = left
            else:
                self._by_node.pop(node_before, None)
        if now:
            self._by_node.setdefault(node_now, Counter()).update(now)

    def _volume_changed(self, old: Object | None, new: Object | None) -> None:
        for volume, sign in ((old, -1), (new, 1)):
            claim = _claim(volume) if volume else None
            if volume is None or claim is None:
                continue
            for secret in set(volume_secrets(volume)):
                claims = self._claims_by_secret.setdefault(secret, Counter())
                claims[claim] += sign
                if claims[claim] <= 0:
                    del claims[claim]
                if not claims:
                    del self._claims_by_secret[secret]


def node_refs(app: App) -> NodeRefs:
    """Of what the server has stored."""
    registry = app.registry
    volumes = registry.lister("", "persistentvolumes") if registry.scheme.resource("", "persistentvolumes") else None
    others = {
        plural: registry.lister(group, plural)
        for plural, group in OF_NODES.items()
        if registry.scheme.resource(group, plural)
    }
    return NodeRefs(registry.lister("", "pods"), volumes, others)


def _claim(volume: Object) -> Ref | None:
    ref = volume["spec"].get("claimRef")
    return ("persistentvolumeclaims", ref.get("namespace", ""), ref.get("name", "")) if ref else None


def volume_secrets(volume: Object) -> Iterator[Ref]:
    """The secrets that a kubelet needs for a volume; those that only controllers need aren't among them."""
    spec = volume["spec"]
    own = (spec.get("claimRef") or {}).get("namespace", "")
    azure = spec.get("azureFile")
    if azure:
        yield "secrets", azure.get("secretNamespace") or own, azure.get("secretName", "")
    for source in ("cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos"):
        ref = (spec.get(source) or {}).get("secretRef")
        if ref:
            yield "secrets", ref.get("namespace") or own, ref.get("name", "")
    csi = spec.get("csi") or {}
    for field in ("nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef"):
        ref = csi.get(field)
        if ref:
            yield "secrets", ref.get("namespace", ""), ref.get("name", "")


def pod_refs(pod: Object) -> Iterator[Ref]:
    """Everything a pod refers to that its kubelet must read."""
    namespace, spec = pod["metadata"]["namespace"], pod["spec"]
    yield "pods", namespace, pod["metadata"]["name"]
    # A mirror pod shows what a node runs by itself; it must not open anything to that node.
    if "kubernetes.io/config.mirror" in (pod["metadata"].get("annotations") or {}):
        return
    yield "serviceaccounts", namespace, spec.get("serviceAccountName") or "default"
    for secret in spec.get("imagePullSecrets") or ():
        yield "secrets", namespace, secret.get("name", "")
    for key in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(key) or ():
            yield from _env_refs(namespace, container)
    for volume in spec.get("volumes") or ():
        yield from _volume_refs(pod, volume)
    for claim in (pod.get("status") or {}).get("resourceClaimStatuses") or ():
        yield "resourceclaims", namespace, claim.get("resourceClaimName", "")
    for claim in spec.get("resourceClaims") or ():
        yield "resourceclaims", namespace, claim.get("resourceClaimName", "")
    extended = (pod.get("status") or {}).get("extendedResourceClaimStatus")
    if extended:
        yield "resourceclaims", namespace, extended.get("resourceClaimName", "")


def _env_refs(namespace: str, container: Object) -> Iterator[Ref]:
    for env in container.get("env") or ():
        source = env.get("valueFrom") or {}
        if source.get("secretKeyRef"):
            yield "secrets", namespace, source["secretKeyRef"].get("name", "")
        if source.get("configMapKeyRef"):
            yield "configmaps", namespace, source["configMapKeyRef"].get("name", "")
    for source in container.get("envFrom") or ():
        if source.get("secretRef"):
            yield "secrets", namespace, source["secretRef"].get("name", "")
        if source.get("configMapRef"):
            yield "configmaps", namespace, source["configMapRef"].get("name", "")


_SECRET_REFS = ("cephfs", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos")


def _volume_refs(pod: Object, volume: Object) -> Iterator[Ref]:
    namespace = pod["metadata"]["namespace"]
    if volume.get("secret"):
        yield "secrets", namespace, volume["secret"].get("secretName", "")
    if volume.get("configMap"):
        yield "configmaps", namespace, volume["configMap"].get("name", "")
    if volume.get("persistentVolumeClaim"):
        yield "persistentvolumeclaims", namespace, volume["persistentVolumeClaim"].get("claimName", "")
    if volume.get("ephemeral"):
        yield "persistentvolumeclaims", namespace, f"{pod['metadata']['name']}-{volume['name']}"
    if volume.get("azureFile"):
        yield "secrets", namespace, volume["azureFile"].get("secretName", "")
    csi = (volume.get("csi") or {}).get("nodePublishSecretRef")
    if csi:
        yield "secrets", namespace, csi.get("name", "")
    for key in _SECRET_REFS:
        ref = (volume.get(key) or {}).get("secretRef")
        if ref:
            yield "secrets", namespace, ref.get("name", "")
    for source in (volume.get("projected") or {}).get("sources") or ():
        if source.get("secret"):
            yield "secrets", namespace, source["secret"].get("name", "")
        if source.get("configMap"):
            yield "configmaps", namespace, source["configMap"].get("name", "")
