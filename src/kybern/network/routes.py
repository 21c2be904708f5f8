"""What the kernel should know of the other nodes' pods, from the Nodes. Pure.

A peer on the node's own link is reached by a plain route through its address. Any other is reached through a VXLAN
device: the route leads to the first address of the peer's pod range, the neighbour table gives the MAC of the peer's
device for that, and the device's forwarding table says behind which node the MAC is. Nothing is learnt or asked for on
the wire. Source: RFC 7348; the kernel's vxlan.rst; flannel's documentation of its vxlan backend.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Interface, IPv6Interface, ip_address, ip_network
from typing import TypeVar

from kybern.api.types import Object

DEVICE = "kybern.vxlan"
VTEP_MAC = "network.kybern.dev/vtep-mac"
"""The annotation in which a node says the MAC of its VXLAN device; without one it has none."""
MODES = ("auto", "direct", "vxlan")

_OVERHEAD = {4: 50, 6: 70}
"""Bytes of the outer Ethernet, IP, UDP and VXLAN headers, by the outer IP's version."""
_MAC = re.compile(r"[0-9a-f][02468ace](:[0-9a-f]{2}){5}")
"""Of one machine: the lowest bit of the first octet marks those of groups."""
_KINDS = ("InternalIP", "ExternalIP")

_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class Peer:
    """A node as the network sees it: `addresses` best first, `cidrs` its pods' ranges, `mac` of its VXLAN device."""

    name: str
    addresses: tuple[str, ...] = ()
    cidrs: tuple[str, ...] = ()
    mac: str = ""

    def address(self, version: int) -> str:
        """The best one of an IP version; "" if there is none."""
        return next((address for address in self.addresses if ip_address(address).version == version), "")


@dataclass(frozen=True, slots=True)
class Link:
    """The interface towards the other nodes. `addresses` with their prefixes; `mtu` in bytes."""

    name: str
    addresses: tuple[IPv4Interface | IPv6Interface, ...]
    mtu: int = 1500

    def holds(self, address: str) -> bool:
        """Whether an address is of the link's own subnets: reached without a router."""
        return any(ip_address(address) in own.network for own in self.addresses)


@dataclass(frozen=True, slots=True)
class Hop:
    """Where a route leads: a gateway on a device."""

    gateway: str
    device: str


@dataclass(frozen=True, slots=True)
class Tables:
    """Of the kernel's tables what is ours."""

    routes: Mapping[str, Hop] = field(default_factory=dict)
    """By destination, a range."""
    neighbours: Mapping[str, str] = field(default_factory=dict)
    """On the VXLAN device: a gateway's MAC."""
    forwards: Mapping[str, str] = field(default_factory=dict)
    """On the VXLAN device: the address of the node behind a MAC."""

    def __len__(self) -> int:
        return len(self.routes) + len(self.neighbours) + len(self.forwards)


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The VXLAN device: `local` is where its packets come from, `addresses` are its own, with prefixes."""

    local: str
    mac: str
    mtu: int
    vni: int
    port: int
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """`tunnel` is None where no peer needs one. `lacking`: what keeps peers from being reached, a line each."""

    tables: Tables
    tunnel: Tunnel | None
    lacking: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Options:
    """The flags that shape a plan."""

    mode: str = "auto"
    interface: str = ""
    vni: int = 1
    port: int = 8472


def peer_of(node: Object) -> Peer:
    """A Node's part in the network. What it says of itself and is malformed is left out: a node may say anything."""
    spec, status, meta = node.get("spec") or {}, node.get("status") or {}, node["metadata"]
    found = spec.get("podCIDRs") or [cidr for cidr in [spec.get("podCIDR")] if cidr]
    given = status.get("addresses") or []
    named = [entry["address"] for kind in _KINDS for entry in given if entry["type"] == kind]
    addresses = [address for address in named if _is_address(address)]
    cidrs = tuple(str(ip_network(cidr, strict=False)) for cidr in found)
    mac = (meta.get("annotations") or {}).get(VTEP_MAC, "").lower()
    return Peer(meta["name"], tuple(dict.fromkeys(addresses)), cidrs, mac if _MAC.fullmatch(mac) else "")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def mac_of(name: str, vni: int) -> str:
    """The MAC of a node's VXLAN device: the same at every start, so that peers' entries stay true. Locally
    administered (the first octet is 02)."""
    digest = hashlib.sha256(f"{name}/{vni}".encode()).digest()
    return ":".join(f"{octet:02x}" for octet in (2, *digest[:5]))


