"""Compares the allocation of node ports with the Services there are: what a crash left taken is freed, what is in
use is taken again, and what can't be mended is told.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from kybern.api.errors import APIError
from kybern.api.types import Object, key_of
from kybern.apiserver.events import Recorder
from kybern.apiserver.registry import Lister
from kybern.apiserver.services.allocator import ports_of
from kybern.apiserver.services.metrics import ServiceMetrics
from kybern.apiserver.services.nodeports import NodePorts
from kybern.store.base import StoreError

log = logging.getLogger(__name__)

PASSES = 3
"""How often a port must be found taken and unused before it is freed: its Service may just be being made."""

_TYPES = {"PortOutOfRange": "outOfRange", "PortAlreadyAllocated": "duplicate", "PortNotAllocated": "repair"}


class PortRepair:
    """One server's; `run` is one pass."""

    def __init__(self, services: Lister, ports: NodePorts, recorder: Recorder, metrics: ServiceMetrics) -> None:
        self._services, self._ports, self._recorder, self._metrics = services, ports, recorder, metrics
        self._leaks: dict[int, int] = {}
        """Port -> passes left."""

    async def run(self) -> None:
        """Raises StoreUnavailable."""
        current = await self._ports.read()
        told: list[tuple[Object, str, str]] = []
        used = self._used(current.taken, self._services.list(), told)
        leaks, taken = {}, used
        left = current.taken & ~used
        while left:
            port = left.bit_length() - 1
            left &= ~(1 << port)
            passes = self._leaks.get(port, PASSES)
            if not self._ports.has(port) or passes <= 0:
                log.warning("the node port %d appears to have leaked: cleaning up", port)
                self._metrics.wrong_ports.labels("leak").inc()
                continue
            leaks[port] = passes - 1
            taken |= 1 << port
        stale = taken != current.taken or current.range != self._ports.range
        if stale and not await self._ports.write(current, taken):
            return
        self._leaks = leaks
        for service, reason, message in told:
            await self._tell(service, reason, message)

    def _used(self, stored: int, services: Iterable[Object], told: list[tuple[Object, str, str]]) -> int:
        """The ports of Services; what is wrong with them goes into `told`."""
        used = 0
        for service in services:
            for port in ports_of(service):
                if not self._ports.has(port):
                    why = f"Port {port} is not within the port range {self._ports.range}; please recreate service"
                    told.append((service, "PortOutOfRange", why))
                elif used >> port & 1:
                    why = f"Port {port} was assigned to multiple services; please recreate service"
                    told.append((service, "PortAlreadyAllocated", why))
                else:
                    used |= 1 << port
                    if not stored >> port & 1:
                        told.append((service, "PortNotAllocated", f"Port {port} is not allocated; repairing"))
        return used

    async def _tell(self, service: Object, reason: str, message: str) -> None:
        log.warning("service %s: %s", key_of(service), message)
        self._metrics.wrong_ports.labels(_TYPES[reason]).inc()
        try:
            await self._recorder.warn(service, reason, message)
        except (APIError, StoreError) as error:
            log.info("an event is not told: %s", error)
