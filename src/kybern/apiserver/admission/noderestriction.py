"""NodeRestriction: a kubelet may write its own node, the status of its own pods, and mirror pods; nothing else.

Source: Kubernetes documentation, "Using Node Authorization" and the NodeRestriction admission controller.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kybern.api.certificates import requests
from kybern.api.certificates.certificatesigningrequest import KUBELET_CLIENT, KUBELET_SERVING
from kybern.api.errors import NotFound
from kybern.api.types import Object
from kybern.apiserver.admission.base import CREATE, DELETE, UPDATE, Attributes, Plugin
from kybern.apiserver.admission.nodepods import NodePods
from kybern.apiserver.app import App
from kybern.apiserver.authz.base import Union
from kybern.apiserver.authz.node import NODES, PREFIX, node_name
from kybern.apiserver.registry import Lister
from kybern.apiserver.request import RequestInfo

_LEASE_NAMESPACE = "kube-node-lease"
_LOOKED_UP = (
    ("", "pods"), ("", "nodes"), ("", "persistentvolumes"), ("", "persistentvolumeclaims"),
    ("storage.k8s.io", "csidrivers"),
)  # fmt: skip
_AUDIENCE_VERB = "request-serviceaccounts-token-audience"
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
    handles = frozenset(
        {
            ("", "pods"), ("", "nodes"), ("", "serviceaccounts"), ("", "persistentvolumeclaims"),
            ("coordination.k8s.io", "leases"), ("storage.k8s.io", "csinodes"), ("resource.k8s.io", "resourceslices"),
            ("certificates.k8s.io", "certificatesigningrequests"), ("certificates.k8s.io", "podcertificaterequests"),
        }
    )  # fmt: skip
    operations = frozenset((CREATE, UPDATE, DELETE))

    def __init__(self, app: App) -> None:
        self._app = app
        self._pods = app.registry.lister("", "pods")
        self._node_pods = NodePods(self._pods, lambda name: self._lister("", "nodes").get("", name))
        self._checks: dict[str, Callable[[Attributes, str], None]] = {
            "pods": self._node_pods.check,
            "nodes": _node,
            "persistentvolumeclaims": _claim,
            "leases": _lease,
            "csinodes": _csi_node,
            "resourceslices": _resource_slice,
            "certificatesigningrequests": _signing_request,
            "podcertificaterequests": _certificate_request,
        }

    async def start(self) -> None:
        registry = self._app.registry
        for group, plural in _LOOKED_UP:
            resource = registry.scheme.resource(group, plural)
            if resource is not None:
                await registry.started(resource)

    def _lister(self, group: str, plural: str) -> Lister:
        return self._app.registry.lister(group, plural)

    async def admit(self, a: Attributes) -> None:
        if NODES not in a.user.groups:
            return
        node = node_name(a.user)
        if not node:
            raise a.forbidden(f'could not determine node from user "{a.user.name}"')
        if a.resource.plural == "serviceaccounts":
            await self._token(a, node)
        else:
            self._checks[a.resource.plural](a, node)

    async def _token(self, a: Attributes, node: str) -> None:
        if a.subresource != "token" or a.operation != CREATE or a.object is None:
            return
        spec = a.object["spec"]
        ref = spec.get("boundObjectRef") or {}
        if ref.get("kind") != "Pod" or ref.get("apiVersion") != "v1" or not ref.get("name"):
            raise a.forbidden("node requested token not bound to a pod")
        if not ref.get("uid"):
            raise a.forbidden("node requested token with a pod binding without a uid")
        pod = self._pods.get(a.namespace, ref["name"])
        if pod is None:
            raise NotFound.of("pods", "", ref["name"])
        if pod["metadata"]["uid"] != ref["uid"]:
            raise a.forbidden(
                f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record. "
                "The object might have been deleted and then recreated"
            )
        if pod["spec"].get("nodeName") != node:
            raise a.forbidden("node requested token bound to a pod scheduled on a different node")
        await self._audience(a, pod, spec.get("audiences") or [])

    async def _audience(self, a: Attributes, pod: Object, audiences: list[str]) -> None:
        """The audience must be one that the pod asks for, or one that the roles let the node ask for."""
        if len(audiences) > 1:
            raise a.forbidden("node may only request 0 or 1 audiences")
        wanted = audiences[0] if audiences else ""
        if wanted in self._audiences_of(pod):
            return
        info = RequestInfo(_AUDIENCE_VERB, "", True, "", "v1", wanted, "", a.namespace, a.name)
        if wanted and (await Union(self._app.authorizers).authorize(a.user, info)).allowed:
            return
        raise a.forbidden(
            f'audience "{wanted}" not found in pod spec volume, {a.user.name} is not authorized to request tokens for '
            "this audience"
        )

    def _audiences_of(self, pod: Object) -> Iterator[str]:
        for volume in pod["spec"].get("volumes") or ():
            for source in (volume.get("projected") or {}).get("sources") or ():
                if source.get("serviceAccountToken"):
                    yield source["serviceAccountToken"].get("audience") or ""
            driver = self._driver_of(pod, volume)
            found = self._lister("storage.k8s.io", "csidrivers").get("", driver) if driver else None
            for request in (found["spec"].get("tokenRequests") or ()) if found else ():
                yield request.get("audience") or ""

    def _driver_of(self, pod: Object, volume: Object) -> str:
        """The CSI driver of a pod's volume; "" if it has none."""
        if volume.get("csi"):
            return str(volume["csi"].get("driver") or "")
        name = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if volume.get("ephemeral"):
            name = f"{pod['metadata']['name']}-{volume['name']}"
        if not name:
            return ""
        claim = self._lister("", "persistentvolumeclaims").get(pod["metadata"]["namespace"], name)
        bound = claim["spec"].get("volumeName") if claim else None
        persistent = self._lister("", "persistentvolumes").get("", bound) if bound else None
        return str((persistent["spec"].get("csi") or {}).get("driver") or "") if persistent else ""


