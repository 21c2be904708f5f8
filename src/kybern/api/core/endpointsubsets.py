"""The canonical form of an Endpoints' subsets: which addresses offer which ports, said once.

Source: API reference, EndpointSubset: the expanded set is the product of addresses and ports.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any, TypeAlias

from kybern.api.types import Object

Key: TypeAlias = tuple[Any, ...]

_PORT_FIELDS = ("name", "port", "protocol", "appProtocol")


def repacked(subsets: list[Object]) -> list[Object]:
    """The same pairs of address and port with those ports together that the same addresses offer, sorted. Of an
    address that is both ready and not, it is not; subsets without ports keep none, those without addresses go."""
    found: dict[Key, Object] = {}
    offered: dict[Key | None, dict[Key, bool]] = defaultdict(dict)
    ports: dict[Key, Object] = {}
    for subset in subsets:
        keys: list[Key | None] = []
        for port in subset.get("ports") or ():
            key = tuple(port.get(field) for field in _PORT_FIELDS)
            ports[key] = port
            keys.append(key)
        for ready, field in ((True, "addresses"), (False, "notReadyAddresses")):
            for address in subset.get(field) or ():
                who = (address.get("ip") or "", (address.get("targetRef") or {}).get("uid") or "")
                found.setdefault(who, address)
                for offer in keys or [None]:
                    offered[offer][who] = ready and offered[offer].get(who, True)
    together: dict[frozenset[tuple[Key, bool]], list[Key]] = defaultdict(list)
    for port_key, addresses in offered.items():
        group = together[frozenset(addresses.items())]
        if port_key is not None:
            group.append(port_key)
    made = [_subset(found, ports, group, keys) for group, keys in together.items()]
    return [subset for _, subset in sorted(made, key=lambda one: one[0])]


def _subset(
    found: dict[Key, Object], ports: dict[Key, Object], group: frozenset[tuple[Key, bool]], keys: list[Key]
) -> tuple[Key, Object]:
    """A subset, and what to sort it by."""
    subset: Object = {}
    order = sorted(group)
    for ready, field in ((True, "addresses"), (False, "notReadyAddresses")):
        if listed := [found[who] for who, is_ready in order if is_ready is ready]:
            subset[field] = listed
    sorted_keys = sorted(keys, key=_order)
    if sorted_keys:
        subset["ports"] = [ports[key] for key in sorted_keys]
    return (tuple(map(_order, sorted_keys)), tuple(order)), subset


def _order(port: Key) -> Key:
    """By name, then by number."""
    name, number, *rest = port
    return (name or "", number, *(part or "" for part in rest))
