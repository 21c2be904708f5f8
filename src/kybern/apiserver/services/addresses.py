"""Cluster addresses: each one given out is an IPAddress object, so that whoever creates it first has it, on whichever
server. The ranges are the ServiceCIDRs that are ready.

Source: KEP-1880 Multiple Service CIDRs.
"""

from __future__ import annotations

from kybern.api.addresses import Address, Network, address, family, network
from kybern.api.cells import at
from kybern.api.errors import AlreadyExists, Conflict, NotFound
from kybern.api.networking.ipaddress import ALLOCATOR, FAMILY, MANAGED_BY
from kybern.api.networking.servicecidr import READY
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver.registry import Lister, Registry
from kybern.apiserver.services import picking
from kybern.apiserver.services.errors import Full, OutOfRange, Taken

GROUP = "networking.k8s.io"
MISMATCH = "the provided network does not match the current range"
TAKEN = "provided IP is already allocated"
_SIZE_LIMIT = 1 << 30
"""Addresses of a range that are given to those who don't ask; IPv6 ranges have more."""


class Addresses:
    """Gives addresses out and takes them back. `start` first."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self.kind, self._range_kind = _kind(registry, "ipaddresses"), _kind(registry, "servicecidrs")
        self.taken: Lister = registry.lister(GROUP, "ipaddresses")
        self.ranges: Lister = registry.lister(GROUP, "servicecidrs")
        self._names: set[str] = set()
        self._known = -1
        self._open: list[Network] = []

    async def start(self) -> None:
        """Return once it is known what there is. Raises StoreUnavailable."""
        await self._registry.started(self.kind)
        await self._registry.started(self._range_kind)
        self.taken.on_change(self._changed)

    def open(self) -> list[Network]:
        """The ranges that addresses are given out of, the smallest first."""
        if self._known != self.ranges.version:
            self._known = self.ranges.version
            found = [one for obj in self.ranges.list() if _is_ready(obj) for one in networks(obj)]
            self._open = sorted(found, key=lambda one: one.num_addresses)
        return self._open

    def counts(self) -> dict[Network, int]:
        """How many addresses of each open range are taken."""
        found = dict.fromkeys(self.open(), 0)
        for name in self._names:
            ip = address(name)
            for one in found:
                if ip is not None and one.version == ip.version and ip in one:
                    found[one] += 1
        return found

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._names.add(new["metadata"]["name"])
        elif old is not None:
            self._names.discard(old["metadata"]["name"])

    def range_of(self, text: str) -> str:
        """The smallest open range around an address; "" if there is none."""
        ip = address(text)
        return next((str(one) for one in self.open() if ip and one.version == ip.version and ip in one), "")

    async def claim(self, text: str, service: Object, *, dry_run: bool = False) -> str:
        """A certain address, canonical. Raises Taken, OutOfRange."""
        found = address(text)
        around = [one for one in self.open() if found is not None and one.version == found.version and found in one]
        if found is None or not around:
            raise OutOfRange(MISMATCH)
        if not any(_usable(found, one) for one in around):
            why = f"the provided IP ({found}) is not in the valid range. The range of valid IPs is {around[0]}"
            raise OutOfRange(why)
        if not (self.taken.get("", str(found)) is None if dry_run else await self._create(str(found), service)):
            raise Taken(TAKEN)
        return str(found)

    async def claim_any(self, wanted: str, service: Object, *, dry_run: bool = False) -> str:
        """A free address of the family wanted. Raises Full."""
        for one in self.open():
            if family(one) != wanted:
                continue
            first, size = one.network_address + 1, size_of(one)

            def is_taken(index: int, first: Address = first) -> bool:
                return self.taken.get("", str(first + index)) is not None

            for index in picking.free(size, picking.reserved_addresses(size), is_taken):
                if dry_run or await self._create(str(first + index), service):
                    return str(first + index)
        raise Full("range is full")

    async def release(self, text: str, service: Object) -> None:
        """Take an address back, if it is the Service's. Raises StoreUnavailable."""
        found = self.taken.get("", text)
        if found is not None and at(found, "spec", "parentRef") == parent(service):
            await self.remove(found)

    async def remove(self, obj: Object) -> None:
        """Delete an IPAddress, unless it has become another."""
        try:
            await self._registry.delete(self.kind, "", obj["metadata"]["name"], uid=obj["metadata"]["uid"])
        except (NotFound, Conflict):
            return

    async def _create(self, name: str, service: Object) -> bool:
        """Whether it could be made, which is whether the address was free."""
        try:
            await self._registry.create(self.kind, ip_address(name, service))
        except AlreadyExists:
            return False
        return True


def _kind(registry: Registry, plural: str) -> Resource:
    found = registry.scheme.resource(GROUP, plural)
    if found is None:
        raise LookupError(f"the scheme has no {plural}")
    return found


def parent(service: Object) -> Object:
    """The parentRef of a Service's addresses."""
    meta = service["metadata"]
    return {"group": "", "resource": "services", "namespace": meta["namespace"], "name": meta["name"]}


def ip_address(name: str, service: Object) -> Object:
    """The IPAddress that says that a Service has an address."""
    kind = "IPv6" if ":" in name else "IPv4"
    return {
        "kind": "IPAddress",
        "apiVersion": f"{GROUP}/v1",
        "metadata": {"name": name, "labels": {FAMILY: kind, MANAGED_BY: ALLOCATOR}},
        "spec": {"parentRef": parent(service)},
    }


def networks(service_cidr: Object) -> list[Network]:
    """The ranges of a ServiceCIDR."""
    found = [network(text) for text in at(service_cidr, "spec", "cidrs") or []]
    return [one for one in found if one is not None]


def _is_ready(service_cidr: Object) -> bool:
    if "deletionTimestamp" in service_cidr["metadata"]:
        return False
    conditions = at(service_cidr, "status", "conditions") or []
    return any(one.get("type") == READY and one.get("status") == "True" for one in conditions)


def size_of(one: Network) -> int:
    """How many addresses may be given out: not the network's own, nor IPv4's broadcast address."""
    return min(one.num_addresses - (2 if one.version == 4 else 1), _SIZE_LIMIT)


def _usable(found: Address, one: Network) -> bool:
    return found != one.network_address and (one.version == 6 or found != one.broadcast_address)