def choose_link(links: Sequence[Link], own: Peer, interface: str) -> Link:
    """The interface asked for, else the one with the node's address. Raises LookupError, saying what is missing."""
    if interface:
        for link in links:
            if link.name == interface:
                return link
        raise LookupError(f"there is no interface {interface}")
    for address in own.addresses:
        for link in links:
            if any(str(held.ip) == address for held in link.addresses):
                return link
    raise LookupError(f"no interface has an address of node {own.name} ({', '.join(own.addresses)}); use --interface")


def plan(own: Peer, peers: Iterable[Peer], link: Link, options: Options) -> Plan:
    """What `own` needs to reach the pods of `peers`. `own` has an address and a range."""
    made = _Planner(own, link, options)
    for peer in sorted(peers, key=lambda peer: peer.name):
        if peer.name != own.name:
            made.add(peer)
    return made.result()


class _Planner:
    def __init__(self, own: Peer, link: Link, options: Options) -> None:
        self.own, self.link, self.options = own, link, options
        self.routes: dict[str, Hop] = {}
        self.neighbours: dict[str, str] = {}
        self.forwards: dict[str, str] = {}
        self.lacking: list[str] = []
        self.tunnelled = options.mode == "vxlan"
        self.holders = dict.fromkeys(own.cidrs, own.name)
        """Range -> the node that has it."""
        self.outer = ip_address(own.addresses[0]).version
        """The IP version between the nodes."""

    def add(self, peer: Peer) -> None:
        for cidr in peer.cidrs:
            if (holder := self.holders.setdefault(cidr, peer.name)) != peer.name:
                self.lacking.append(f"node {peer.name}: {cidr} is node {holder}'s already")
            elif self._is_direct(peer, cidr):
                self._add_direct(peer, cidr)
            else:
                self._add_tunnelled(peer, cidr)

    def _is_direct(self, peer: Peer, cidr: str) -> bool:
        if self.options.mode != "auto":
            return self.options.mode == "direct"
        address = peer.address(ip_network(cidr).version)
        # A node that has said no address yet is none to build a tunnel for.
        return self.link.holds(address) if address else not peer.addresses

    def _add_direct(self, peer: Peer, cidr: str) -> None:
        version = ip_network(cidr).version
        if address := peer.address(version):
            self.routes[cidr] = Hop(address, self.link.name)
        else:
            self.lacking.append(f"node {peer.name}: no IPv{version} address to reach {cidr} through")

    def _add_tunnelled(self, peer: Peer, cidr: str) -> None:
        self.tunnelled = True
        address = peer.address(self.outer)
        if not address:
            self.lacking.append(f"node {peer.name}: no IPv{self.outer} address to reach {cidr} through")
        elif not peer.mac:
            self.lacking.append(f"node {peer.name}: it has not announced a VXLAN device yet")
        elif self.forwards.get(peer.mac, address) != address:
            self.lacking.append(f"node {peer.name}: it announced the MAC of another node, {peer.mac}")
        else:
            gateway = _first(cidr)
            self.routes[cidr] = Hop(gateway, DEVICE)
            self.neighbours[gateway] = peer.mac
            self.forwards[peer.mac] = address

    def result(self) -> Plan:
        tables = Tables(self.routes, self.neighbours, self.forwards)
        return Plan(tables, self._tunnel() if self.tunnelled else None, tuple(self.lacking))

    def _tunnel(self) -> Tunnel:
        here = [str(held.ip) for held in self.link.addresses if held.version == self.outer]
        # The node's address may be a router's that leads here: packets leave with one this machine has.
        local = next((address for address in self.own.addresses if address in here), here[0] if here else "")
        options = self.options
        return Tunnel(
            local=local or self.own.addresses[0],
            mac=mac_of(self.own.name, options.vni),
            mtu=self.link.mtu - _OVERHEAD[self.outer],
            vni=options.vni,
            port=options.port,
            addresses=tuple(f"{_first(cidr)}/{ip_network(cidr).max_prefixlen}" for cidr in self.own.cidrs),
        )


def _first(cidr: str) -> str:
    return str(ip_network(cidr).network_address)


def diff(have: Tables, want: Tables) -> tuple[Tables, Tables]:
    """What to put (new or other than it is) and what to drop, so that `have` becomes `want`."""
    put = Tables(
        _news(have.routes, want.routes), _news(have.neighbours, want.neighbours), _news(have.forwards, want.forwards)
    )
    drop = Tables(
        _without(have.routes, want.routes),
        _without(have.neighbours, want.neighbours),
        _without(have.forwards, want.forwards),
    )
    return put, drop


def _news(have: Mapping[str, _V], want: Mapping[str, _V]) -> dict[str, _V]:
    return {key: value for key, value in want.items() if have.get(key) != value}


def _without(have: Mapping[str, _V], want: Collection[str]) -> dict[str, _V]:
    return {key: value for key, value in have.items() if key not in want}
