"""UDP ports of load balancers: a relay in this process, as HAProxy carries none.

A client's datagrams go to one node for as long as it sends; each client has a socket of its own towards its node, so
that answers find back. Nodes are asked for their health, like HAProxy asks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import zlib
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import cast

from kybern.cloud.provider import CloudError
from kybern.cloud.providers.local.balancer import HEALTH_PATH, Balancer, Listener

log = logging.getLogger(__name__)

_IDLE_SECONDS = 60.0
"""A client that is silent for so long is forgotten."""
_CHECK_SECONDS, _CHECK_PATIENCE = 1.0, 2.0
_MAX_CLIENTS = 4096
"""Of one port; the one silent for longest makes room."""
_MAX_BYTES = 65536

Client = tuple[str, int]
Health = tuple[str, int]
"""A node's address and health port."""


class Session:
    """A client and its node."""

    def __init__(self, relay: Relay, client: Client, node: str) -> None:
        self.node = node
        self._relay, self._client = relay, client
        self._loop = asyncio.get_running_loop()
        self.seen = self._loop.time()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect((node, relay.listener.node_port))
        self._loop.add_reader(self._socket, self._answered)

    def send(self, data: bytes) -> None:
        self.seen = self._loop.time()
        # As on any network: what finds no room, or nobody, is lost.
        with contextlib.suppress(OSError):
            self._socket.send(data)

    def _answered(self) -> None:
        try:
            data = self._socket.recv(_MAX_BYTES)
        except OSError:
            return
        self.seen = self._loop.time()
        self._relay.answer(data, self._client)

    def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()


class Relay(asyncio.DatagramProtocol):
    """One port of a balancer. `ill`: nodes that are not sent to while others are well."""

    def __init__(self, balancer: Balancer, listener: Listener, ill: set[Health]) -> None:
        self.listener = listener
        self._ill = ill
        self._sessions: dict[Client, Session] = {}
        self._turn = 0
        self._transport: asyncio.DatagramTransport | None = None
        self._closed = asyncio.Event()
        self.follow(balancer)

    def follow(self, balancer: Balancer) -> None:
        """Go by this state of the balancer from now on."""
        self._balancer = balancer
        self._sources = [ip_network(text) for text in balancer.sources]
        self.drop({backend.ip for backend in balancer.backends})

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed.set()

    def datagram_received(self, data: bytes, addr: Client) -> None:
        if self._sources and not any(ip_address(addr[0]) in source for source in self._sources):
            return
        if session := self._sessions.get(addr) or self._open(addr):
            session.send(data)

    def error_received(self, exc: Exception) -> None:
        log.debug("an answer to a client did not arrive: %s", exc)

    def answer(self, data: bytes, client: Client) -> None:
        if self._transport:
            self._transport.sendto(data, client)

    def _open(self, client: Client) -> Session | None:
        node = self._choose(client)
        if node is None:
            return None
        if len(self._sessions) >= _MAX_CLIENTS:
            self._sessions.pop(min(self._sessions, key=lambda one: self._sessions[one].seen)).close()
        try:
            session = self._sessions[client] = Session(self, client, node)
        except OSError as error:
            log.warning("no way to node %s for a client of %s: %s", node, self._balancer.service, error)
            return None
        return session

    def _choose(self, client: Client) -> str | None:
        port = self._balancer.health_port
        well = [one.ip for one in self._balancer.backends if (one.ip, port) not in self._ill]
        if not well:
            return None
        if self._balancer.sticky:
            # The node that ranks highest for the client: others' coming and going moves few clients.
            return max(well, key=lambda ip: zlib.crc32(f"{client[0]} {ip}".encode()))
        self._turn += 1
        return well[self._turn % len(well)]

    def drop(self, nodes: set[str], idle_since: float = float("-inf")) -> None:
        """Forget clients of other nodes than these, and those silent since a time of the loop."""
        for client, session in [*self._sessions.items()]:
            if session.node not in nodes or session.seen < idle_since:
                self._sessions.pop(client).close()

    def tidy(self) -> None:
        """Forget clients that are silent, or whose node is ill."""
        well = {one.ip for one in self._balancer.backends if (one.ip, self._balancer.health_port) not in self._ill}
        self.drop(well, asyncio.get_running_loop().time() - _IDLE_SECONDS)

    async def close(self) -> None:
        """The port is free then."""
        self.drop(set())
        if self._transport:
            self._transport.close()
            await self._closed.wait()


class Relays:
    """All relays, and the health of the nodes that they send to."""

    def __init__(self) -> None:
        self._relays: dict[tuple[str, Listener], Relay] = {}
        self._ill: set[Health] = set()
        self._checks: set[Health] = set()
        self._watch: asyncio.Task[None] | None = None

    async def apply(self, balancers: Iterable[Balancer]) -> None:
        """Have a relay for each UDP port. Raises CloudError."""
        wanted = {(one.address, listener): one for one in balancers for listener in one.of("UDP")}
        for key in self._relays.keys() - wanted.keys():
            await self._relays.pop(key).close()
        for (address, listener), balancer in wanted.items():
            if relay := self._relays.get((address, listener)):
                relay.follow(balancer)
            else:
                self._relays[address, listener] = await self._open(address, listener, balancer)
        self._checks = {(backend.ip, one.health_port) for one in wanted.values() for backend in one.backends}
        if self._relays and self._watch is None:
            self._watch = asyncio.create_task(self._look())
        elif not self._relays:
            await self.close()

    async def _open(self, address: str, listener: Listener, balancer: Balancer) -> Relay:
        relay, loop = Relay(balancer, listener, self._ill), asyncio.get_running_loop()
        try:
            await loop.create_datagram_endpoint(lambda: relay, local_addr=(address, listener.port))
        except OSError as error:
            raise CloudError(f"UDP port {listener.port} of {address}: {error.strerror}") from error
        return relay

    async def close(self) -> None:
        if self._watch:
            self._watch.cancel()
            self._watch = None
        for relay in self._relays.values():
            await relay.close()
        self._relays = {}

    async def _look(self) -> None:
        """Ask the nodes again and again."""
        while True:
            checks = [*self._checks]
            found = await asyncio.gather(*(is_well(*check) for check in checks))
            # The set is the relays' too.
            self._ill.clear()
            self._ill.update(check for check, well in zip(checks, found, strict=True) if not well)
            for relay in self._relays.values():
                relay.tidy()
            await asyncio.sleep(_CHECK_SECONDS)


async def is_well(address: str, port: int) -> bool:
    """Whether a node's health port says 200."""
    try:
        async with asyncio.timeout(_CHECK_PATIENCE):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                writer.write(f"GET {HEALTH_PATH} HTTP/1.0\r\nHost: {address}\r\n\r\n".encode())
                line = await reader.readline()
            finally:
                writer.close()
    except OSError:  # TimeoutError is one
        return False
    return line.split()[1:2] == [b"200"]
