"""Spans of requests, and of what is done for them: authorization, flow control, admission, the store.

Whoever isn't traced pays nothing: the parts are wrapped when tracing is installed. Source: KEP-647.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

from kybern.apiserver.following import followed
from kybern.apiserver.request import Request, Response, Stream, Upgrade
from kybern.process.clock import clock
from kybern.process.tracing import Tracing

if TYPE_CHECKING:
    from kybern.apiserver.app import App

_TRUSTED = frozenset(("system:masters", "system:monitoring"))
"""The groups that may have us sample their requests."""
PARTS = (
    # what has it, its method, the span's name
    ("flows", "admit", "Flow control"),
    ("admission", "admit", "Mutating admission"),
    ("admission", "validate", "Validating admission"),
    ("registry", "item", "Read"),
    ("registry", "insert", "Store create"),
    ("registry", "replace", "Store update"),
    ("registry", "remove", "Store delete"),
)

T = TypeVar("T")
Answer = Callable[["App", Request], Awaitable[Response]]


class RequestTracing:
    """Traces an app's requests. `trace` is in the chain's way."""

    def __init__(self, app: App, tracing: Tracing) -> None:
        self._app, self.tracing = app, tracing
        for owner, method, name in PARTS:
            part = getattr(app, owner)
            if part is not None:
                setattr(part, method, self._traced(name, getattr(part, method)))

    def _traced(self, name: str, function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @wraps(function)
        async def traced(*args: Any, **kwargs: Any) -> Any:
            with self.tracing.span(name):
                return await function(*args, **kwargs)

        return traced

    async def part(self, name: str, done: Awaitable[T]) -> T:
        """Await something as a part of the current span."""
        with self.tracing.span(name):
            return await done

    async def trace(self, request: Request, answer: Answer) -> Response:
        """The answer to a request whose user is known, and a span of it."""
        info = request.info
        span = self.tracing.begin(
            _name(request), request.headers, clock.time(), trusted=not _TRUSTED.isdisjoint(request.user.groups),
            **{
                "http.request.method": request.method,
                "url.path": request.path,
                "user_agent.original": request.headers.get("user-agent", ""),
                "client.address": request.client[0],
                "audit-id": request.trail.id if request.trail is not None else request.headers.get("audit-id", ""),
                "k8s.verb": info.verb,
            },
        )  # fmt: skip
        try:
            with self.tracing.within(span):
                response = await answer(self._app, request)
        except BaseException as error:
            code = getattr(error, "code", 500)
            span.set_attribute("http.response.status_code", code)
            span.end()
            raise
        span.set_attribute("http.response.status_code", response.status)
        if isinstance(response, Stream | Upgrade) or not isinstance(response.body, bytes):
            return followed(response, span.end)
        span.end()
        return response


def _name(request: Request) -> str:
    """The method and the path without what varies."""
    info = request.info
    if not info.is_resource:
        return request.method
    parts = ["apis", info.group, info.version] if info.group else ["api", info.version]
    if info.namespace and info.resource != "namespaces":
        parts += ["namespaces", "{:namespace}"]
    parts.append(info.resource)
    if info.name:
        parts.append("{:name}")
    if info.subresource:
        parts.append(info.subresource)
    return f"{request.method} /{'/'.join(parts)}"
