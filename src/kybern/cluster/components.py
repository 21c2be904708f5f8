"""The processes of a cluster on one machine, in the order they are started: a list one can read."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from ipaddress import ip_network

from kybern.cluster import containerd
from kybern.cluster.identity import Identity
from kybern.cluster.layout import Layout, Settings


@dataclass(frozen=True)
class Component:
    """One supervised process."""

    name: str
    argv: tuple[str, ...]


def components(layout: Layout, settings: Settings) -> list[Component]:
    """What the supervisor runs. Writes no files; `prepare` has."""
    return [
        Component("apiserver", _kybern("apiserver", *_apiserver_flags(layout, settings))),
        Component("containerd", (containerd.program(), "--config", str(layout.containerd / "config.toml"))),
        Component("kubelet", _kybern("kubelet", *_kubelet_flags(layout, settings))),
        Component(
            "controller-manager",
            _kybern(
                "controller-manager",
                *_as(layout, "controller-manager"),
                "--leader-elect=false",
                "--bind-address=127.0.0.1",
                "--allocate-node-cidrs=true",
                f"--cluster-cidr={settings.cluster_cidr}",
                f"--root-ca-file={layout.pki}/ca.crt",
                f"--cluster-signing-cert-file={layout.pki}/ca.crt",
                f"--cluster-signing-key-file={layout.pki}/ca.key",
                "--controllers=*,bootstrapsigner,tokencleaner",
            ),
        ),
        Component(
            "scheduler",
            _kybern(
                "scheduler", *_as(layout, "scheduler"), "--leader-elect=false", "--bind-address=127.0.0.1", "--v=2"
            ),
        ),
        Component(
            "proxy",
            _kybern(
                "proxy",
                *_as(layout, "proxy"),
                f"--cluster-cidr={settings.cluster_cidr}",
                f"--hostname-override={settings.node_name}",
            ),
        ),
        Component(
            "dns",
            _kybern(
                "dns",
                *_as(layout, "dns"),
                f"--bind-address={settings.node_ip}",
                f"--port={settings.dns_port}",
                f"--cluster-domain={settings.cluster_domain}",
            ),
        ),
    ]


USERS: dict[str, Identity] = {
    "admin": Identity("kubernetes-admin", ("system:masters",)),
    "controller-manager": Identity("system:kube-controller-manager"),
    "scheduler": Identity("system:kube-scheduler"),
    "proxy": Identity("system:kube-proxy"),
    "dns": Identity("system:serviceaccount:kube-system:kube-dns", ("system:serviceaccounts", "system:authenticated")),
}
"""Who each component is to the API server; the node's own name is added by `prepare`."""


def prepare(layout: Layout, settings: Settings) -> None:
    """Certificates, kubeconfigs and containerd's configuration. Raises OperatorError."""
    # The supervisor, which stays, makes no certificates and need not hold what does.
    from kybern.cluster.pki import Authority, signing_key, write_kubeconfig

    authority = Authority(layout.pki)
    kubernetes_ip = str(next(ip_network(settings.service_cidr).hosts()))
    domain = settings.cluster_domain
    services = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", f"kubernetes.default.svc.{domain}")
    names = (*services, "localhost", settings.node_name, settings.node_ip, "127.0.0.1", kubernetes_ip)
    authority.issue("apiserver", Identity("kube-apiserver", names=tuple(dict.fromkeys(names)), client=False))
    authority.issue("apiserver-kubelet-client", Identity("kube-apiserver-kubelet-client", ("system:masters",)))
    kubelet_names = tuple(dict.fromkeys((settings.node_name, settings.node_ip, "127.0.0.1", "localhost")))
    node = Identity(f"system:node:{settings.node_name}", ("system:nodes",))
    authority.issue("kubelet", Identity(node.common_name, node.organizations, kubelet_names, client=False))
    signing_key(layout.pki)
    server = f"https://{settings.node_ip}:{settings.secure_port}"
    for user, identity in {**USERS, "kubelet": node}.items():
        certificate, key = authority.issue(f"{user}-client", identity)
        write_kubeconfig(layout.kubeconfig(user), server, authority, certificate, key, identity.common_name)
    containerd.write_config(layout)


def _kybern(command: str, *flags: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "kybern", command, *flags)


def _as(layout: Layout, user: str) -> tuple[str, ...]:
    return (f"--kubeconfig={layout.kubeconfig(user)}",)


def _apiserver_flags(layout: Layout, settings: Settings) -> list[str]:
    pki = layout.pki
    return [
        f"--data-dir={layout.root}",
        f"--secure-port={settings.secure_port}",
        f"--advertise-address={settings.node_ip}",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--service-account-issuer=https://kubernetes.default.svc.{settings.cluster_domain}",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-account-signing-key-file={pki}/sa.key",
        f"--service-cluster-ip-range={settings.service_cidr}",
        "--authorization-mode=Node,RBAC",
        "--enable-bootstrap-token-auth=true",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet-client.key",
    ]


def _kubelet_flags(layout: Layout, settings: Settings) -> list[str]:
    pki = layout.pki
    return [
        f"--kubeconfig={layout.kubeconfig('kubelet')}",
        f"--container-runtime-endpoint=unix://{layout.containerd_socket}",
        f"--hostname-override={settings.node_name}",
        f"--node-ip={settings.node_ip}",
        f"--port={settings.kubelet_port}",
        f"--root-dir={layout.root}/kubelet",
        f"--pod-log-dir={layout.logs}/pods",
        f"--pod-manifest-path={layout.manifests}",
        f"--cni-conf-dir={containerd.cni_conf_dir(layout)}",
        f"--non-masquerade-cidr={settings.cluster_cidr}",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/kubelet.crt",
        f"--tls-private-key-file={pki}/kubelet.key",
        f"--cluster-dns={settings.dns_ip}",
        f"--cluster-domain={settings.cluster_domain}",
        "--cgroup-driver=cgroupfs",
        "--anonymous-auth=false",
        "--authentication-token-webhook=true",
        "--authorization-mode=Webhook",
        "--fail-swap-on=false",
    ]