def _name(a: Attributes) -> str:
    return a.name or ((a.object or {}).get("metadata") or {}).get("name", "")


def _labels(obj: Object | None) -> Object:
    return (obj or {}).get("metadata", {}).get("labels") or {}


def _node(a: Attributes, node: str) -> None:
    name = _name(a)
    if name != node:
        raise a.forbidden(f'node "{node}" is not allowed to modify node "{name}"')
    if a.object is None or a.operation == DELETE:
        return
    refused = ", ".join(sorted(label for label in _changed_labels(a.object, a.old) if _forbidden_label(label)))
    source = (a.object.get("spec") or {}).get("configSource")
    if a.operation == CREATE:
        if source:
            raise a.forbidden(f'node "{node}" is not allowed to create pods with a non-nil configSource')
        if refused:
            raise a.forbidden(f'node "{node}" is not allowed to set the following labels: {refused}')
        return
    old = a.old or {}
    if source and source != (old.get("spec") or {}).get("configSource"):
        raise a.forbidden(f'node "{node}" is not allowed to update configSource to a new non-nil configSource')
    if (a.object.get("spec") or {}).get("taints") != (old.get("spec") or {}).get("taints"):
        raise a.forbidden(f'node "{node}" is not allowed to modify taints')
    if refused:
        raise a.forbidden(f"is not allowed to modify labels: {refused}")
    if a.object["metadata"].get("ownerReferences") != (old.get("metadata") or {}).get("ownerReferences"):
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


_CLAIM_STATUS = ("capacity", "conditions", "allocatedResourceStatuses", "allocatedResources")
_BOOKKEEPING = ("resourceVersion", "managedFields")


def _claim(a: Attributes, node: str) -> None:
    if a.subresource != "status":
        raise a.forbidden("may only update PVC status")
    if a.operation != UPDATE:
        raise a.forbidden(f'unexpected operation "{a.operation}"')
    if _fixed(a.old or {}) != _fixed(a.object or {}):
        raise a.forbidden(
            f'node "{node}" is not allowed to update fields other than status.quantity, status.conditions, '
            "status.allocatedResources and status.allocatedResourceStatuses"
        )


def _fixed(claim: Object) -> Object:
    """What of a claim a node can't change."""
    meta = {key: value for key, value in claim["metadata"].items() if key not in _BOOKKEEPING}
    status = {key: value for key, value in (claim.get("status") or {}).items() if key not in _CLAIM_STATUS}
    return {**claim, "metadata": meta, "status": status}


def _lease(a: Attributes, node: str) -> None:
    if a.namespace != _LEASE_NAMESPACE:
        raise a.forbidden(f'can only access leases in the "{_LEASE_NAMESPACE}" system namespace')
    if _name(a) != node:
        raise a.forbidden("can only access node lease with the same name as the requesting node")


def _csi_node(a: Attributes, node: str) -> None:
    if _name(a) != node:
        raise a.forbidden("can only access CSINode with the same name as the requesting node")


def _resource_slice(a: Attributes, node: str) -> None:
    if a.operation == UPDATE:
        # The authorizer has looked at whose it is, and that doesn't change.
        return
    verb, found = ("create", a.object) if a.operation == CREATE else ("delete", a.old)
    if found is not None and found["spec"].get("nodeName") != node:
        raise a.forbidden(f"can only {verb} ResourceSlice with the same NodeName as the requesting node")


def _signing_request(a: Attributes, node: str) -> None:
    if a.operation != CREATE or a.subresource or a.object is None:
        return
    spec = a.object["spec"]
    if spec.get("signerName") not in (KUBELET_CLIENT, KUBELET_SERVING):
        return
    try:
        asked = requests.common_name(requests.parse(spec.get("request")).subject)
    except ValueError as error:
        raise a.forbidden(f"unable to parse csr: {error}") from error
    if asked.startswith(PREFIX) and asked != PREFIX + node:
        raise a.forbidden(f"can only create a node CSR with CN={PREFIX}{node}")


def _certificate_request(a: Attributes, node: str) -> None:
    if a.operation != CREATE or a.object is None:
        return
    asked = a.object["spec"].get("nodeName") or ""
    if asked != node:
        raise a.forbidden(f'PodCertificateRequest.Spec.NodeName="{asked}", which is not the requesting node "{node}"')
