"""Gives Services their addresses and node ports, and never the same twice.

What is in use is known from the Services themselves, followed through their lister; what a write in flight was given
is held until the write is stored (the lister then confirms it) or rolled back.
Source: Kubernetes documentation, "Service ClusterIP allocation", "IPv4/IPv6 dual-stack".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from kybern.api.core.service import needs_cluster_ip, needs_health_check_port, needs_node_port
from kybern.api.errors import InternalError, Invalid
from kybern.api.field import Errors
from kybern.api.types import Object, key_of
from kybern.apiserver.pools import AddressPool, Full, OutOfRange, PortPool, Taken
from kybern.apiserver.registry import Lister

HEADLESS = "None"


class ServiceAllocator:
    """The registry's hooks for Services."""

    def __init__(
        self,
        services: Lister,
        networks: Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network],
        ports: tuple[int, int],
    ) -> None:
        self._services = services
        self._pools = {f"IPv{network.version}": AddressPool(network) for network in networks}
        self._ports = PortPool(*ports)
        services.on_change(self._on_change)

    async def before_create(self, obj: Object, dry_run: bool) -> None:
        """Fill in addresses and ports. Raises Invalid; InternalError when a pool is exhausted."""
        self._allocate(obj, {})

    async def before_update(self, obj: Object, old: Object, dry_run: bool) -> None:
        """The same for what an update newly asks for. What it gives up is freed once it is stored."""
        self._allocate(obj, old)

    def after_update(self, obj: Object, old: Object) -> None:
        """The lister tells what was given up."""

    def after_delete(self, obj: Object) -> None:
        """The lister tells."""

    def rollback(self, obj: Object) -> None:
        """The write came to nothing: free what the stored Service, if there is one, doesn't have."""
        owner, meta = key_of(obj), obj["metadata"]
        stored = self._services.get(meta.get("namespace", ""), meta["name"]) or {}
        self._free(set(_addresses(obj)) - set(_addresses(stored)), set(_ports(obj)) - set(_ports(stored)), owner)

    def _allocate(self, obj: Object, old: Object) -> None:
        try:
            if needs_cluster_ip(obj["spec"]):
                self._settle_families(obj)
                self._take_addresses(obj)
            self._take_ports(obj)
        except BaseException:
            self.rollback(obj)
            raise

    def _settle_families(self, obj: Object) -> None:
        """Fill in ipFamilies and ipFamilyPolicy from what the cluster and the request have."""
        spec, errors = obj["spec"], Errors()
        configured = list(self._pools)
        policy = spec.get("ipFamilyPolicy")
        families = list(spec.get("ipFamilies") or ())
        headless = spec.get("clusterIP") == HEADLESS
        for index, address in enumerate(spec.get("clusterIPs") or ()):
            if address != HEADLESS and index >= len(families):
                families.append(f"IPv{ipaddress.ip_address(address).version}")
        families = families or configured[:1]
        if headless and not spec.get("selector"):
            policy = policy or "RequireDualStack"
            if len(families) < 2 and policy != "SingleStack":
                families.append("IPv6" if families[0] == "IPv4" else "IPv4")
        else:
            policy = policy or ("RequireDualStack" if len(families) > 1 else "SingleStack")
            for index, family in enumerate(families):
                if family not in self._pools:
                    errors.invalid(f"spec.ipFamilies[{index}]", family, "not configured on this cluster")
            if policy == "RequireDualStack" and len(configured) < 2:
                errors.invalid("spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services")
            if policy != "SingleStack":
                families += [family for family in configured if family not in families]
            else:
                families = families[:1]
        if errors:
            raise Invalid.of("Service", "", obj["metadata"]["name"], errors)
        spec["ipFamilies"], spec["ipFamilyPolicy"] = families, policy

    def _take_addresses(self, obj: Object) -> None:
        spec, owner = obj["spec"], key_of(obj)
        if spec.get("clusterIP") == HEADLESS:
            spec["clusterIPs"] = [HEADLESS]
            return
        given = list(spec.get("clusterIPs") or ())
        addresses = []
        for index, family in enumerate(spec["ipFamilies"]):
            try:
                if index < len(given) and given[index]:
                    self._pools[family].take(given[index], owner)
                    addresses.append(given[index])
                else:
                    addresses.append(self._pools[family].take_any(owner))
            except Full:
                why = "failed to allocate a serviceIP: range is full"
                raise InternalError(f"Internal error occurred: {why}") from None
            except (Taken, OutOfRange) as error:
                said = str(error) or "provided IP is already allocated"
                errors = Errors()
                errors.invalid("spec.clusterIPs", given, f"failed to allocate IP {given[index]}: {said}")
                raise Invalid.of("Service", "", obj["metadata"]["name"], errors) from None
        spec["clusterIP"], spec["clusterIPs"] = addresses[0], addresses

    def _take_ports(self, obj: Object) -> None:
        spec, owner, errors = obj["spec"], key_of(obj), Errors()
        given: dict[int, list[tuple[int, str]]] = {}
        wanted = [(f"spec.ports[{i}].nodePort", "nodePort", port) for i, port in enumerate(spec.get("ports") or ())]
        if not needs_node_port(spec):
            wanted = []
        if needs_health_check_port(spec):
            wanted.append(("spec.healthCheckNodePort", "healthCheckNodePort", spec))
        # Those who ask for a certain port come first, else a neighbour may be given it.
        for path, key, holder in wanted:
            if holder.get(key):
                try:
                    self._ports.take(holder[key], owner)
                except (Taken, OutOfRange) as error:
                    errors.invalid(path, holder[key], str(error) or "provided port is already allocated")
                else:
                    given.setdefault(holder.get("port", 0), []).append((holder[key], holder.get("protocol", "")))
        if errors:
            raise Invalid.of("Service", "", obj["metadata"]["name"], errors)
        for _, key, holder in wanted:
            if not holder.get(key):
                number, protocol = holder.get("port", 0), holder.get("protocol", "")
                holder[key] = self._shared(given.get(number, ()), protocol) or self._any_port(owner)
                given.setdefault(number, []).append((holder[key], protocol))

    def _shared(self, given: Sequence[tuple[int, str]], protocol: str) -> int:
        """The node port of the same port under another protocol (DNS on TCP and UDP), if there is one; else 0."""
        taken = {port for port, other in given if other == protocol}
        return next((port for port, _ in given if port not in taken and protocol), 0)

    def _any_port(self, owner: str) -> int:
        try:
            return self._ports.take_any(owner)
        except Full:
            raise InternalError(
                "Internal error occurred: failed to allocate a nodePort: range is full"
            ) from None

    def _on_change(self, old: Object | None, new: Object | None) -> None:
        if old is not None:
            addresses, ports = set(_addresses(old)), set(_ports(old))
            if new is not None:
                addresses, ports = addresses - set(_addresses(new)), ports - set(_ports(new))
            self._free(addresses, ports, key_of(old))
        if new is not None:
            owner = key_of(new)
            for address in _addresses(new):
                pool = self._pools.get(f"IPv{ipaddress.ip_address(address).version}")
                if pool:
                    pool.owners.setdefault(address, owner)
            for port in _ports(new):
                self._ports.owners.setdefault(port, owner)

    def _free(self, addresses: set[str], ports: set[int], owner: str) -> None:
        for address in addresses:
            for pool in self._pools.values():
                pool.free(address, owner)
        for port in ports:
            self._ports.free(port, owner)


def _addresses(service: Object) -> list[str]:
    spec = service.get("spec") or {}
    if spec.get("type") == "ExternalName":
        return []
    return [address for address in spec.get("clusterIPs") or () if address and address != HEADLESS]


def _ports(service: Object) -> list[int]:
    spec = service.get("spec") or {}
    found = [port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")]
    return [*found, spec["healthCheckNodePort"]] if spec.get("healthCheckNodePort") else found
