"""The ranges of addresses that a cluster is made with: of pods, Services, nodes, load balancers. They must not meet."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Network, ip_address, ip_network
from itertools import combinations

from kybern.process.daemon import OperatorError

PODS = "--cluster-cidr"
_POD_MASK = 24
"""Each node gets a /24 of the pods' addresses."""


def check(ranges: Mapping[str, str], *, nodes: int = 1) -> None:
    """`ranges` by the flags that give them, PODS among them. Raises OperatorError where two have addresses in common,
    or the pods' is too small for so many nodes."""
    networks = {name: ip_network(text) for name, text in ranges.items()}
    for name, network in networks.items():
        if not isinstance(network, IPv4Network):
            raise OperatorError(f"{name} {network} must be of IPv4")
    for (name, network), (other, another) in combinations(networks.items(), 2):
        if network.overlaps(another):
            raise OperatorError(f"{name} {network} and {other} {another} overlap; choose others")
    pods = networks[PODS]
    if pods.prefixlen > _POD_MASK:
        raise OperatorError(f"{PODS} {pods} is too small: each node gets a /{_POD_MASK} of it")
    if (room := 2 ** (_POD_MASK - pods.prefixlen)) < nodes:
        raise OperatorError(f"{PODS} {pods} is too small: it has a /{_POD_MASK} for {room} of {nodes} nodes")


def check_address(address: str, ranges: Mapping[str, str]) -> None:
    """Raises OperatorError where the node's own address is in one of `ranges`."""
    for name, network in ranges.items():
        if ip_address(address) in ip_network(network):
            raise OperatorError(f"the node's address {address} is in {name} {network}; choose another range")
