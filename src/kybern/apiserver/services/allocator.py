"""Gives Services their addresses and node ports, around the write that stores them (hooks.py).

Taken before the write; what the old Service had and the new one hasn't is given back after it, what was taken is given
back if the write is refused. If nobody knows whether it was stored, repair.py finds out.
Source: Kubernetes documentation, "Service ClusterIP allocation".
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from kybern.api.core.service import needs_cluster_ip, needs_health_check_port, needs_node_port
from kybern.api.errors import APIError, InternalError, Invalid
from kybern.api.field import Errors
from kybern.api.types import Object, key_of
from kybern.apiserver.services import families
from kybern.apiserver.services.addresses import Addresses
from kybern.apiserver.services.errors import Full, OutOfRange, Taken
from kybern.apiserver.services.families import HEADLESS
from kybern.apiserver.services.metrics import ServiceMetrics
from kybern.apiserver.services.nodeports import NodePorts
from kybern.store.base import StoreError

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Claim:
    """What a write has taken, and what it gives up."""

    addresses: Addresses
    ports: NodePorts
    service: Object
    taken_addresses: list[str] = field(default_factory=list)
    taken_ports: list[int] = field(default_factory=list)
    left_addresses: set[str] = field(default_factory=set)
    left_ports: set[int] = field(default_factory=set)

    async def keep(self) -> None:
        """The write is stored."""
        await self._release(self.left_addresses, self.left_ports)

    async def undo(self) -> None:
        """The write came to nothing."""
        await self._release(self.taken_addresses, self.taken_ports)

    async def _release(self, addresses: Collection[str], ports: Collection[int]) -> None:
        try:
            for address in addresses:
                await self.addresses.release(address, self.service)
            await self.ports.release(ports)
        except (APIError, StoreError) as error:
            log.info("service %s: what it had is freed later: %s", key_of(self.service), error)


class ServiceAllocator:
    """The registry's hooks for Services. `configured` are the cluster's IP families, the default one first."""

    def __init__(
        self, addresses: Addresses, ports: NodePorts, configured: Sequence[str], metrics: ServiceMetrics
    ) -> None:
        self.addresses, self.ports, self._metrics = addresses, ports, metrics
        self._configured = configured

    async def before_create(self, obj: Object, dry_run: bool) -> Claim:
        """Fill in addresses and ports. Raises Invalid; InternalError when a range is exhausted."""
        return await self._claim(obj, {}, dry_run)

    async def before_update(self, obj: Object, old: Object, dry_run: bool) -> Claim:
        """The same for what an update newly asks for."""
        return await self._claim(obj, old, dry_run)

    async def after_delete(self, obj: Object) -> None:
        """Take back what a Service had."""
        claim = Claim(self.addresses, self.ports, obj, [], [], set(addresses_of(obj)), set(ports_of(obj)))
        await claim.keep()

    async def _claim(self, obj: Object, old: Object, dry_run: bool) -> Claim:
        claim, before = Claim(self.addresses, self.ports, obj), old.get("spec") or {}
        try:
            if needs_cluster_ip(obj["spec"]) and not families.is_settled(obj["spec"], before):
                errors = Errors()
                families.settle(obj["spec"], before, self._configured, errors)
                if errors:
                    raise Invalid.of("Service", "", obj["metadata"]["name"], errors)
                await self._take_addresses(claim, set(addresses_of(old)), dry_run)
            await self._take_ports(claim, set(ports_of(old)), dry_run)
        except (APIError, StoreError):
            await claim.undo()
            raise
        if not dry_run:
            claim.left_addresses = set(addresses_of(old)) - set(addresses_of(obj))
            claim.left_ports = set(ports_of(old)) - set(ports_of(obj))
        return claim

    async def _take_addresses(self, claim: Claim, held: set[str], dry_run: bool) -> None:
        spec = claim.service["spec"]
        if spec.get("clusterIP") == HEADLESS:
            spec["clusterIPs"] = [HEADLESS]
            return
        given, found = list(spec.get("clusterIPs") or ()), []
        for index, family in enumerate(spec["ipFamilies"]):
            asked = given[index] if index < len(given) else ""
            address = asked if asked and asked in held else await self._take_address(claim, asked, family, dry_run)
            found.append(address)
            if address not in held and not dry_run:
                claim.taken_addresses.append(address)
        spec["clusterIP"], spec["clusterIPs"] = found[0], found

    async def _take_address(self, claim: Claim, asked: str, family: str, dry_run: bool) -> str:
        service, scope = claim.service, "static" if asked else "dynamic"
        try:
            if asked:
                await self.addresses.claim(asked, service, dry_run=dry_run)
            given = asked or await self.addresses.claim_any(family, service, dry_run=dry_run)
            self._metrics.addresses.labels(self.addresses.range_of(given), scope).inc()
            return given
        except Full as error:
            self._metrics.address_errors.labels("", scope).inc()
            raise _internal(f"failed to allocate a serviceIP: {error}") from None
        except (Taken, OutOfRange) as error:
            self._metrics.address_errors.labels(self.addresses.range_of(asked), scope).inc()
            errors = Errors()
            path, value = "spec.clusterIPs", service["spec"]["clusterIPs"]
            errors.invalid(path, value, f"failed to allocate IP {asked}: {error}")
            raise Invalid.of("Service", "", service["metadata"]["name"], errors) from None

    async def _take_ports(self, claim: Claim, held: set[int], dry_run: bool) -> None:
        spec = claim.service["spec"]
        ports = (spec.get("ports") or []) if spec.get("type") in ("NodePort", "LoadBalancer") else []
        health = needs_health_check_port(spec)
        lacking = _share([port for port in ports if not port.get("nodePort")], ports) if needs_node_port(spec) else []
        alone = health and not spec.get("healthCheckNodePort")
        wanted = list(dict.fromkeys(p["nodePort"] for p in ports if p.get("nodePort") and p["nodePort"] not in held))
        if health and (asked := spec.get("healthCheckNodePort")) and asked not in held:
            wanted.append(asked)
        if not wanted and not lacking and not alone:
            return
        try:
            given = await self.ports.claim(wanted, len(lacking) + alone, dry_run=dry_run)
        except Full as error:
            self._metrics.port_errors.labels("dynamic").inc()
            raise _internal(f"failed to allocate a nodePort: {error}") from None
        except (Taken, OutOfRange) as error:
            self._metrics.port_errors.labels("static").inc()
            raise _refused(claim.service, *error.args) from None
        self._metrics.ports.labels("static").inc(len(wanted))
        self._metrics.ports.labels("dynamic").inc(len(given))
        if not dry_run:
            claim.taken_ports += [*wanted, *given]
        for same, number in zip(lacking, given, strict=False):
            for port in same:
                port["nodePort"] = number
        if alone:
            spec["healthCheckNodePort"] = given[-1]


def _share(lacking: Sequence[Object], ports: Sequence[Object]) -> list[list[Object]]:
    """The ports to find node ports for, in groups that share one: the same port under several protocols (DNS on TCP
    and UDP). Those whose sibling has asked for one get that at once."""
    groups: dict[int, list[Object]] = {}
    for port in lacking:
        siblings = [one for one in ports if one.get("port") == port.get("port") and one is not port]
        asked = next((one["nodePort"] for one in siblings if one.get("nodePort")), 0)
        if asked:
            port["nodePort"] = asked
        else:
            groups.setdefault(port.get("port", 0), []).append(port)
    return list(groups.values())


def _refused(service: Object, why: str, port: int) -> APIError:
    """The error for a port that can't be had, at the first place that asks for it."""
    spec, errors = service["spec"], Errors()
    places = [index for index, one in enumerate(spec.get("ports") or []) if one.get("nodePort") == port]
    if not places:
        return _internal(f"failed to allocate requested HealthCheck NodePort {port}: {why}")
    errors.invalid(f"spec.ports[{places[0]}].nodePort", port, why)
    return Invalid.of("Service", "", service["metadata"]["name"], errors)


def _internal(why: str) -> InternalError:
    return InternalError(f"Internal error occurred: {why}", details={"causes": [{"message": why}]})


def addresses_of(service: Object) -> list[str]:
    """The cluster addresses a Service has."""
    spec = service.get("spec") or {}
    if not needs_cluster_ip(spec):
        return []
    return [address for address in spec.get("clusterIPs") or () if address and address != HEADLESS]


def ports_of(service: Object) -> list[int]:
    """The node ports a Service has; one that it has twice under the same protocol is twice there."""
    spec = service.get("spec") or {}
    seen: dict[int, set[str]] = {}
    found = []
    for port in spec.get("ports") or ():
        number, protocol = port.get("nodePort"), port.get("protocol") or "TCP"
        if number:
            if number not in seen or protocol in seen[number]:
                found.append(number)
            seen.setdefault(number, set()).add(protocol)
    health = spec.get("healthCheckNodePort")
    if health and (health not in seen or "TCP" in seen[health]):
        found.append(health)
    return found
