"""NodeRestriction's rules about pods: a kubelet makes mirror pods, which open nothing to it, and reports on its own."""

from __future__ import annotations

from collections.abc import Callable

from kybern.api.errors import NotFound
from kybern.api.types import Object
from kybern.apiserver.admission.base import Attributes
from kybern.apiserver.authz.noderefs import pod_refs
from kybern.apiserver.registry import Lister

MIRROR = "kubernetes.io/config.mirror"
_PROJECTED = (("clusterTrustBundle", "clustertrustbundles"), ("podCertificate", "podcertificates"))
_REFERENCES = ("secrets", "configmaps", "persistentvolumeclaims", "resourceclaims")


class NodePods:
    """Looks pods and nodes up."""

    def __init__(self, pods: Lister, node_of: Callable[[str], Object | None]) -> None:
        self._pods, self._node_of = pods, node_of

    def check(self, a: Attributes, node: str) -> None:
        """Raises Forbidden, NotFound."""
        match a.subresource, a.operation:
            case "", "CREATE":
                self._mirror_pod(a, a.object or {}, node)
            case "", "DELETE":
                if self._existing(a)["spec"].get("nodeName") != node:
                    raise a.forbidden(f'node "{node}" can only delete pods with spec.nodeName set to itself')
            case "", operation:
                said = f'unexpected operation "{operation}", node "{node}" can only create and delete mirror pods'
                raise a.forbidden(said)
            case "status", "UPDATE":
                _status(a, node)
            case "eviction", "CREATE":
                if self._existing(a)["spec"].get("nodeName") != node:
                    raise a.forbidden(f"node {node} can only evict pods with spec.nodeName set to itself")
            case "status" | "eviction", operation:
                raise a.forbidden(f'unexpected operation "{operation}"')
            case subresource, _:
                raise a.forbidden(
                    f"unexpected pod subresource \"{subresource}\", only 'status' and 'eviction' are allowed"
                )

    def _existing(self, a: Attributes) -> Object:
        pod = a.old if a.old and "spec" in a.old else self._pods.get(a.namespace, a.name)
        if pod is None:
            raise NotFound.of("pods", "", a.name)
        return pod

    def _mirror_pod(self, a: Attributes, pod: Object, node: str) -> None:
        if MIRROR not in (pod["metadata"].get("annotations") or {}):
            raise a.forbidden(f'pod does not have "{MIRROR}" annotation, node "{node}" can only create mirror pods')
        spec = pod["spec"]
        if spec.get("nodeName") != node:
            raise a.forbidden(f'node "{node}" can only create pods with spec.nodeName set to itself')
        self._owner(a, pod["metadata"].get("ownerReferences") or [], node)
        if spec.get("serviceAccountName"):
            raise a.forbidden(f'node "{node}" can not create pods that reference a service account')
        # Asked as of a pod that is no mirror: what would it be given?
        plain = {**pod, "metadata": {**pod["metadata"], "annotations": {}, "namespace": a.namespace}}
        found = {plural for plural, _, _ in pod_refs(plain)}
        for plural in _REFERENCES:
            if plural in found or (plural == "resourceclaims" and spec.get("resourceClaims")):
                raise a.forbidden(f'node "{node}" can not create pods that reference {plural}')
        for volume in spec.get("volumes") or ():
            for source in (volume.get("projected") or {}).get("sources") or ():
                for field, what in _PROJECTED:
                    if source.get(field):
                        raise a.forbidden(f'node "{node}" can not create pods that reference {what}')

    def _owner(self, a: Attributes, owners: list[Object], node: str) -> None:
        if len(owners) > 1:
            raise a.forbidden(f'node "{node}" can only create pods with a single owner reference set to itself')
        owner = owners[0] if owners else {}
        if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
            raise a.forbidden(f'node "{node}" can only create pods with an owner reference set to itself')
        if not owner.get("controller"):
            raise a.forbidden(f'node "{node}" can only create pods with a controller owner reference set to itself')
        if owner.get("blockOwnerDeletion"):
            raise a.forbidden(f'node "{node}" must not set blockOwnerDeletion on an owner reference')
        found = self._node_of(node)
        if found is None:
            raise NotFound.of("nodes", "", node)
        if owner.get("uid") != found["metadata"]["uid"]:
            raise a.forbidden(
                f"node {node} UID mismatch: expected {owner.get('uid') or ''} got {found['metadata']['uid']}"
            )


def _status(a: Attributes, node: str) -> None:
    old, new = a.old or {}, a.object or {}
    if (old.get("spec") or {}).get("nodeName") != node:
        raise a.forbidden(f'node "{node}" can only update pod status for pods with spec.nodeName set to itself')
    if (old["metadata"].get("labels") or {}) != (new["metadata"].get("labels") or {}):
        raise a.forbidden(f'node "{node}" cannot update labels through pod status')
    if _claims(old) != _claims(new):
        raise a.forbidden(f'node "{node}" cannot update resource claim statues')
    if _extended(old) != _extended(new):
        raise a.forbidden(f'node "{node}" cannot update extended resource claim status')


def _claims(pod: Object) -> list[tuple[str, str | None]]:
    found = (pod.get("status") or {}).get("resourceClaimStatuses") or ()
    return [(one.get("name", ""), one.get("resourceClaimName")) for one in found]


def _extended(pod: Object) -> Object:
    return (pod.get("status") or {}).get("extendedResourceClaimStatus") or {}
