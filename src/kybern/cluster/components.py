"""The processes of a node, in the order they are started: a list one can read."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from kybern.cluster import audit_policy, balancer, cloud, containerd, etcd_member, front_proxy, machines
from kybern.cluster.layout import HOME, JOINED, WORKER, Layout, Settings
from kybern.cluster.topology import Member, Topology, layout_of


@dataclass(frozen=True)
class Component:
    """One supervised process."""

    name: str
    argv: tuple[str, ...]
    stamp: str = ""
    """Changes when it is to be started anew though its command line is the same."""


def components(layout: Layout, settings: Settings) -> list[Component]:
    """What a supervisor runs. Writes no files; credentials.py, balancer.py and cloud.py have. Raises OperatorError."""
    return _machine(layout, settings) if settings.role == HOME else _node(layout, settings)


def _machine(layout: Layout, settings: Settings) -> list[Component]:
    """Where there are several nodes: each as one process that runs the rest, the way to the API servers, and the cloud
    that the nodes are in."""
    topology = Topology.read(layout)
    assert topology is not None
    running = [member for member in topology.members if not member.stopped]
    nodes = [Component(f"node-{member.name}", _enter(layout, member)) for member in running]
    return [Component("balancer", balancer.command(layout), balancer.stamp(layout)), *nodes, _cloud(layout, settings)]


def _cloud(layout: Layout, settings: Settings) -> Component:
    name = "cloud-controller-manager"
    flags = [_as(layout, name), "--bind-address=127.0.0.1", *_serving(layout, name), *cloud.flags(layout, settings)]
    return Component(name, _kybern(name, *flags))


def _enter(layout: Layout, member: Member) -> tuple[str, ...]:
    inside = _kybern("supervise", f"--data-dir={layout_of(layout, member.name).root}")
    return tuple(machines.enter_command(member, list(inside)))


def _node(layout: Layout, settings: Settings) -> list[Component]:
    workload = [
        Component("containerd", (containerd.program(), "--config", str(layout.containerd / "config.toml"))),
        Component("kubelet", _kybern("kubelet", *_kubelet_flags(layout, settings))),
    ]
    if settings.role == JOINED:
        return workload  # the rest are pods
    network = [Component("proxy", _kybern("proxy", *_proxy_flags(layout, settings)))]
    if settings.role:
        network.append(Component("network", _kybern("network", *_network_flags(layout, settings))))
    if settings.role == WORKER:
        return [*workload, *network]
    etcd = [Component("etcd", etcd_member.command(layout, settings))] if settings.etcd else []
    control = [
        Component("controller-manager", _kybern("controller-manager", *_controller_flags(layout, settings))),
        Component("scheduler", _kybern("scheduler", *_scheduler_flags(layout, settings))),
    ]
    server = Component("apiserver", _kybern("apiserver", *_apiserver_flags(layout, settings)))
    dns = Component("dns", _kybern("dns", *_dns_flags(layout, settings)))
    # Of several nodes, the machine below them runs it.
    own_cloud = [] if settings.role else [_cloud(layout, settings)]
    return [*etcd, server, *workload, *control, *network, dns, *own_cloud]


def _kybern(command: str, *flags: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "kybern", command, *flags)


def _as(layout: Layout, user: str) -> str:
    return f"--kubeconfig={layout.kubeconfig(user)}"


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
        "--enable-admission-plugins=NodeRestriction",
        "--enable-bootstrap-token-auth=true",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet-client.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet-client.key",
        *front_proxy.flags(pki),
        *audit_policy.flags(layout),
        *etcd_member.client_flags(layout, settings),
    ]


def _kubelet_flags(layout: Layout, settings: Settings) -> list[str]:
    pki = layout.pki
    return [
        _as(layout, "kubelet"),
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
        *_kubelet_identity(layout, settings),
        f"--cluster-dns={settings.dns_ip}",
        f"--cluster-domain={settings.cluster_domain}",
        "--cgroup-driver=cgroupfs",
        *([f"--cgroup-root=/{settings.group}"] if settings.group else []),
        *(["--cloud-provider=external"] if _in_cloud(settings) else []),
        "--anonymous-auth=false",
        "--authentication-token-webhook=true",
        "--authorization-mode=Webhook",
        "--fail-swap-on=false",
        *([f"--register-with-taints={settings.taints}"] if settings.taints else []),
    ]


def _in_cloud(settings: Settings) -> bool:
    return bool(settings.cloud_provider) if settings.role == JOINED else bool(settings.role)


def _kubelet_identity(layout: Layout, settings: Settings) -> list[str]:
    """Certificates: what the CA at hand issued, or what a kubelet gets and renews by itself."""
    if settings.role != JOINED:
        return [f"--tls-cert-file={layout.pki}/kubelet.crt", f"--tls-private-key-file={layout.pki}/kubelet.key"]
    return [f"--bootstrap-kubeconfig={layout.kubeconfig('bootstrap-kubelet')}", "--rotate-certificates=true"]


def _controller_flags(layout: Layout, settings: Settings) -> list[str]:
    pki = layout.pki
    return [
        _as(layout, "controller-manager"),
        _elect(settings),
        "--bind-address=127.0.0.1",
        *_serving(layout, "controller-manager"),
        "--allocate-node-cidrs=true",
        f"--cluster-cidr={settings.cluster_cidr}",
        f"--root-ca-file={pki}/ca.crt",
        f"--service-account-private-key-file={pki}/sa.key",
        f"--cluster-signing-cert-file={pki}/ca.crt",
        f"--cluster-signing-key-file={pki}/ca.key",
        "--controllers=*,bootstrapsigner,tokencleaner",
    ]


def _scheduler_flags(layout: Layout, settings: Settings) -> list[str]:
    served = _serving(layout, "scheduler")
    return [_as(layout, "scheduler"), _elect(settings), "--bind-address=127.0.0.1", *served, "--v=2"]


def _serving(layout: Layout, name: str) -> list[str]:
    """Health and metrics over TLS."""
    return [f"--tls-cert-file={layout.pki}/{name}.crt", f"--tls-private-key-file={layout.pki}/{name}.key"]


def _elect(settings: Settings) -> str:
    """Where there are several of a kind, one acts."""
    return f"--leader-elect={str(bool(settings.etcd)).lower()}"


def _proxy_flags(layout: Layout, settings: Settings) -> list[str]:
    named = f"--hostname-override={settings.node_name}"
    return [_as(layout, "proxy"), f"--cluster-cidr={settings.cluster_cidr}", named]


def _network_flags(layout: Layout, settings: Settings) -> list[str]:
    return [_as(layout, "network"), f"--hostname-override={settings.node_name}", f"--mode={settings.network_mode}"]


def _dns_flags(layout: Layout, settings: Settings) -> list[str]:
    return [
        _as(layout, "dns"),
        f"--bind-address={settings.node_ip}",
        f"--port={settings.dns_port}",
        f"--cluster-domain={settings.cluster_domain}",
    ]
