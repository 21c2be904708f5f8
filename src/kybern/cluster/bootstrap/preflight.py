"""What is looked at before `init` or `join` changes anything: each refusal is one line, the machine stays as it was."""

from __future__ import annotations

import errno
import re
import shutil
import socket
from collections.abc import Mapping
from ipaddress import IPv4Network, ip_address, ip_network

from kybern.cluster import doctor
from kybern.cluster.bootstrap import manifests
from kybern.cluster.layout import Layout, Settings
from kybern.process.daemon import OperatorError, reason

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_POD_MASK = 24
"""Each node gets a /24 of the pods' addresses."""


def machine(layout: Layout, settings: Settings, *, control_plane: bool) -> None:
    """Programs, names, earlier clusters, ports. Raises OperatorError."""
    doctor.require(layout, None, running=False)
    if control_plane and not shutil.which("etcd"):
        raise OperatorError("etcd is not installed; run `apt-get install etcd-server` (or `make install`)")
    if not _NAME.fullmatch(settings.node_name) or len(settings.node_name) > 253:
        raise OperatorError(f"{settings.node_name!r} is no name for a node; use small letters, digits, dashes and dots")
    _unused(layout)
    for port, what in ports(settings, control_plane=control_plane).items():
        _free(settings.node_ip, port, what)


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
    own = {settings.kubelet_port: "kubelet", 10256: "proxy"}
    if not control_plane:
        return own
    return {
        settings.secure_port: "API server",
        manifests.CLIENT_PORT: "clients of etcd",
        manifests.PEER_PORT: "members of etcd",
        manifests.CONTROLLERS_PORT: "controller manager",
        manifests.SCHEDULER_PORT: "scheduler",
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


def ranges(cluster_cidr: str, service_cidr: str, node_ip: str) -> None:
    """Addresses of pods, Services and the node must not meet, and suffice. Raises OperatorError."""
    pods, services = ip_network(cluster_cidr), ip_network(service_cidr)
    if not isinstance(pods, IPv4Network) or not isinstance(services, IPv4Network):
        raise OperatorError("--cluster-cidr and --service-cidr must be of IPv4")
    if pods.overlaps(services):
        raise OperatorError(f"--cluster-cidr {pods} and --service-cidr {services} overlap; choose others")
    for flag, network in (("--cluster-cidr", pods), ("--service-cidr", services)):
        if ip_address(node_ip) in network:
            raise OperatorError(f"the node's address {node_ip} is in {flag} {network}; choose another range")
    if pods.prefixlen > _POD_MASK:
        raise OperatorError(f"--cluster-cidr {pods} is too small: each node gets a /{_POD_MASK} of it")
    if services.num_addresses < 16:
        raise OperatorError(f"--service-cidr {services} is too small: it must have 16 addresses at least")
