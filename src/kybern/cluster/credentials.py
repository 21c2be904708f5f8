"""Certificates, keys and kubeconfigs of a node's processes, made before they start.

One CA for the cluster and one for etcd, both kept where `up` was run; a node gets what its own processes need.
"""

from __future__ import annotations

import shutil
from ipaddress import ip_network

from kybern.cluster import audit_policy, containerd, front_proxy
from kybern.cluster.identity import Identity
from kybern.cluster.layout import WORKER, Layout, Settings
from kybern.cluster.pki import Authority, signing_key, write_kubeconfig

ADMIN = Identity("kubernetes-admin", ("system:masters",))
CONTROL_PLANE: dict[str, Identity] = {
    "controller-manager": Identity("system:kube-controller-manager"),
    "scheduler": Identity("system:kube-scheduler"),
    "dns": Identity("system:serviceaccount:kube-system:kube-dns", ("system:serviceaccounts", "system:authenticated")),
}
PROXY, NETWORK = Identity("system:kube-proxy"), Identity("system:kybern-network")
CLOUD = Identity("system:cloud-controller-manager")


def prepare(layout: Layout, settings: Settings, home: Layout | None = None) -> None:
    """What the node of `layout` needs, signed by the CA in `home` (by default its own). Raises OperatorError."""
    home = home or layout
    authority = Authority(home.pki)
    layout.pki.mkdir(parents=True, exist_ok=True)
    node = Identity(f"system:node:{settings.node_name}", ("system:nodes",))
    users = {"kubelet": node, "proxy": PROXY}
    if settings.role:
        users["network"] = NETWORK
    if settings.role != WORKER:
        _control_plane(layout, settings, home, authority)
        users |= CONTROL_PLANE
    if not settings.role:
        users["admin"] = ADMIN
        cloud(layout, settings, authority)
    names = tuple(dict.fromkeys((settings.node_name, settings.node_ip, "127.0.0.1", "localhost")))
    authority.issue("kubelet", Identity(node.common_name, node.organizations, names, client=False), layout.pki)
    for user, identity in users.items():
        kubeconfig(layout, settings.endpoint, authority, user, identity)
    if layout is not home:
        shutil.copy2(authority.certificate_path, layout.pki / "ca.crt")
    containerd.write_config(layout)


def cloud(layout: Layout, settings: Settings, authority: Authority) -> None:
    """For the cloud controller manager, of which each machine has one."""
    names = tuple(dict.fromkeys((settings.node_ip, "localhost", "127.0.0.1")))
    identity = Identity("cloud-controller-manager", names=names, client=False)
    authority.issue("cloud-controller-manager", identity, layout.pki)
    kubeconfig(layout, settings.endpoint, authority, "cloud-controller-manager", CLOUD)


def kubeconfig(layout: Layout, endpoint: str, authority: Authority, user: str, identity: Identity) -> None:
    """A user's kubeconfig with its certificate in it."""
    certificate, key = authority.issue(f"{user}-client", identity, layout.pki)
    path = layout.kubeconfig(user)
    write_kubeconfig(path, f"https://{endpoint}", authority, certificate, key, identity.common_name)


def _control_plane(layout: Layout, settings: Settings, home: Layout, authority: Authority) -> None:
    kubernetes_ip = str(next(ip_network(settings.service_cidr).hosts()))
    services = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    named = (*services, f"kubernetes.default.svc.{settings.cluster_domain}", "localhost", settings.node_name)
    addresses = (settings.node_ip, "127.0.0.1", kubernetes_ip, settings.endpoint.rpartition(":")[0])
    names = tuple(dict.fromkeys((*named, *addresses)))
    authority.issue("apiserver", Identity("kube-apiserver", names=names, client=False), layout.pki)
    local = (settings.node_name, settings.node_ip, "localhost", "127.0.0.1")
    for name in ("controller-manager", "scheduler"):
        authority.issue(name, Identity(f"kube-{name}", names=local, client=False), layout.pki)
    kubelets = Identity("kube-apiserver-kubelet-client", ("system:masters",))
    authority.issue("apiserver-kubelet-client", kubelets, layout.pki)
    proxies = Authority(home.pki, "kybern-front-proxy-ca", front_proxy.CA)
    proxies.issue(front_proxy.CLIENT, Identity(front_proxy.CLIENT), layout.pki)
    signing_key(home.pki)
    if layout is not home:
        # Every control plane signs with the same keys, and believes the same proxies.
        for name in ("ca.key", "sa.key", "sa.pub", f"{front_proxy.CA}.crt"):
            shutil.copy2(home.pki / name, layout.pki / name)
    if settings.etcd:
        _etcd(layout, settings, home)
    audit_policy.write(layout)


def _etcd(layout: Layout, settings: Settings, home: Layout) -> None:
    authority, target = Authority(home.pki / "etcd", "kybern-etcd-ca"), layout.pki / "etcd"
    target.mkdir(parents=True, exist_ok=True)
    names = (settings.node_name, settings.node_ip, "localhost", "127.0.0.1")
    authority.issue("server", Identity(settings.node_name, names=names), target)
    authority.issue("client", Identity("kube-apiserver-etcd-client"), target)
    if target != authority.directory:
        shutil.copy2(authority.certificate_path, target / "ca.crt")
