"""The cloud controller manager over the `local` cloud: what it is told, and what it leaves to `down`."""

from __future__ import annotations

import subprocess

import yaml

from kybern.api.types import Object
from kybern.cluster.layout import HOME, Layout, Settings, write_private
from kybern.cluster.topology import BRIDGE

INTERFACE = "kybern-lb"
"""Has the load balancers' addresses."""


def write(layout: Layout, settings: Settings) -> None:
    """The provider's configuration: the nodes on the bridge, or this machine as the one node."""
    if settings.role == HOME:
        machines: Object = {"machines": str(layout.root / "nodes.json"), "bridge": BRIDGE}
    else:
        machines = {"machine": {"name": settings.node_name, "ip": settings.node_ip}}
    directory = layout.root / "cloud"
    balancers = {"subnet": settings.load_balancer_subnet, "interface": INTERFACE, "directory": str(directory)}
    write_private(directory / "config.yaml", yaml.safe_dump({**machines, "loadBalancers": balancers}).encode())


def flags(layout: Layout, settings: Settings) -> list[str]:
    """The manager's, but for credentials. It is the only one: whatever the number of control planes, there is one
    machine."""
    routes = ["--allocate-node-cidrs=true", f"--cluster-cidr={settings.cluster_cidr}"] if settings.role == HOME else []
    config = layout.root / "cloud" / "config.yaml"
    return ["--cloud-provider=local", f"--cloud-config={config}", "--leader-elect=false", *routes]


def remove() -> None:
    """The addresses, with the interface that has them; routes went with the bridge."""
    subprocess.run(["ip", "link", "delete", INTERFACE], capture_output=True, check=False)
