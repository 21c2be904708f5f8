"""Making several nodes on this machine: what each is given before its processes start, and waiting for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from kybern.api.errors import APIError
from kybern.api.types import Object
from kybern.client.rest import Client
from kybern.cloud import taints
from kybern.cluster import balancer, cloud, credentials, machines, seed
from kybern.cluster.layout import CONTROL_PLANE, HOME, WORKER, Layout, Settings
from kybern.cluster.pki import Authority
from kybern.cluster.topology import Member, Topology, addresses, layout_of
from kybern.process.clock import monotonic
from kybern.process.daemon import OperatorError

ROLE_LABEL = "node-role.kubernetes.io/control-plane"


def home_settings(topology: Topology, *, secure_port: int, cluster_cidr: str, network_mode: str) -> Settings:
    """What is the same for all nodes, kept by the machine."""
    gateway = topology.gateway
    return Settings(
        "", gateway, secure_port, cluster_cidr=cluster_cidr, role=HOME, server=f"{gateway}:{secure_port}",
        network_mode=network_mode,
    )  # fmt: skip


def node_settings(home: Settings, topology: Topology, member: Member) -> Settings:
    """What one node goes by."""
    only_control = len(topology.control_planes) < len(topology.members)
    return Settings(
        member.name,
        member.ip,
        home.secure_port,
        cluster_cidr=home.cluster_cidr,
        service_cidr=home.service_cidr,
        role=CONTROL_PLANE if member.control_plane else WORKER,
        server=home.endpoint,
        etcd=tuple(addresses(topology.etcd)) if member.control_plane else (),
        group=f"{machines.GROUP}/{member.name}",
        taints=f"{ROLE_LABEL}=:NoSchedule" if member.control_plane and only_control else "",
        network_mode=home.network_mode,
    )


def prepare(layout: Layout, home: Settings, topology: Topology, archives: dict[str, Path], images: Path) -> None:
    """Everything before the first process. Idempotent. Blocking. Raises OperatorError."""
    authority = Authority(layout.pki)
    credentials.kubeconfig(layout, home.endpoint, authority, "admin", credentials.ADMIN)
    credentials.cloud(layout, home, authority)
    balancer.write(layout, topology, home.secure_port)
    cloud.write(layout, home)
    machines.make_bridge(topology)
    machines.make_way_out(topology, home.cluster_cidr)
    seeded = seed.make(images, archives)
    for member in topology.members:
        prepare_node(layout, home, topology, member, seeded, archives)
    machines.route_services(topology, home.service_cidr)


def prepare_node(
    layout: Layout, home: Settings, topology: Topology, member: Member, seeded: Path, archives: dict[str, Path]
) -> None:
    """A node's files and its place on the bridge. Raises OperatorError."""
    own, settings = layout_of(layout, member.name), node_settings(home, topology, member)
    own.make()
    own.write_settings(settings)
    seed.plant(seeded, own, archives)
    credentials.prepare(own, settings, layout)
    machines.make_network(topology, member)


async def wait_for_nodes(client: Client, names: Iterable[str], patience: float, say: Callable[[str], None]) -> None:
    """Until all are Ready and open to pods, which may be a cloud's to say. Raises OperatorError naming the others."""
    nodes, missing = client.resource("v1", "nodes", namespaced=False), dict.fromkeys(names, "it has not registered")
    end = monotonic() + patience
    while missing:
        try:
            for node in (await nodes.list()).items:
                name, ready = node["metadata"]["name"], ready_condition(node)
                if name in missing:
                    missing[name] = ready.get("message", "it has not reported")
                    if ready.get("status") == "True":
                        missing[name] = "the cloud controller manager has not initialised it"
                        if not taints.has(node, taints.UNINITIALIZED):
                            del missing[name]
                            say(name)
        except (APIError, OSError) as error:
            missing = dict.fromkeys(missing, str(error))
        if missing and monotonic() > end:
            name, why = next(iter(missing.items()))
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise OperatorError(f"node {name}{others} did not become Ready ({why}); see its kubelet.log")
        await asyncio.sleep(0.05)


async def label(client: Client, topology: Topology) -> None:
    """Give control planes the label that `kubectl get nodes` shows as their role: a kubelet may not do so itself."""
    nodes = client.resource("v1", "nodes", namespaced=False)
    for member in topology.control_planes:
        await nodes.patch(member.name, {"metadata": {"labels": {ROLE_LABEL: ""}}}, type="merge")


def ready_condition(node: Object) -> Object:
    """The Ready condition; empty before the first report."""
    conditions = node.get("status", {}).get("conditions", [])
    return next((c for c in conditions if c["type"] == "Ready"), {})
