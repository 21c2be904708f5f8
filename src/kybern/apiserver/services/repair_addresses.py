"""Compares Services with the IPAddress objects of their cluster addresses, one at a time: missing ones are made, those
that nobody uses go, and what can't be mended is told.
"""

from __future__ import annotations

import logging

from kybern.api.addresses import address, family
from kybern.api.cells import at
from kybern.api.errors import AlreadyExists, NotFound
from kybern.api.networking.ipaddress import ALLOCATOR, FAMILY, MANAGED_BY
from kybern.api.resource import Resource
from kybern.api.types import Object
from kybern.apiserver.events import Recorder
from kybern.apiserver.registry import Lister, Registry
from kybern.apiserver.services.addresses import Addresses, ip_address, networks, parent
from kybern.apiserver.services.allocator import addresses_of
from kybern.apiserver.services.metrics import ServiceMetrics
from kybern.process.clock import clock, parse_time

log = logging.getLogger(__name__)

GRACE_SECONDS = 60.0
"""How long an address may be without its Service: it is taken before the Service is stored."""

_TYPES = {
    "ClusterIPNotValid": "invalid",
    "ClusterIPOutOfRange": "outOfRange",
    "ClusterIPNotAllocated": "repair",
    "ClusterIPAlreadyAllocated": "duplicate",
    "IPAddressNotAllocated": "leak",
    "IPAddressWrongReference": "leak",
}


class AddressRepair:
    """Raises APIErrors and StoreErrors of what it writes; the caller tries again."""

    def __init__(
        self, registry: Registry, services: Resource, addresses: Addresses, recorder: Recorder, metrics: ServiceMetrics
    ) -> None:
        self._registry, self._kind, self._addresses, self._recorder = registry, services, addresses, recorder
        self._metrics = metrics
        self._services: Lister = registry.lister("", "services")

    async def service(self, namespace: str, name: str) -> None:
        """See to the addresses of a Service."""
        service = self._services.get(namespace, name)
        for text in addresses_of(service) if service is not None else ():
            await self._check(service, text)  # type: ignore[arg-type]

    async def address(self, name: str) -> float | None:
        """See to an IPAddress that this server's kind has made. Gives the seconds after which to look again."""
        found = self._addresses.taken.get("", name)
        if found is None or (found["metadata"].get("labels") or {}).get(MANAGED_BY) != ALLOCATOR:
            return None
        reference = at(found, "spec", "parentRef") or {}
        if not _is_service(reference):
            shown = " ".join(reference.get(key) or "" for key in ("group", "resource", "namespace", "name"))
            why = f"appears to have been modified, not referencing a Service &{{{shown}}}: cleaning up"
            await self._clean(found, "IPAddressNotAllocated", f"IPAddress {name} {why}")
            return None
        where = (reference.get("namespace") or "", reference.get("name") or "")
        service = self._services.get(*where) or await self._fresh(self._kind, *where)
        said = f"IPAddress: {name} for Service {where[0]}/{where[1]}"
        if service is None:
            age = clock.time() - parse_time(found["metadata"]["creationTimestamp"])
            if age <= GRACE_SECONDS:
                return GRACE_SECONDS - age + 1
            await self._clean(found, "IPAddressNotAllocated", f"{said} appears to have leaked: cleaning up")
        elif name not in addresses_of(service):
            age = clock.time() - parse_time(found["metadata"]["creationTimestamp"])
            if age <= GRACE_SECONDS:
                return GRACE_SECONDS - age + 1
            await self._clean(found, "IPAddressWrongReference", f"{said} has a wrong reference; cleaning up")
        return None

    async def _check(self, service: Object, text: str) -> None:
        found = address(text)
        if found is None:
            why = f"Cluster IP {text} is not a valid IP; please recreate Service"
            await self._tell(service, "ClusterIPNotValid", why, "ClusterIPValidation")
            return
        shown = f"[{family(found)}]: {found}"
        ranges = [one for obj in self._addresses.ranges.list() for one in networks(obj)]
        if not any(one.version == found.version and found in one for one in ranges):
            why = f"Cluster IP {shown} is not within any configured Service CIDR; please recreate service"
            await self._tell(service, "ClusterIPOutOfRange", why)
            return
        taken = self._addresses.taken.get("", str(found)) or await self._fresh(self._addresses.kind, "", str(found))
        if taken is None:
            await self._make(service, str(found), shown)
        elif (reference := at(taken, "spec", "parentRef")) != parent(service):
            await self._other(service, taken, reference or {}, shown)
        elif not _has_labels(taken):
            await self._recreate(taken, service)

    async def _make(self, service: Object, name: str, shown: str) -> None:
        meta = service["metadata"]
        now = await self._fresh(self._kind, meta["namespace"], meta["name"])
        if now is None or name not in addresses_of(now):
            return
        await self._tell(service, "ClusterIPNotAllocated", f"Cluster IP {shown} is not allocated; repairing")
        try:
            await self._registry.create(self._addresses.kind, ip_address(name, service))
        except AlreadyExists:
            log.debug("another server has repaired %s", name)

    async def _other(self, service: Object, taken: Object, reference: Object, shown: str) -> None:
        """An address of the Service's that is noted down as someone else's."""
        meta, holder = service["metadata"], None
        if _is_service(reference):
            holder = self._services.get(reference.get("namespace") or "", reference.get("name") or "")
        if holder is None:
            said = f"the ClusterIP {shown} for Service {meta['namespace']}/{meta['name']} has a wrong reference"
            await self._tell(service, "ClusterIPNotAllocated", f"{said}; repairing")
            await self._recreate(taken, service)
        elif taken["metadata"]["name"] in addresses_of(holder):
            said = shown.replace("]: ", "]:")
            why = f"Cluster IP {said} was assigned to multiple services; please recreate service"
            await self._tell(service, "ClusterIPAlreadyAllocated", why)

    async def _recreate(self, taken: Object, service: Object) -> None:
        await self._addresses.remove(taken)
        try:
            await self._registry.create(self._addresses.kind, ip_address(taken["metadata"]["name"], service))
        except AlreadyExists:
            log.debug("another server has repaired %s", taken["metadata"]["name"])

    async def _clean(self, found: Object, reason: str, why: str) -> None:
        await self._tell(found, reason, why, "IPAddressAllocation")
        await self._addresses.remove(found)

    async def _tell(self, about: Object, reason: str, message: str, action: str = "ClusterIPAllocation") -> None:
        log.warning("%s", message)
        self._metrics.wrong_addresses.labels(_TYPES[reason]).inc()
        await self._recorder.warn(about, reason, message, action)

    async def _fresh(self, kind: Resource, namespace: str, name: str) -> Object | None:
        """What is stored now: the lister may not have heard of it yet."""
        try:
            return await self._registry.get(kind, namespace, name)
        except NotFound:
            return None


def _is_service(reference: Object) -> bool:
    return not reference.get("group") and reference.get("resource") == "services"


def _has_labels(taken: Object) -> bool:
    labels = taken["metadata"].get("labels") or {}
    kind = "IPv6" if ":" in taken["metadata"]["name"] else "IPv4"
    return labels.get(FAMILY) == kind and labels.get(MANAGED_BY) == ALLOCATOR
