"""Several nodes on one machine: which there are, where each keeps its things, and how they are wired.

Each node is a network, mount and UTS namespace on a bridge, with a data directory of its own below `nodes/`; the
machine itself has the bridge's first address, where a load balancer stands before the API servers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from ipaddress import ip_network
from pathlib import Path

from kybern.cluster.layout import Layout, write_json
from kybern.process.daemon import OperatorError

BRIDGE = "kybern-br"
_FIRST_HOST = 11
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class Member:
    """One node. `stopped`: switched off by `kybern node stop`."""

    name: str
    ip: str
    control_plane: bool = False
    stopped: bool = False


@dataclass(frozen=True)
class Topology:
    """All nodes, and the bridge's network."""

    members: tuple[Member, ...]
    subnet: str = "10.89.0.0/24"

    @classmethod
    def planned(cls, nodes: int, control_planes: int, subnet: str) -> Topology:
        """`nodes` in all, the first `control_planes` of which run the control plane. Raises OperatorError."""
        if control_planes not in (1, 3, 5, 7):
            raise OperatorError(f"{control_planes} control planes can't agree; choose 1, 3 or 5")
        if not control_planes <= nodes <= 200:
            raise OperatorError(f"--nodes {nodes} must be at least --control-planes {control_planes} and at most 200")
        topology = cls((), subnet)
        for number in range(nodes):
            topology = topology.with_new(f"node-{number + 1}", control_plane=number < control_planes)
        return topology

    @classmethod
    def read(cls, layout: Layout) -> Topology | None:
        """What `up` decided; None where the machine itself is the one node. Raises OperatorError."""
        path = layout.root / "nodes.json"
        if not path.exists():
            return None
        try:
            found = json.loads(path.read_text())
            return cls(tuple(Member(**member) for member in found["members"]), found["subnet"])
        except (ValueError, TypeError, KeyError) as error:
            raise OperatorError(f"{path} is damaged ({error}); `kybern down` clears this cluster away") from error

    def write(self, layout: Layout) -> None:
        write_json(layout.root / "nodes.json", asdict(self))

    def with_new(self, name: str, *, control_plane: bool = False) -> Topology:
        """One node more, at the first free address. Raises OperatorError."""
        if not _NAME.fullmatch(name):
            raise OperatorError(f"{name!r} is no name for a node; use small letters, digits and dashes")
        if any(member.name == name for member in self.members):
            raise OperatorError(f"there is a node {name} already; `kybern node ls` shows all")
        taken = {member.ip for member in self.members}
        hosts = list(ip_network(self.subnet).hosts())[_FIRST_HOST - 1 :]
        free = next((str(host) for host in hosts if str(host) not in taken), None)
        if free is None:
            raise OperatorError(f"no address is left in {self.subnet} for another node")
        return replace(self, members=(*self.members, Member(name, free, control_plane)))

    def without(self, name: str) -> Topology:
        return replace(self, members=tuple(member for member in self.members if member.name != name))

    def with_stopped(self, name: str, stopped: bool) -> Topology:
        changed = (replace(m, stopped=stopped) if m.name == name else m for m in self.members)
        return replace(self, members=tuple(changed))

    def member(self, name: str) -> Member:
        """Raises OperatorError."""
        for found in self.members:
            if found.name == name:
                return found
        raise OperatorError(f"there is no node {name}; `kybern node ls` shows all")

    @property
    def gateway(self) -> str:
        """The machine's own address on the bridge."""
        return str(next(ip_network(self.subnet).hosts()))

    @property
    def control_planes(self) -> list[Member]:
        return [member for member in self.members if member.control_plane]

    @property
    def etcd(self) -> list[Member]:
        """The members of etcd; a single control plane needs none and keeps SQLite."""
        return self.control_planes if len(self.control_planes) > 1 else []


def layout_of(layout: Layout, name: str) -> Layout:
    """Where a node keeps its things."""
    return Layout(layout.root / "nodes" / name)


def network_namespace(name: str) -> str:
    """The name under which `ip netns` knows a node's network namespace."""
    return f"kybern-{name}"


def addresses(members: Iterable[Member]) -> list[str]:
    return [member.ip for member in members]


def namespace_path(name: str) -> Path:
    return Path("/run/netns", network_namespace(name))
