"""Which objects the pods of a node refer to: the edges that the Node authorizer and TokenRequest ask about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from kybern.api.types import Object
from kybern.apiserver.registry import Lister

Ref = tuple[str, str, str]
"""(plural, namespace, name); namespace "" for cluster-scoped objects."""


class NodeRefs:
    """References of each node's pods, counted as pods come, change and go."""

    def __init__(self, pods: Lister, claims: Lister | None = None, attachments: Lister | None = None) -> None:
        self._pods, self._claims, self._attachments = pods, claims, attachments
        self._by_node: dict[str, Counter[Ref]] = {}
        pods.on_change(self._on_change)

    def linked(self, node: str, resource: str, namespace: str, name: str) -> bool:
        """Whether a pod on the node, or the node itself, refers to the object."""
        refs = self._by_node.get(node, ())
        if resource == "persistentvolumes":
            return any(self._volume_of(ref) == name for ref in refs if ref[0] == "persistentvolumeclaims")
        if resource == "volumeattachments":
            attachment = self._attachments.get("", name) if self._attachments else None
            return bool(attachment) and attachment["spec"].get("nodeName") == node  # type: ignore[index]
        return (resource, namespace, name) in refs

    def elsewhere(self, node: str, namespace: str, name: str) -> bool:
        """Whether the pod exists and is not on the node. A pod that is gone gives away nothing."""
        pod = self._pods.get(namespace, name)
        return pod is not None and pod["spec"].get("nodeName") != node

    def _volume_of(self, claim: Ref) -> str:
        found = self._claims.get(claim[1], claim[2]) if self._claims else None
        return str(found["spec"].get("volumeName", "")) if found else ""

    def _on_change(self, old: Object | None, new: Object | None) -> None:
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
