"""NodeRestriction: a kubelet may write its own node, the status of its own pods, and mirror pods; nothing else.

Source: Kubernetes documentation, "Using Node Authorization" and the NodeRestriction admission controller.
"""

from __future__ import annotations

from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, DELETE, UPDATE, Attributes, Plugin
from kybern.apiserver.app import App
from kybern.apiserver.authz.node import NODES, node_name
from kybern.apiserver.authz.noderefs import pod_refs

_MIRROR = "kubernetes.io/config.mirror"
_LEASES = ("coordination.k8s.io", "leases")
_LEASE_NAMESPACE = "kube-node-lease"
_RESTRICTED = "node-restriction.kubernetes.io"
_KUBELET_LABELS = frozenset({
    "kubernetes.io/hostname", "kubernetes.io/arch", "kubernetes.io/os", "beta.kubernetes.io/arch",
    "beta.kubernetes.io/os", "beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region",
    "failure-domain.kubernetes.io/zone", "failure-domain.kubernetes.io/region", "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
})  # fmt: skip
_KUBELET_PREFIXES = ("kubelet.kubernetes.io", "node.kubernetes.io")


class NodeRestriction(Plugin):
    """Holds users of the group system:nodes to their node."""

    name = "NodeRestriction"
    handles = frozenset({("", "pods"), ("", "nodes"), ("", "serviceaccounts"), _LEASES, ("storage.k8s.io", "csinodes")})
    operations = frozenset((CREATE, UPDATE, DELETE))

    def __init__(self, app: App) -> None:
        self._pods = app.registry.lister("", "pods")

    async def admit(self, a: Attributes) -> None:
        if NODES not in a.user.groups:
            return
        node = node_name(a.user)
        if not node:
            raise a.forbidden(f'could not determine node from user "{a.user.name}"')
        match a.resource.plural:
            case "pods":
                self._pod(a, node)
            case "nodes":
                _node(a, node)
            case "serviceaccounts":
                self._token(a, node)
            case "leases":
                _lease(a, node)
            case "csinodes":
                if a.name != node:
                    raise a.forbidden("can only access CSINode with the same name as the requesting node")

    def _pod(self, a: Attributes, node: str) -> None:
        if a.subresource == "" and a.operation == CREATE:
            _mirror_pod(a, node)
        elif a.subresource == "" and a.operation == DELETE:
            self._on_node(a, node, f'node "{node}" can only delete pods with spec.nodeName set to itself')
        elif a.subresource == "status" and a.operation == UPDATE:
            refusal = "can only update pod status for pods with spec.nodeName set to itself"
            self._on_node(a, node, f'node "{node}" {refusal}')
            if _labels(a.object) != _labels(a.old):
                raise a.forbidden(f'node "{node}" cannot update labels through pod status')
        elif a.subresource == "eviction":
            self._on_node(a, node, f'node "{node}" can only evict pods with spec.nodeName set to itself')
        else:
            raise a.forbidden(f"unexpected operation {a.operation} on pods/{a.subresource}")

    def _on_node(self, a: Attributes, node: str, refusal: str) -> None:
        pod = a.old if a.old and "spec" in a.old else self._pods.get(a.namespace, a.name)
        if pod is not None and pod["spec"].get("nodeName") != node:
            raise a.forbidden(refusal)

    def _token(self, a: Attributes, node: str) -> None:
        if a.subresource != "token" or a.object is None:
            return
        ref = a.object["spec"].get("boundObjectRef") or {}
        if ref.get("kind") != "Pod" or ref.get("apiVersion", "v1") != "v1" or not ref.get("name"):
            raise a.forbidden("node requested token not bound to a pod")
        if not ref.get("uid"):
            raise a.forbidden("node requested token with a pod binding without a uid")
        pod = self._pods.get(a.namespace, ref["name"])
        if pod is None:
            raise a.forbidden(f'pod "{ref["name"]}" not found')
        if pod["metadata"]["uid"] != ref["uid"]:
            raise a.forbidden(
                f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
        if pod["spec"].get("nodeName") != node:
            raise a.forbidden("node requested token bound to a pod scheduled on a different node")


def _labels(obj: Object | None) -> Object:
    return (obj or {}).get("metadata", {}).get("labels") or {}


def _mirror_pod(a: Attributes, node: str) -> None:
    """A node makes mirror pods only, and those open nothing to it."""
    pod = a.object or {}
    if _MIRROR not in (pod["metadata"].get("annotations") or {}):
        raise a.forbidden(f'pod does not have "{_MIRROR}" annotation, node "{node}" can only create mirror pods')
    if pod["spec"].get("nodeName") != node:
        raise a.forbidden(f'node "{node}" can only create pods with spec.nodeName set to itself')
    owners = pod["metadata"].get("ownerReferences") or []
    if len(owners) != 1 or owners[0].get("kind") != "Node" or owners[0].get("name") != node:
        raise a.forbidden(f'node "{node}" can only create pods with an owner reference set to itself')
    if pod["spec"].get("serviceAccountName"):
        raise a.forbidden(f'node "{node}" can not create pods that reference a service account')
    plain = {**pod, "metadata": {**pod["metadata"], "annotations": {}, "namespace": a.namespace}}
    for resource, _, _ in pod_refs(plain):
        if resource in ("secrets", "configmaps", "persistentvolumeclaims", "resourceclaims"):
            raise a.forbidden(f'node "{node}" can not create pods that reference {resource}')


def _node(a: Attributes, node: str) -> None:
    name = a.name or ((a.object or {}).get("metadata") or {}).get("name", "")
    if name != node:
        raise a.forbidden(f'node "{node}" is not allowed to modify node "{name}"')
    if a.object is None or a.operation == DELETE:
        return
    changed = _changed_labels(a.object, a.old)
    refused = sorted(label for label in changed if _forbidden_label(label))
    if refused:
        verb = "set the following labels" if a.operation == CREATE else "modify labels"
        raise a.forbidden(f'node "{node}" is not allowed to {verb}: {", ".join(refused)}')
    if a.operation == UPDATE and a.old is not None:
        if (a.object.get("spec") or {}).get("taints") != (a.old.get("spec") or {}).get("taints"):
            raise a.forbidden(f'node "{node}" is not allowed to modify taints')
        if a.object["metadata"].get("ownerReferences") != a.old["metadata"].get("ownerReferences"):
            raise a.forbidden(f'node "{node}" is not allowed to modify ownerReferences')


def _changed_labels(new: Object, old: Object | None) -> set[str]:
    after, before = _labels(new), _labels(old)
    return {key for key in after.keys() | before.keys() if after.get(key) != before.get(key)}


def _forbidden_label(label: str) -> bool:
    namespace, slash, _ = label.partition("/")
    if not slash:
        return False
    if namespace == _RESTRICTED or namespace.endswith(f".{_RESTRICTED}"):
        return True
    if label in _KUBELET_LABELS or any(namespace == p or namespace.endswith(f".{p}") for p in _KUBELET_PREFIXES):
        return False
    return any(namespace == domain or namespace.endswith(f".{domain}") for domain in ("kubernetes.io", "k8s.io"))


def _lease(a: Attributes, node: str) -> None:
    if a.namespace != _LEASE_NAMESPACE:
        raise a.forbidden(f'can only access leases in the "{_LEASE_NAMESPACE}" system namespace')
    name = a.name or ((a.object or {}).get("metadata") or {}).get("name", "")
    if name != node:
        raise a.forbidden("can only access node lease with the same name as the requesting node")
