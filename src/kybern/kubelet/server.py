"""The kubelet's HTTPS server: who may ask, and which handler answers which path.

Source: the kubelet's endpoints as the API server, kubectl and metrics-server use them.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

from kybern.kubelet.config import Config
from kybern.kubelet.http import container_logs, listing, stats, streams
from kybern.kubelet.http.auth import Authenticator, Authorizer
from kybern.kubelet.http.listener import Listener
from kybern.kubelet.http.message import TEXT, Answer, Refused, Request, Response, json_response
from kybern.kubelet.http.served import Served
from kybern.kubelet.http.tls import server_context
from kybern.kubelet.runtime.client import RuntimeFailure
from kybern.process import features, metrics
from kybern.process.health import Check, HealthServer, respond, serve_health
from kybern.process.zpages import ZPages

log = logging.getLogger(__name__)

Route = Callable[[Request, list[str]], Awaitable[Answer]]

_DEBUGGING = frozenset(("containerLogs", "exec", "attach", "portForward", "runningpods"))
_POSTED = frozenset(("exec", "attach", "portForward"))
"""May be asked by POST too."""


class Server:
    """`start`, then `close`. `port` is the one bound."""

    def __init__(self, kubelet: Served, config: Config) -> None:
        self.port = config.port
        self._kubelet, self._config = kubelet, config
        self._authenticator = Authenticator(config, kubelet.client)
        self._authorizer = Authorizer(config, kubelet.client)
        self._stats = stats.Stats(kubelet)
        self._listener = Listener(self.handle)
        self._health: HealthServer | None = None
        self._tls: ssl.SSLContext | None = None
        self._checks: dict[str, Check] = {"log": lambda: None, "syncloop": lambda: kubelet.healthy() or None}
        self._routes: dict[str, Route] = {
            "containerLogs": self._logs,
            "exec": self._exec,
            "attach": self._attach,
            "portForward": self._port_forward,
            "pods": self._pods,
            "runningpods": self._running_pods,
            "healthz": self._healthz,
            "metrics": self._metrics,
            "stats": self._summary,
            "configz": self._configz,
            "logs": self._node_logs,
        }
        paths = sorted(f"/{first}" for first in self._routes)
        self._zpages = ZPages("kubelet", config.flags, paths)
        for page, gate in (("statusz", "ComponentStatusz"), ("flagz", "ComponentFlagz")):
            if features.enabled(gate):
                self._routes[page] = self._zpage

    async def start(self) -> None:
        """Listen, with TLS and, unless its port is 0, for health checks in plain. Raises OperatorError."""
        config = self._config
        self._tls = server_context(config)
        self.port = await self._listener.start(config.address, config.port, self._tls)
        if config.healthz_port:
            self._health = await serve_health(config.healthz_address, config.healthz_port, self._checks)

    def use(self, pem: Path) -> None:
        """Show new clients the certificate in `pem`, which has its key too. Raises OSError."""
        if self._tls:
            self._tls.load_cert_chain(pem)

    async def close(self) -> None:
        """Stop listening and cut open streams."""
        await self._listener.close()
        if self._health:
            await self._health.close()

    async def handle(self, request: Request) -> Answer:
        """Answer one request."""
        try:
            user = await self._authenticator.user(request)
            await self._authorizer.check(user, request)
            return await self._route(request)
        except Refused as refused:
            return refused.response()
        except RuntimeFailure as failure:
            return Response(500, failure.described.encode())
        except Exception:
            log.exception("answering %s %s", request.method, request.path)
            return Response(500, b"Internal Server Error")

    async def _route(self, request: Request) -> Answer:
        first, *rest = request.path.strip("/").split("/")
        route = self._routes.get(first)
        if route is None:
            raise Refused(404, "404 page not found\n")
        if first in _DEBUGGING and not self._config.enable_debugging:
            raise Refused(405, "Debug endpoints are disabled.")
        if request.method != "GET" and not (request.method == "POST" and first in _POSTED):
            raise Refused(405, "405: Method Not Allowed", [("allow", "GET, POST" if first in _POSTED else "GET")])
        return await route(request, rest)

    async def _logs(self, request: Request, path: list[str]) -> Answer:
        return await container_logs.serve(self._kubelet, request, *_named(path, 3))

    async def _exec(self, request: Request, path: list[str]) -> Answer:
        return await streams.execute(self._kubelet, request, *_container(path))

    async def _attach(self, request: Request, path: list[str]) -> Answer:
        return await streams.attach(self._kubelet, request, *_container(path))

    async def _port_forward(self, request: Request, path: list[str]) -> Answer:
        return await streams.forward_ports(self._kubelet, request, *_named(path, 2, 3))

    async def _pods(self, request: Request, path: list[str]) -> Answer:
        _named(path, 0)
        return json_response(listing.pods(self._kubelet))

    async def _running_pods(self, request: Request, path: list[str]) -> Answer:
        _named(path, 0)
        return json_response(listing.running_pods(self._kubelet))

    async def _healthz(self, request: Request, path: list[str]) -> Answer:
        verbose = "?verbose" if "verbose" in request.query else ""
        checks: dict[str, Check] = {**self._checks, "ping": lambda: None} if path == ["ping"] else self._checks
        status, kind, body = await respond("/".join(["/healthz", *path]) + verbose, checks)
        return Response(status, body, kind)

    async def _metrics(self, request: Request, path: list[str]) -> Answer:
        if path == ["resource"]:
            return Response(200, stats.resource_metrics(await self._stats.measure()), metrics.CONTENT_TYPE)
        if path == ["slis"]:
            return Response(200, metrics.slis(), metrics.CONTENT_TYPE)
        _named(path, 0)
        return Response(200, metrics.page(), metrics.CONTENT_TYPE)

    async def _summary(self, request: Request, path: list[str]) -> Answer:
        if path not in (["summary"], []):
            raise Refused(404, "404 page not found\n")
        return json_response(await self._stats.summary())

    async def _configz(self, request: Request, path: list[str]) -> Answer:
        _named(path, 0)
        return json_response({"kubeletconfig": listing.configuration(self._config)})

    async def _zpage(self, request: Request, path: list[str]) -> Answer:
        _named(path, 0)
        page = self._zpages.statusz if request.path.startswith("/statusz") else self._zpages.flagz
        made = page(request.headers.get("accept", ""))
        return Response(made.status, made.body, made.content_type)

    async def _node_logs(self, request: Request, path: list[str]) -> Answer:
        return Response(405, b"logs endpoint is disabled.", TEXT)


def _named(path: list[str], *lengths: int) -> list[str]:
    """The path's further segments, if there are as many as there may be and none is empty. Raises Refused."""
    if len(path) not in lengths or not all(path):
        raise Refused(404, "404 page not found\n")
    return path


def _container(path: list[str]) -> tuple[str, str, str, str]:
    """Namespace, pod, container and UID of `{namespace}/{pod}[/{uid}]/{container}`. Raises Refused."""
    namespace, pod, *uid, container = _named(path, 3, 4)
    return namespace, pod, container, uid[0] if uid else ""
