"""The API server as an object: what the parts share, and the ASGI adapter that tests and in-process clients use.

An App is made from a Registry (what is stored), authenticators, authorizers and admission plugins; `handle` takes a
request through chain.py. `routes` serve the paths that are no resources (/healthz, /openapi/v2, /apis, ...).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from kybern.apiserver import asgi
from kybern.apiserver.edge import Edge
from kybern.apiserver.flowcontrol.watermark import Watermark
from kybern.apiserver.pools import Pools
from kybern.apiserver.registry import Registry
from kybern.apiserver.request import Request, RequestInfo, Response, UserInfo
from kybern.apiserver.telemetry import Telemetry

if TYPE_CHECKING:
    from kybern.apiserver.audit import Audit
    from kybern.apiserver.flowcontrol.control import FlowControl
    from kybern.apiserver.flowcontrol.inflight import Inflight
    from kybern.apiserver.tracing import RequestTracing

log = logging.getLogger(__name__)

Handler: TypeAlias = "Callable[[App, Request], Awaitable[Response]]"


@dataclass(slots=True, frozen=True)
class Decision:
    """What an authorizer says: True, False, or None for no opinion, and why. `error`: what kept it from knowing."""

    allowed: bool | None
    reason: str = ""
    error: str = ""


class Authenticator(Protocol):
    """One way to know who is asking."""

    async def authenticate(self, request: Request) -> UserInfo | None:
        """None: not my kind of credential. Raises Unauthorized: mine, and wrong."""
        ...


class Authorizer(Protocol):
    """One way to decide what a user may do."""

    async def authorize(self, user: UserInfo, info: RequestInfo) -> Decision: ...


class App:
    """The server's parts. Set up by command.py (or a test); `handle` is all that a listener needs."""

    def __init__(
        self,
        registry: Registry,
        *,
        authenticators: Sequence[Authenticator] = (),
        authorizers: Sequence[Authorizer] = (),
        admission: Any = None,
        anonymous: bool = True,
    ) -> None:
        self.registry = registry
        self.authenticators = list(authenticators)
        self.authorizers = list(authorizers)
        self.admission = admission
        self.anonymous = anonymous
        self.anonymous_paths: frozenset[str] = frozenset()
        """Where anonymous requests are let in; empty for everywhere."""
        self.routes: dict[str, Handler] = {}
        """Exact paths, and prefixes where the key ends in `/*`; of several prefixes the longest wins."""
        self.aggregated: dict[tuple[str, str], Handler] = {}
        """(group, version) -> who passes its requests on to the server behind this one that serves it."""
        self.checks: dict[str, Callable[[], str]] = {}
        """Health checks: name -> "" if well, else what is wrong."""
        self.live_until = 0.0
        """Until when, in monotonic seconds, /livez takes for granted that the start will end well."""
        self.edge: Edge | None = None
        """What stands before everything else."""
        self.flows: FlowControl | Inflight | None = None
        """What limits how many requests are served at a time."""
        self.running = {False: 0, True: 0}
        """Requests being served: writes (True) and others (False)."""
        self.watermarks = {False: Watermark(), True: Watermark()}
        """The most of them, second by second."""
        self.request_timeout = 0.0
        """Seconds after which a request that isn't long-running is answered with a 504; 0 for never."""
        self.watch_seconds = 1800
        """A watch that names no time ends after this long, or up to twice as long."""
        self.tracing: RequestTracing | None = None
        self.handshake_errors = 0
        """Connections that failed before they said anything."""
        self.telemetry = Telemetry(self)
        self.pools = Pools()
        """Connections to what is in the cluster: kubelets, pods, Services, servers behind this one."""
        self.audit: Audit | None = None
        self.services: dict[str, Any] = {}
        """What parts leave for others to find: "tokens" (issuer), "kubelet" (client), ..."""

    def route(self, path: str, handler: Handler) -> None:
        """Serve a non-resource path, e.g. "/version" or "/openapi/v3/*"."""
        self.routes[path] = handler

    def lets_anonymous_in(self, request: Request) -> bool:
        """Whether a request without credentials may go on."""
        return self.anonymous and (not self.anonymous_paths or request.path in self.anonymous_paths)

    async def handle(self, request: Request) -> Response:
        """Answer a request. Never raises: errors become Status documents."""
        from kybern.apiserver.chain import serve

        return await serve(self, request)

    async def __call__(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        """ASGI."""
        await asgi.serve(self, scope, receive, send)
