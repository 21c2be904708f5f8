"""Starts what gives Services their addresses and ports, and keeps it in repair.

    given = Services(registry, networks, (30000, 32767), metrics)
    await given.start()      # the default range, the hooks of Service writes
    await given.keep()       # after bootstrap: one repair of everything, then whenever something changes
    await given.stop()
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TypeAlias

from prometheus_client import CollectorRegistry

from kybern.api.addresses import Network, family
from kybern.api.errors import APIError
from kybern.api.networking.servicecidr import DEFAULT_NAME
from kybern.api.types import Object
from kybern.apiserver.events import Recorder
from kybern.apiserver.registry import Registry
from kybern.apiserver.services import defaultrange
from kybern.apiserver.services.addresses import Addresses
from kybern.apiserver.services.allocator import ServiceAllocator
from kybern.apiserver.services.metrics import ServiceMetrics
from kybern.apiserver.services.nodeports import NodePorts
from kybern.apiserver.services.repair_addresses import AddressRepair
from kybern.apiserver.services.repair_ports import PortRepair
from kybern.store.base import StoreError

log = logging.getLogger(__name__)

PORTS_EVERY = 180.0
_RETRY_SECONDS, _SETTLE_SECONDS = 5.0, 0.5
_SERVICE, _ADDRESS, _RANGE = "service", "address", "range"

Key: TypeAlias = tuple[str, str, str]
"""What to look at: a kind of the three, namespace, name."""


class Services:
    """See the module."""

    def __init__(
        self, registry: Registry, networks: Sequence[Network], ports: tuple[int, int], metrics: CollectorRegistry
    ) -> None:
        services = registry.scheme.resource("", "services")
        if services is None:
            raise LookupError("the scheme has no services")
        self._registry, self._kind = registry, services
        self._cidrs = [str(one) for one in networks]
        self._addresses = Addresses(registry)
        self._ports = NodePorts(registry.store, *ports)
        counted = ServiceMetrics(metrics, self._addresses, self._ports)
        self._allocator = ServiceAllocator(self._addresses, self._ports, [family(one) for one in networks], counted)
        self._services = registry.lister("", "services")
        of_addresses = Recorder(registry, "ipallocator-repair-controller")
        of_ports = Recorder(registry, "portallocator-repair-controller")
        self._address_repair = AddressRepair(registry, services, self._addresses, of_addresses, counted)
        self._port_repair = PortRepair(self._services, self._ports, of_ports, counted)
        self._waiting: dict[Key, None] = {}
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Give out addresses and ports from now on. Raises StoreUnavailable."""
        await self._registry.started(self._kind)
        await self._addresses.start()
        await defaultrange.ensure(self._registry, self._cidrs)
        self._registry.hooks[("", "services")] = self._allocator

    async def keep(self) -> None:
        """Mend what there is, then go on. Raises StoreUnavailable."""
        self._services.on_change(self._service_changed)
        self._addresses.taken.on_change(self._address_changed)
        self._addresses.ranges.on_change(self._range_changed)
        await self._port_repair.run()
        await self._work_off()
        self._tasks = [
            asyncio.create_task(self._repair_addresses(), name="address-repair"),
            asyncio.create_task(self._repair_ports(), name="port-repair"),
        ]

    async def stop(self) -> None:
        """End the repairs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _add(self, *key: str) -> None:
        kind, namespace, name = key
        self._waiting[(kind, namespace, name)] = None
        self._wake.set()

    def _service_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None and (old is None or old.get("spec") != new.get("spec")):
            self._add(_SERVICE, new["metadata"].get("namespace", ""), new["metadata"]["name"])

    def _address_changed(self, old: Object | None, new: Object | None) -> None:
        if new is not None:
            self._add(_ADDRESS, "", new["metadata"]["name"])
        holder = ((old or {}).get("spec") or {}).get("parentRef") or {}
        if holder.get("resource") == "services":
            self._add(_SERVICE, holder.get("namespace") or "", holder.get("name") or "")

    def _range_changed(self, old: Object | None, new: Object | None) -> None:
        if old is not None and old["metadata"]["name"] == DEFAULT_NAME:
            self._add(_RANGE, "", DEFAULT_NAME)
        if old is not None and (new is None or old["spec"] != new["spec"]):
            for service in self._services.list():
                self._service_changed(None, service)

    async def _repair_addresses(self) -> None:
        while True:
            await self._wake.wait()
            # Writes that are under way come to their end meanwhile, and bursts are looked at once.
            await asyncio.sleep(_SETTLE_SECONDS)
            await self._work_off()

    async def _work_off(self) -> None:
        self._wake.clear()
        keys, self._waiting = list(self._waiting), {}
        for key in keys:
            again: float | None = _RETRY_SECONDS
            try:
                again = await self._look(*key)
            except (APIError, StoreError) as error:
                log.info("%s %s: %s", key[0], key[2], error)
            if again is not None:
                asyncio.get_running_loop().call_later(again, self._add, *key)

    async def _look(self, kind: str, namespace: str, name: str) -> float | None:
        if kind == _ADDRESS:
            return await self._address_repair.address(name)
        if kind == _RANGE:
            await defaultrange.ensure(self._registry, self._cidrs)
        else:
            await self._address_repair.service(namespace, name)
        return None

    async def _repair_ports(self) -> None:
        while True:
            await asyncio.sleep(PORTS_EVERY)
            try:
                await self._port_repair.run()
            except (APIError, StoreError) as error:
                log.info("node ports are not repaired: %s", error)
