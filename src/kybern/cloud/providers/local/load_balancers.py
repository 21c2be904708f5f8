"""The cloud's load balancers: an address for each Service, HAProxy for its TCP ports, a relay for its UDP ports.

What was decided is kept in a file, so that addresses stay over restarts and all balancers are back at once.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import os
import socket
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from kybern.api.errors import APIError
from kybern.api.types import Object
from kybern.client.rest import Client
from kybern.cloud import provider
from kybern.cloud.provider import CloudError
from kybern.cloud.providers.local import balancer, host
from kybern.cloud.providers.local.balancer import Balancer, Listener
from kybern.cloud.providers.local.datagrams import Relays
from kybern.cloud.providers.local.haproxy import Haproxy

log = logging.getLogger(__name__)

_KINDS = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}
_Known = dict[str, Balancer]
"""By the Service's uid."""


class LoadBalancers(provider.LoadBalancers):
    """`subnet` has the addresses, `interface` carries them, `directory` keeps what was decided."""

    def __init__(self, subnet: IPv4Network | IPv6Network, interface: str, directory: Path) -> None:
        self._subnet, self._interface, self._directory = subnet, interface, directory
        self._state = directory / "balancers.json"
        self._known: _Known = {}
        self._lock = asyncio.Lock()
        self._haproxy, self._relays = Haproxy(directory), Relays()

    async def start(self, client: Client) -> None:
        """Bring back the balancers of an earlier run, but those whose Service is gone."""
        self._directory.mkdir(parents=True, exist_ok=True)
        known = self._read()
        if known:
            try:
                there = {one["metadata"]["uid"] for one in (await client.resource("v1", "services").list()).items}
                known = {uid: one for uid, one in known.items() if uid in there}
            except (APIError, OSError) as error:
                log.warning("can't tell which Services are left, so all load balancers are back: %s", error)
        try:
            await host.keep_addresses(self._interface, {one.address for one in known.values()})
            await self._apply({uid: one for uid, one in known.items() if not _taken(one.address, one.listeners)})
        except CloudError as error:
            # `ensure` says it of each Service.
            log.warning("load balancers are not back: %s", error)

    async def close(self) -> None:
        """The addresses stay: the balancers are back when this runs again."""
        await self._relays.close()
        await self._haproxy.close()

    async def get(self, cluster: str, service: Object) -> Object | None:
        found = self._known.get(service["metadata"]["uid"])
        return balancer.status(found.address) if found else None

    async def ensure(self, cluster: str, service: Object, nodes: list[Object]) -> Object:
        async with self._lock:
            before = self._known.get(service["metadata"]["uid"])
            made = balancer.balancer(service, nodes, self._address(service, before))
            served = before.listeners if before and before.address == made.address else ()
            await host.keep_addresses(self._interface, {*self._addresses(), made.address})
            try:
                if taken := _taken(made.address, _new(served, made.listeners)):
                    raise CloudError(f"{taken.protocol} port {taken.port} of {made.address} is taken on this machine")
                await self._apply({**self._known, made.uid: made})
            finally:
                await host.keep_addresses(self._interface, self._addresses())
            return balancer.status(made.address)

    async def update(self, cluster: str, service: Object, nodes: list[Object]) -> None:
        await self.ensure(cluster, service, nodes)

    async def delete(self, cluster: str, service: Object) -> None:
        async with self._lock:
            await self._apply({uid: one for uid, one in self._known.items() if uid != service["metadata"]["uid"]})
            await host.keep_addresses(self._interface, self._addresses())

    async def _apply(self, wanted: _Known) -> None:
        """Put these in force; their addresses are there. Raises CloudError."""
        binds = [(one.address, listener.port) for one in wanted.values() for listener in one.of("TCP")]
        await self._haproxy.apply(balancer.haproxy(wanted.values()), binds)
        await self._relays.apply(wanted.values())
        self._known = wanted
        await asyncio.to_thread(self._write)

    def _addresses(self) -> set[str]:
        return {one.address for one in self._known.values()}

    def _address(self, service: Object, before: Balancer | None) -> str:
        """The one asked for, the one it has, the one it had, or the first that is free. Raises CloudError."""
        uid = service["metadata"]["uid"]
        others = {one.address for one in self._known.values() if one.uid != uid}
        free = {str(address) for address in self._subnet.hosts()} - others
        asked: str = service["spec"].get("loadBalancerIP") or ""
        if asked and asked not in free:
            raise CloudError(f"loadBalancerIP {asked} is taken or not in {self._subnet}")
        had = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or ()
        wishes: list[str] = [asked, *([before.address] if before else ()), *(one.get("ip", "") for one in had)]
        found = next((address for address in (*wishes, *map(str, self._subnet.hosts())) if address in free), None)
        if found is None:
            raise CloudError(f"no address is left in {self._subnet}")
        return found

    def _read(self) -> _Known:
        try:
            listed = [Balancer.from_json(one) for one in json.loads(self._state.read_text())]
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError) as error:
            log.warning("%s is damaged (%s); all load balancers are made anew", self._state, error)
            return {}
        return {one.uid: one for one in listed}

    def _write(self) -> None:
        scratch = self._state.with_suffix(".new")
        scratch.write_text(json.dumps([asdict(one) for one in self._known.values()], indent=1))
        os.replace(scratch, self._state)


def _new(served: Iterable[Listener], wanted: Iterable[Listener]) -> Iterator[Listener]:
    """Those on ports that aren't served yet."""
    ports = {(one.protocol, one.port) for one in served}
    return (one for one in wanted if (one.protocol, one.port) not in ports)


def _taken(address: str, listeners: Iterable[Listener]) -> Listener | None:
    """The first whose port something else on this machine has."""
    for listener in listeners:
        with socket.socket(socket.AF_INET, _KINDS[listener.protocol]) as probe:
            # Ends of earlier connections are no hindrance, for HAProxy neither.
            if listener.protocol == "TCP":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, listener.port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise CloudError(f"{address}:{listener.port}: {error.strerror}") from error
                return listener
    return None
