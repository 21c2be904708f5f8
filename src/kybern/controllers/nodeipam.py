"""Gives every node a part of --cluster-cidr for its pods.

Source: `--allocate-node-cidrs`; Node v1 core, spec.podCIDRs.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from kybern.api.types import Object
from kybern.controllers.controller import Context, Controller
from kybern.controllers.options import Options

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class NodeIPAMController(Controller):
    name = "node-ipam-controller"
    aliases = ("nodeipam",)
    workers = 1
    """One: two workers would give away the same range."""

    @classmethod
    def wanted(cls, options: Options) -> bool:
        return options.allocate_node_cidrs

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.nodes = self.informer("v1", "nodes", namespaced=False)
        self._nodes = self.client.resource("v1", "nodes", namespaced=False)
        self._recorder = context.recorder("cidrAllocator")
        self._given: dict[str, list[str]] = {}
        self._ranges = [ipaddress.ip_network(cidr.strip()) for cidr in self.options.cluster_cidr.split(",")]
        self.watch(self.nodes, lambda node: [node["metadata"]["name"]])

    async def reconcile(self, key: str) -> float | None:
        node = self.nodes.get(key)
        if node is None:
            self._given.pop(key, None)
            return None
        if node["spec"].get("podCIDR"):
            self._given.pop(key, None)
            return None
        chosen = self._given.get(key) or self._choose()
        if chosen is None:
            said = f"Node {key} status is now: CIDRNotAvailable"
            self._recorder.event(_reference(node), "Normal", "CIDRNotAvailable", said)
            return 30.0
        self._given[key] = chosen
        await self._nodes.patch(key, {"spec": {"podCIDR": chosen[0], "podCIDRs": chosen}}, type="strategic")
        return None

    def _choose(self) -> list[str] | None:
        """A free range of each family; None where one has run out."""
        taken = {cidr for given in self._given.values() for cidr in given}
        for node in self.nodes.list():
            taken.update(node["spec"].get("podCIDRs") or [node["spec"].get("podCIDR", "")])
        used = {ipaddress.ip_network(cidr) for cidr in taken if cidr}
        chosen = []
        for whole in self._ranges:
            # Nearly all are parts of the usual size, and found without a comparison to each.
            odd = [one for one in used if one.prefixlen != self._size(whole)]
            parts = (part for part in self._parts(whole) if part not in used)
            free = next((part for part in parts if not any(_overlap(part, one) for one in odd)), None)
            if free is None:
                return None
            chosen.append(str(free))
        return chosen

    def _parts(self, whole: Network) -> Iterator[Network]:
        yield from whole.subnets(new_prefix=self._size(whole))

    def _size(self, whole: Network) -> int:
        size = self.options.node_cidr_mask_size if whole.version == 4 else self.options.node_cidr_mask_size_ipv6
        return max(size, whole.prefixlen)


def _overlap(one: Network, other: Network) -> bool:
    if isinstance(one, ipaddress.IPv4Network) and isinstance(other, ipaddress.IPv4Network):
        return one.overlaps(other)
    if isinstance(one, ipaddress.IPv6Network) and isinstance(other, ipaddress.IPv6Network):
        return one.overlaps(other)
    return False


def _reference(node: Object) -> Object:
    name = node["metadata"]["name"]
    return {"kind": "Node", "name": name, "uid": node["metadata"]["uid"], "apiVersion": "v1"}
