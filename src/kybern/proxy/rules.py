"""Services to rules: what table `ip kube-proxy` holds for each port of a Service. Pure.

A packet is looked up once, in a verdict map by address, protocol and port, however many Services there are:

    nat-prerouting, nat-output -> services -> @service-ips    -> service-... or local-... -> endpoint-... -> dnat
                                           -> @service-nodeports -> external-... -> service-... or local-...

Who has no endpoints is in `no-endpoint-services` and `no-endpoint-nodeports` instead, looked up after nat. Names,
chains and their order are KEP-3866's, so tools and habits made for upstream's table apply.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Network, collapse_addresses

from kybern.proxy.base import Choice, Endpoint, Routed, ServicePort, choose
from kybern.proxy.table import Piece, Table

TABLE = "kube-proxy"
_MARK = "0x4000"
_ADDRESS_KEY = "ipv4_addr . inet_proto . inet_service"
_LONGEST_NAME = 240
_MASQUERADE = "jump mark-for-masquerade"
_REJECT = "goto reject-chain"


@dataclass(frozen=True, slots=True)
class Options:
    """What holds for all Services. Without `cluster_cidrs` nobody can say which traffic comes from a pod."""

    cluster_cidrs: tuple[str, ...] = ()
    masquerade_all: bool = False
    nodeports_everywhere: bool = False
    """Node ports answer at every local address but loopback, not only at those of the set `nodeport-ips`."""

    @property
    def pods(self) -> str:
        cidrs = ", ".join(self.cluster_cidrs)
        return cidrs if len(self.cluster_cidrs) < 2 else f"{{ {cidrs} }}"


_LEFT_OVER = ("ct state new jump endpoints-check", "ct state new jump cluster-ips-check")
_HOOKS = (
    # chain, type, hook, priority, rules; the priorities are those named dstnat (-100), filter (0) and srcnat (100)
    ("filter-prerouting-pre-dnat", "filter", "prerouting", -110, ("ct state new jump firewall-check",)),
    ("filter-output-pre-dnat", "filter", "output", -110, ("ct state new jump firewall-check",)),
    ("nat-prerouting", "nat", "prerouting", -100, ("jump services",)),
    ("nat-output", "nat", "output", -100, ("jump services",)),
    ("filter-input", "filter", "input", 0, ("ct state new jump endpoints-check", "ct state new jump nodeports-check")),
    ("filter-forward", "filter", "forward", 0, _LEFT_OVER),
    ("filter-output", "filter", "output", 0, _LEFT_OVER),
    ("nat-postrouting", "nat", "postrouting", 100, ("jump masquerading",)),
)  # fmt: skip


def new_table(options: Options) -> Table:
    """The table with what it always holds, and no Service."""
    at = f"ip {TABLE}"
    maps = {
        "service-ips": _ADDRESS_KEY,
        "service-nodeports": "inet_proto . inet_service",
        "no-endpoint-services": _ADDRESS_KEY,
        "no-endpoint-nodeports": "inet_proto . inet_service",
        "firewall-ips": _ADDRESS_KEY,
    }
    node = "fib daddr type local ip daddr != 127.0.0.0/8" if options.nodeports_everywhere else "ip daddr @nodeport-ips"
    by_address, by_node_port = "ip daddr . meta l4proto . th dport vmap", f"{node} meta l4proto . th dport vmap"
    chains = {
        "services": (f"{by_address} @service-ips", f"{by_node_port} @service-nodeports"),
        "endpoints-check": (f"{by_address} @no-endpoint-services",),
        "nodeports-check": (f"{by_node_port} @no-endpoint-nodeports",),
        "cluster-ips-check": ("ip daddr @cluster-ips reject",),
        "firewall-check": (f"{by_address} @firewall-ips",),
        "reject-chain": ("reject",),
        "mark-for-masquerade": (f"meta mark set meta mark or {_MARK}",),
        "masquerading": (
            f"meta mark and {_MARK} == 0 return",
            # Unmarked, so that a packet that is wrapped and sent again is not masqueraded twice.
            f"meta mark set meta mark xor {_MARK}",
            "masquerade fully-random",
        ),
    }
    hooks = {name: rules for name, _, _, _, rules in _HOOKS}
    return Table(
        TABLE,
        [
            *(f"add map {at} {name} {{ type {key} : verdict; }}" for name, key in maps.items()),
            *(f"add set {at} {name} {{ type ipv4_addr; }}" for name in ("cluster-ips", "nodeport-ips")),
            *(f"add chain {at} {name}" for name in chains),
            *(f"add chain {at} {name} {{ type {t} hook {h} priority {p}; }}" for name, t, h, p, _ in _HOOKS),
            *(f"add rule {at} {name} {rule}" for name, rules in (chains | hooks).items() for rule in rules),
        ],
    )


def node_piece(addresses: tuple[str, ...]) -> Piece:
    """Where node ports answer. Loopback can't: the kernel drops what leaves with such an address."""
    return Piece(elements={("nodeport-ips", a): "" for a in addresses if not a.startswith("127.")})


def service_piece(routed: tuple[Routed, ...], options: Options) -> Piece:
    """Everything in the table that belongs to one Service."""
    whole = Piece()
    for each in routed:
        piece = _port_piece(each, options)
        whole.chains.update(piece.chains)
        whole.sets.update(piece.sets)
        whole.elements.update(piece.elements)
    return whole


@lru_cache(65536)
def _named(text: str) -> str:
    """Unique though cut, and easy to tell from its neighbours."""
    digest = base64.b32encode(hashlib.sha256(text.encode()).digest())[:8].decode()
    name = f"{digest}-{text}"
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."


