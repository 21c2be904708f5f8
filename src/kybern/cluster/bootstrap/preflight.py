"""What is looked at before `init` or `join` changes anything: each refusal is one line, the machine stays as it was."""

from __future__ import annotations

import errno
import re
import shutil
import socket
from collections.abc import Mapping
from ipaddress import ip_network

from kybern.cluster import doctor, ranges
from kybern.cluster.bootstrap import manifests
from kybern.cluster.layout import Layout, Settings
from kybern.process.daemon import OperatorError, reason

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def machine(layout: Layout, settings: Settings, *, control_plane: bool) -> None:
    """Programs, names, earlier clusters, ports. Raises OperatorError."""
    doctor.require(layout, None, running=False)
    if control_plane and not shutil.which("etcd"):
        raise OperatorError("etcd is not installed; run `apt-get install etcd-server` (or `make install`)")
    check_name(settings.node_name)
    _unused(layout)
    for port, what in ports(settings, control_plane=control_plane).items():
        _free(settings.node_ip, port, what)


def check_name(name: str) -> None:
    """Raises OperatorError for what can't be a node's."""
    if not _NAME.fullmatch(name) or len(name) > 253:
        raise OperatorError(f"{name!r} is no name for a node; use small letters, digits, dashes and dots")


def _unused(layout: Layout) -> None:
    if layout.exists():
        raise OperatorError(f"{layout.root} holds a cluster's node already; `kybern reset` (or `down`) takes it away")
    if _filled(layout, "etcd"):
        told = f"{layout.root}/etcd holds the data of a member of some other cluster"
        raise OperatorError(f"{told}; move it away, or use another --data-dir")
    for name in ("manifests", "kubeconfig", "kubelet"):
        if _filled(layout, name):
            raise OperatorError(f"{layout.root}/{name} is not empty; move it away, or use another --data-dir")


def _filled(layout: Layout, name: str) -> bool:
    path = layout.root / name
    return path.is_dir() and any(path.iterdir())


def ports(settings: Settings, *, control_plane: bool) -> Mapping[int, str]:
    """Port -> who will listen."""
    own = {
        settings.kubelet_port: "kubelet", 10248: "kubelet's health", 10256: "proxy", 10249: "proxy's metrics",
        10262: "network agent",
    }  # fmt: skip
    if not control_plane:
        return own
    return {
        settings.secure_port: "API server",
        manifests.CLIENT_PORT: "clients of etcd",
        manifests.PEER_PORT: "members of etcd",
        manifests.ETCD_METRICS_PORT: "metrics of etcd",
        manifests.CONTROLLERS_PORT: "controller manager",
        manifests.SCHEDULER_PORT: "scheduler",
        **({manifests.CLOUD_PORT: "cloud controller manager"} if settings.cloud_provider else {}),
        **own,
    }


def _free(address: str, port: int, what: str) -> None:
    for host in (address, "127.0.0.1"):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                fix = f"stop what listens there (`ss -ltnp sport = :{port}`)"
                if error.errno == errno.EADDRNOTAVAIL:
                    fix = "choose an address of this machine with --node-ip"
                raise OperatorError(f"{host}:{port}, for the {what}: {reason(error)}; {fix}") from error


def check_ranges(cluster_cidr: str, service_cidr: str, node_ip: str) -> None:
    """Addresses of pods, Services and the node must not meet, and suffice. Raises OperatorError."""
    named = {ranges.PODS: cluster_cidr, "--service-cidr": service_cidr}
    ranges.check(named)
    ranges.check_address(node_ip, named)
    if ip_network(service_cidr).num_addresses < 16:
        raise OperatorError(f"--service-cidr {service_cidr} is too small: it must have 16 addresses at least")
