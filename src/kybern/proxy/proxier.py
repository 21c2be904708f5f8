"""Brings changes of the API into force: at once when idle, several at a time when they come fast."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable

from kybern.api.types import Object
from kybern.process.clock import clock, monotonic, parse_time
from kybern.process.metrics import Gauge, Histogram
from kybern.proxy.base import Backend, BackendError, Change, Routed, ServiceName, choose
from kybern.proxy.conntrack import Conntrack, stale
from kybern.proxy.healthcheck import Health, ServiceHealth
from kybern.proxy.services import Services

log = logging.getLogger(__name__)

_TRIGGER = "endpoints.kubernetes.io/last-change-trigger-time"
_MIN_PAUSE = 0.05
"""Seconds between two syncs; at least as long as the last one took, so that no more than half of a CPU is used."""
_VERIFY_SECONDS = 30.0
_FIRST_RETRY, _MAX_RETRY = 1.0, 30.0
_BUCKETS = tuple(0.001 * 2**i for i in range(15))
_SYNC_SECONDS = Histogram(
    "kubeproxy_sync_proxy_rules_duration_seconds", "SyncProxyRules latency in seconds", ["ip_family"], buckets=_BUCKETS
)
_PROGRAMMING_SECONDS = Histogram(
    "kubeproxy_network_programming_duration_seconds",
    "In Cluster Network Programming Latency in seconds",
    ["ip_family"],
    buckets=(*(0.25 * i for i in range(1, 5)), *range(2, 61), *range(65, 121, 5), *range(150, 301, 30)),
)
_LAST = Gauge(
    "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
    "The last time proxy rules were successfully synced",
    ["ip_family"],
)
_QUEUED = Gauge(
    "kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds",
    "The last time a sync of proxy rules was queued",
    ["ip_family"],
)
_NO_LOCAL = Gauge(
    "kubeproxy_sync_proxy_rules_no_local_endpoints_total",
    "Number of services with a Local traffic policy and no endpoints",
    ["ip_family", "traffic_policy"],
)


class Proxier:
    """Tell it of changes with the `see_*` methods, and `run` it once the first lists are in."""

    def __init__(
        self, services: Services, backend: Backend, health: Health, checks: ServiceHealth, conntrack: Conntrack
    ) -> None:
        self.services, self.backend, self.health = services, backend, health
        self._checks, self._conntrack = checks, conntrack
        self._wake = asyncio.Event()
        self._triggers: list[float] = []
        self._pending: dict[ServiceName, Change] = {}
        """Not in force yet, because the backend failed."""
        self._no_local: dict[str, set[ServiceName]] = {"internal": set(), "external": set()}

    def see_service(self, old: Object | None, new: Object | None) -> None:
        meta = (new or old or {})["metadata"]
        self.services.set_service(meta["namespace"], meta["name"], new)
        self.changed()

    def see_slice(self, old: Object | None, new: Object | None) -> None:
        self.services.set_slice(old, new)
        stamp = ((new or {}).get("metadata", {}).get("annotations") or {}).get(_TRIGGER)
        before = ((old or {}).get("metadata", {}).get("annotations") or {}).get(_TRIGGER)
        if stamp and old and stamp != before:
            with contextlib.suppress(ValueError):
                self._triggers.append(parse_time(stamp))
        self.changed()

    def see_node_addresses(self, addresses: tuple[str, ...]) -> None:
        self.backend.set_node_addresses(addresses)
        self.changed()

    def changed(self) -> None:
        """There may be something to do."""
        self.health.queued()
        _QUEUED.labels("IPv4").set(clock.time())
        self._wake.set()

    async def run(self) -> None:
        """Sync until cancelled."""
        self._wake.set()
        retry, verified = _FIRST_RETRY, monotonic()
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, verified + _VERIFY_SECONDS - monotonic())):
                    await self._wake.wait()
            if monotonic() >= verified + _VERIFY_SECONDS:
                verified = monotonic()
                if not await self.backend.verify():
                    log.warning("table kube-proxy was changed by somebody else: making it anew")
                    self._wake.set()
            if not self._wake.is_set():
                continue
            self._wake.clear()
            began = monotonic()
            try:
                await self.sync()
            except BackendError as error:
                log.error("sync failed, trying all of it again in %.0f s: %s", retry, error)
                await asyncio.sleep(retry)
                retry = min(retry * 2, _MAX_RETRY)
                self._wake.set()
            else:
                retry = _FIRST_RETRY
                await asyncio.sleep(max(_MIN_PAUSE, monotonic() - began))

    async def sync(self) -> None:
        """Bring everything known into force. Raises BackendError."""
        began, triggers = monotonic(), self._triggers
        self._triggers = []
        for key, (before, now) in self.services.take().items():
            self._pending[key] = Change(self._pending[key].before if key in self._pending else before, now)
        touched = await self.backend.sync(self._pending)
        changed, self._pending = self._pending, {}
        took = monotonic() - began
        self.health.updated(more=self._wake.is_set())
        _SYNC_SECONDS.labels("IPv4").observe(took)
        _LAST.labels("IPv4").set(clock.time())
        for at in triggers:
            _PROGRAMMING_SECONDS.labels("IPv4").observe(max(0.0, clock.time() - at))
        services, endpoints = len(self.services.routed), self.services.endpoints
        say = log.info if touched else log.debug
        say("synced services=%d endpoints=%d changed=%d in=%.1fms", services, endpoints, touched, took * 1000)
        ports = self.services.health_ports()
        await self._checks.sync(ports, {key: self.services.local_ready(key) for key in ports})
        for key, (before, now) in changed.items():
            self._count_no_local(key, now)
            await self._conntrack.forget(stale(before, now))

    def _count_no_local(self, key: ServiceName, now: Iterable[Routed]) -> None:
        lacking = [r.port for r in now if (chosen := choose(r)).anywhere and not chosen.local]
        for policy, found in (
            ("internal", any(port.internal_local for port in lacking)),
            ("external", any(port.external_local and port.external for port in lacking)),
        ):
            services = self._no_local[policy]
            (services.add if found else services.discard)(key)
            _NO_LOCAL.labels("IPv4", policy).set(len(services))