def _port_name(port: ServicePort) -> str:
    return f"{port.namespace}/{port.name}/{port.protocol}/{port.port_name}"


def _endpoint_name(port: ServicePort, endpoint: Endpoint) -> str:
    return _named(f"{_port_name(port)}__{endpoint.address}/{endpoint.port}")


def _port_piece(routed: Routed, options: Options) -> Piece:
    port, choice = routed.port, choose(routed)
    piece = Piece()
    name = _named(_port_name(port))
    internal = f"{'local' if port.internal_local else 'service'}-{name}"
    has_internal = bool(choice.local) if port.internal_local else choice.anywhere
    has_external = bool(choice.local) if port.external_local else choice.anywhere
    if choice.cluster and port.uses_cluster:
        piece.chains[f"service-{name}"] = _balance(port, choice.cluster)
    if choice.local and port.uses_local:
        piece.chains[f"local-{name}"] = _balance(port, choice.local)
    if has_internal:
        piece.chains[internal] = (*_internal_rules(port, options), *piece.chains[internal])
    if choice.anywhere and port.external:
        piece.chains[f"external-{name}"] = _external_rules(port, name, has_external, options)
    for endpoint in choice.reachable:
        _add_endpoint(piece, port, endpoint)
    _add_elements(piece, port, choice, internal if has_internal else "", f"external-{name}", has_external)
    if port.source_ranges and port.load_balancer_ips:
        allowed = ", ".join(map(str, collapse_addresses(IPv4Network(r, strict=False) for r in port.source_ranges)))
        piece.chains[f"firewall-{name}"] = (f"ip saddr != {{ {allowed} }} drop",)
        for address in port.load_balancer_ips:
            piece.elements["firewall-ips", _key(address, port)] = f"goto firewall-{name}"
    return piece


def _key(address: str, port: ServicePort) -> str:
    return f"{address} . {port.protocol} . {port.port}"


def _internal_rules(port: ServicePort, options: Options) -> tuple[str, ...]:
    """Who is no pod and talks to the cluster IP could be answered past this node: its source is replaced."""
    to_it = f"ip daddr {port.cluster_ip} {port.protocol} dport {port.port}"
    if options.masquerade_all:
        return (f"{to_it} {_MASQUERADE}",)
    if options.cluster_cidrs:
        return (f"{to_it} ip saddr != {options.pods} {_MASQUERADE}",)
    return ()


def _external_rules(port: ServicePort, name: str, has_endpoints: bool, options: Options) -> tuple[str, ...]:
    if not port.external_local:
        # The endpoint may be on another node, whose answer has to come back through this one.
        return (_MASQUERADE, f"goto service-{name}")
    rules = []
    if options.cluster_cidrs:
        # As if it had gone out to a load balancer and come back: policy is for traffic from outside.
        rules.append(f"ip saddr {options.pods} goto service-{name}")
    rules += [f"fib saddr type local {_MASQUERADE}", f"fib saddr type local goto service-{name}"]
    if has_endpoints:
        rules.append(f"goto local-{name}")
    return tuple(rules)


def _balance(port: ServicePort, endpoints: tuple[Endpoint, ...]) -> tuple[str, ...]:
    """Known clients first, then one of all at random."""
    names = [_endpoint_name(port, endpoint) for endpoint in endpoints]
    sticky = [f"ip saddr @affinity-{n} goto endpoint-{n}" for n in names] if port.affinity_seconds else []
    choices = ", ".join(f"{i} : goto endpoint-{n}" for i, n in enumerate(names))
    return (*sticky, f"numgen random mod {len(names)} vmap {{ {choices} }}")


def _add_endpoint(piece: Piece, port: ServicePort, endpoint: Endpoint) -> None:
    name = _endpoint_name(port, endpoint)
    # A pod that reached itself would answer itself directly, past the nat, if the source stayed its own.
    rules = [f"ip saddr {endpoint.address} {_MASQUERADE}"]
    if port.affinity_seconds:
        piece.sets[f"affinity-{name}"] = "{ type ipv4_addr; flags dynamic, timeout; }"
        # The time is said here and not in the set, which could not be changed while in use.
        rules.append(f"update @affinity-{name} {{ ip saddr timeout {port.affinity_seconds}s }}")
    rules.append(f"meta l4proto {port.protocol} dnat to {endpoint.address}:{endpoint.port}")
    piece.chains[f"endpoint-{name}"] = tuple(rules)


def _add_elements(
    piece: Piece, port: ServicePort, choice: Choice, internal: str, external: str, has_external: bool
) -> None:
    """Where each address leads. With endpoints elsewhere but none that policy allows, the packet is dropped: the
    client may be told by a health check to go to another node, and must not be told that there is no Service."""
    refusal = "drop" if choice.anywhere else _REJECT
    elements, key = piece.elements, _key(port.cluster_ip, port)
    elements["cluster-ips", port.cluster_ip] = ""
    if internal:
        elements["service-ips", key] = f"goto {internal}"
    else:
        elements["no-endpoint-services", key] = refusal
    for address in (*port.external_ips, *port.load_balancer_ips):
        if choice.anywhere:
            elements["service-ips", _key(address, port)] = f"goto {external}"
        if not has_external:
            elements["no-endpoint-services", _key(address, port)] = refusal
    if port.node_port:
        key = f"{port.protocol} . {port.node_port}"
        if choice.anywhere:
            elements["service-nodeports", key] = f"goto {external}"
        if not has_external:
            elements["no-endpoint-nodeports", key] = refusal
