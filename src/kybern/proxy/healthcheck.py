"""What others ask of the proxy over HTTP: whether it is well, and whether this node has endpoints of a Service.

Source: kube-proxy's /healthz and /livez; KEP-3458 and the field healthCheckNodePort of Services.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from kybern.api.types import Object
from kybern.process import metrics
from kybern.process.clock import clock, monotonic
from kybern.process.daemon import OperatorError, reason
from kybern.process.health import HealthServer, respond
from kybern.proxy.base import ServiceName

log = logging.getLogger(__name__)

TO_BE_DELETED_TAINT = "ToBeDeletedByClusterAutoscaler"
_JSON = "application/json"
_REASONS = {200: "OK", 404: "Not Found", 405: "Method Not Allowed", 500: "Internal Server Error"}
_UNAVAILABLE = 503
_HEALTHZ = metrics.Counter("kubeproxy_proxy_healthz", "Cumulative proxy healthz HTTP status", ["code"])
_LIVEZ = metrics.Counter("kubeproxy_proxy_livez", "Cumulative proxy livez HTTP status", ["code"])

Answer = tuple[int, str, bytes]
"""Status, content type, body."""


class Health:
    """Whether rules keep up with the API. `patience`: seconds a change may wait before the proxy counts as unwell."""

    def __init__(self, patience: float = 60.0) -> None:
        self.patience = patience
        self.node_eligible = True
        self._waiting_since: float | None = None
        self._updated: str = ""

    def queued(self) -> None:
        """A change came."""
        if self._waiting_since is None:
            self._waiting_since = monotonic()

    def updated(self, more: bool = False) -> None:
        """The changes are in force; `more` came meanwhile."""
        self._waiting_since = monotonic() if more else None
        self._updated = clock.micro_stamp()

    def see_node(self, node: Object | None) -> None:
        """A node about to go should get no more traffic from load balancers."""
        spec, meta = (node or {}).get("spec", {}), (node or {}).get("metadata", {})
        taints = {taint["key"] for taint in spec.get("taints") or []}
        self.node_eligible = not meta.get("deletionTimestamp") and TO_BE_DELETED_TAINT not in taints

    @property
    def keeps_up(self) -> bool:
        return self._waiting_since is None or monotonic() - self._waiting_since < self.patience

    async def answer(self, path: str) -> Answer:
        """/healthz is 200 once rules are in force; /livez from the start, as a restart would not help."""
        path, now = path.partition("?")[0], clock.micro_stamp()
        seen = now if self.keeps_up and self._updated else self._updated
        said = {"lastUpdated": seen, "currentTime": now}
        if path == "/livez":
            return _counted(_LIVEZ, self.keeps_up, said)
        if path == "/healthz":
            well = self.keeps_up and bool(self._updated) and self.node_eligible
            return _counted(_HEALTHZ, well, said | {"nodeEligible": self.node_eligible})
        return 404, "text/plain; charset=utf-8", b"404 page not found\n"


def _counted(counter: metrics.Counter, well: bool, said: object) -> Answer:
    status = 200 if well else _UNAVAILABLE
    counter.labels(str(status)).inc()
    return status, _JSON, json.dumps(said).encode()


async def metrics_answer(path: str) -> Answer:
    """/metrics, and /proxyMode for those who want to know which kind of proxy this is."""
    if path.partition("?")[0] == "/proxyMode":
        return 200, "text/plain; charset=utf-8", b"nftables"
    return await respond(path, {})


class ServiceHealth:
    """A listener per Service with a healthCheckNodePort: 200 while this node has ready endpoints of it, else 503."""

    def __init__(self, host: str, health: Health) -> None:
        self._host, self._health = host, health
        self._open: dict[ServiceName, tuple[int, HealthServer]] = {}
        self._counts: Mapping[ServiceName, int] = {}

    async def sync(self, ports: Mapping[ServiceName, int], counts: Mapping[ServiceName, int]) -> None:
        """Listen on these ports and no others. A port that can't be had is logged and tried at the next call."""
        self._counts = counts
        for service, (port, server) in [*self._open.items()]:
            if ports.get(service) != port:
                del self._open[service]
                await server.close()
        for service, port in ports.items():
            if service not in self._open:
                try:
                    server = await serve(self._host, port, self._answerer(service), partial(self._weight, service))
                    self._open[service] = (port, server)
                except OperatorError as error:
                    log.error("health check of service %s/%s: %s", *service, error)

    async def close(self) -> None:
        await self.sync({}, {})

    def _weight(self, service: ServiceName) -> Mapping[str, str]:
        """Load balancers may send more to nodes that have more."""
        return {"X-Load-Balancing-Endpoint-Weight": str(self._counts.get(service, 0))}

    def _answerer(self, service: ServiceName) -> Callable[[str], Awaitable[Answer]]:
        async def answer(path: str) -> Answer:
            count, well = self._counts.get(service, 0), self._health.keeps_up
            said = {
                "service": {"namespace": service[0], "name": service[1]},
                "localEndpoints": count,
                "serviceProxyHealthy": well,
            }
            return 200 if count and well else _UNAVAILABLE, _JSON, json.dumps(said).encode()

        return answer


async def serve(
    host: str,
    port: int,
    answer: Callable[[str], Awaitable[Answer]],
    headers: Callable[[], Mapping[str, str]] = dict,
) -> HealthServer:
    """Answer GETs, with more `headers`; port 0 picks one. Raises OperatorError if the address can't be had."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, path, *_ = [*head.split("\r\n", 1)[0].split(" "), "", ""]
            status, kind, body = 405, "text/plain", b"method not allowed\n"
            if method in ("GET", "HEAD"):
                status, kind, body = await answer(path)
            more = "".join(f"{name}: {value}\r\n" for name, value in headers().items())
            writer.write(
                f"HTTP/1.1 {status} {_REASONS.get(status, 'Service Unavailable')}\r\nContent-Type: {kind}\r\n"
                f"X-Content-Type-Options: nosniff\r\n{more}Content-Length: {len(body)}\r\n"
                "Connection: close\r\n\r\n".encode()
                + (b"" if method == "HEAD" else body)
            )
            await writer.drain()
        writer.close()

    try:
        return HealthServer(await asyncio.start_server(talk, host, port))
    except OSError as error:
        raise OperatorError(f"can't listen on {host}:{port}: {reason(error)}; choose another address") from error
