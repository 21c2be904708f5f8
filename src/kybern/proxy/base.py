"""What a backend is given: ports of Services and the endpoints behind them. Pure; also the contract of a backend.

Source: the Service and EndpointSlice API references; KEP-2086 (internalTrafficPolicy), KEP-1669 (terminating
endpoints). Topology hints are not followed: any ready endpoint serves any client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from kybern.process.daemon import OperatorError


class BackendError(Exception):
    """The packet filter refused. What was to be done is remembered; syncing again tries all of it."""


class BackendMissing(OperatorError):
    """The packet filter can't be used on this machine."""


class Endpoint(NamedTuple):
    """An address behind a Service's port; `local` says it is on this node."""

    address: str
    port: int
    ready: bool = True
    serving: bool = True
    terminating: bool = False
    local: bool = False


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service and all the ways to reach it."""

    namespace: str
    name: str
    port_name: str
    protocol: str
    """tcp, udp or sctp."""
    cluster_ip: str
    port: int
    node_port: int = 0
    external_ips: tuple[str, ...] = ()
    load_balancer_ips: tuple[str, ...] = ()
    source_ranges: tuple[str, ...] = ()
    """Who may use the load balancer's addresses, as CIDRs; empty: everybody."""
    affinity_seconds: int = 0
    """How long a client keeps its endpoint; 0: it doesn't."""
    internal_local: bool = False
    external_local: bool = False

    @property
    def external(self) -> bool:
        """Whether anything but the cluster IP leads to it."""
        return bool(self.node_port or self.external_ips or self.load_balancer_ips)

    @property
    def uses_cluster(self) -> bool:
        """Whether endpoints of the whole cluster can be needed. Traffic of this node's pods to external addresses
        is not subject to externalTrafficPolicy."""
        return not self.internal_local or self.external

    @property
    def uses_local(self) -> bool:
        return self.internal_local or (self.external_local and self.external)


class Routed(NamedTuple):
    """A port and everything known to be behind it, ready or not, in a fixed order."""

    port: ServicePort
    endpoints: tuple[Endpoint, ...]


class Choice(NamedTuple):
    """The endpoints to use under each policy; `reachable` is all of them; `anywhere`: some node has a usable one."""

    cluster: tuple[Endpoint, ...]
    local: tuple[Endpoint, ...]
    reachable: tuple[Endpoint, ...]
    anywhere: bool


def choose(routed: Routed) -> Choice:
    """Ready endpoints; where there are none, those that terminate but still serve."""
    port, endpoints = routed
    cluster = _usable(endpoints) if port.uses_cluster else ()
    local = _usable(tuple(e for e in endpoints if e.local)) if port.uses_local else ()
    reachable = tuple(dict.fromkeys((*cluster, *local)))
    return Choice(cluster, local, reachable, bool(cluster) or bool(_usable(endpoints)))


def _usable(endpoints: tuple[Endpoint, ...]) -> tuple[Endpoint, ...]:
    ready = tuple(e for e in endpoints if e.ready)
    return ready or tuple(e for e in endpoints if e.serving and e.terminating)


ServiceName = tuple[str, str]
"""(namespace, name)."""


class Change(NamedTuple):
    """The ports of a Service as they were and as they are; none: it was, or is, not there."""

    before: tuple[Routed, ...]
    now: tuple[Routed, ...]


Changed = Mapping[ServiceName, Change]


class Backend(Protocol):
    """Makes the kernel do what the model says."""

    async def check(self) -> None:
        """Raises BackendMissing, saying in a line what this machine lacks."""

    async def sync(self, changed: Changed) -> int:
        """Apply; all of it is in force on return. Gives how many pieces of the filter were touched. The first call,
        and any after a failure, replaces everything. Raises BackendError."""

    async def verify(self) -> bool:
        """Whether what was applied is still there; if not, the next sync replaces everything."""

    def set_node_addresses(self, addresses: tuple[str, ...]) -> None:
        """The addresses of this node at which node ports answer, in force after the next sync."""

    async def cleanup(self) -> None:
        """Remove everything this backend ever made; nothing there, or no way to make it, is fine. Raises
        BackendError."""
