"""What a fresh cluster is given besides its processes: the DNS service, which points at the DNS server on the node, and
what that server, the network agents and the cloud controller manager may do."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from kybern.api.errors import AlreadyExists, Invalid, NotFound
from kybern.api.types import Object
from kybern.client.rest import Client, ResourceClient
from kybern.cluster.layout import Settings

_DNS_LABELS = {"k8s-app": "kube-dns", "kubernetes.io/name": "KubeDNS"}
_DNS_ROLE = "system:cluster-dns"
_NETWORK_ROLE = "system:kybern-network"
_CLOUD_ROLE = "system:cloud-controller-manager"
_PROTOCOLS = {"dns": "UDP", "dns-tcp": "TCP"}


async def apply(client: Client, settings: Settings, dns_servers: Sequence[str]) -> None:
    """Create what is missing and mend what differs. `dns_servers` are the addresses of the nodes that answer."""
    rbac = "rbac.authorization.k8s.io/v1"
    # All at once: the components that wait for their rights try again ever more rarely.
    roles = client.resource(rbac, "clusterroles", namespaced=False)
    bindings = client.resource(rbac, "clusterrolebindings", namespaced=False)
    await asyncio.gather(
        *(_create(roles, role) for role in (cloud_role(), network_role(), dns_role())),
        *(_create(bindings, binding) for binding in (cloud_binding(), network_binding(), dns_binding())),
        _create(client.resource("v1", "services"), dns_service(settings)),
    )
    slices = client.resource("discovery.k8s.io/v1", "endpointslices")
    wanted = dns_endpoints(settings, dns_servers)
    try:
        await slices.create(wanted)
    except AlreadyExists:
        changes = {"endpoints": wanted["endpoints"], "ports": wanted["ports"]}
        await slices.patch(wanted["metadata"]["name"], changes, "kube-system", type="merge")


async def _create(resource: ResourceClient, made: Object) -> None:
    metadata = made["metadata"]
    try:
        await resource.create(made)
    except AlreadyExists:
        pass
    except Invalid as refusal:
        # Of a Service that is there, the address is complained of first: it has that itself.
        try:
            await resource.get(metadata["name"], metadata.get("namespace", ""))
        except NotFound:
            raise refusal from None


def dns_role() -> Object:
    """What the DNS server makes names of."""
    verbs = ["list", "watch"]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": _DNS_ROLE},
        "rules": [
            {"apiGroups": [""], "resources": ["namespaces", "pods", "services"], "verbs": verbs},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": verbs},
        ],
    }


def dns_binding() -> Object:
    """Gives it to the DNS server, which goes by a service account's name."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": _DNS_ROLE},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": _DNS_ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": "kube-dns", "namespace": "kube-system"}],
    }


def network_role() -> Object:
    """What a network agent reads, and says of its own node."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": _NETWORK_ROLE},
        "rules": [
            {"apiGroups": [""], "resources": ["nodes"], "verbs": ["list", "watch", "patch"]},
            {"apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"]},
        ],
    }


def network_binding() -> Object:
    """Gives it to the network agents' own user: a kubelet's can't list the nodes."""
    return _binding_to_namesake(_NETWORK_ROLE)


def cloud_role() -> Object:
    """What the cloud controller manager reads, and says of nodes and Services."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": _CLOUD_ROLE},
        "rules": [
            {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "list", "watch", "patch", "update", "delete"]},
            {"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list", "watch"]},
            {"apiGroups": [""], "resources": ["nodes/status", "services/status"], "verbs": ["patch"]},
            {"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]},
        ],
    }


def cloud_binding() -> Object:
    """Gives it to the manager's user."""
    return _binding_to_namesake(_CLOUD_ROLE)


def _binding_to_namesake(name: str) -> Object:
    """A role for the user of the same name."""
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": group, "kind": "User", "name": name}],
    }


def dns_service(settings: Settings) -> Object:
    """`kube-dns` at the address every pod has in its resolv.conf. Without a selector: its endpoint is set by hand."""
    ports = [
        {"name": name, "port": 53, "protocol": protocol, "targetPort": settings.dns_port}
        for name, protocol in _PROTOCOLS.items()
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "kube-dns", "namespace": "kube-system", "labels": _DNS_LABELS},
        "spec": {"clusterIP": settings.dns_ip, "ports": ports},
    }


def dns_endpoints(settings: Settings, servers: Sequence[str]) -> Object:
    """The DNS servers on the nodes, behind the Service."""
    ports = [{"name": name, "port": settings.dns_port, "protocol": protocol} for name, protocol in _PROTOCOLS.items()]
    labels = {"kubernetes.io/service-name": "kube-dns", "endpointslice.kubernetes.io/managed-by": "kybern-up"}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "kube-dns-node", "namespace": "kube-system", "labels": labels},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [server], "conditions": {"ready": True}} for server in servers],
        "ports": ports,
    }
