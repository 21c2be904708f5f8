"""What passes through the server: a request, who made it, what it asks for, and the answer.

Written by the listener (server.py) or the ASGI adapter (app.py), filled in along chain.py, read by the verbs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs

import orjson

from kybern.api.errors import APIError
from kybern.api.resource import Resource

if TYPE_CHECKING:
    from kybern.apiserver.arriving import Arriving
    from kybern.apiserver.audit import Trail

JSON = "application/json"


@dataclass(slots=True, frozen=True)
class UserInfo:
    """An authenticated user, as in SubjectAccessReview and admission review."""

    name: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


ANONYMOUS = UserInfo("system:anonymous", ("system:unauthenticated",))
SYSTEM = UserInfo("system:apiserver", ("system:masters",))
"""The server itself: bootstrap and allocation loops."""


@dataclass(slots=True)
class RequestInfo:
    """What a request asks for. `verb` is the API verb (get, list, watch, create, update, patch, delete,
    deletecollection) or, where `is_resource` is false, the lower-case HTTP method."""

    verb: str
    path: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    rest: str = ""
    """What follows the subresource in the path (proxy): starts with a slash, or empty."""
    fields: str = ""
    """The field selector of a list, watch or deletecollection, which authorizers may look at."""
    labels: str = ""
    """The label selector of such a request."""


class Ticket(Protocol):
    """A request's place among those being served: given up by `leave`. `headers` say on what grounds."""

    @property
    def headers(self) -> list[tuple[str, str]]: ...

    def leave(self) -> None: ...

    def abandon(self) -> None:
        """Whoever asked is gone: don't wait any longer for its turn."""
        ...


class Request:
    """One request. `path` is decoded; header names are lower-case; `body` is complete."""

    __slots__ = (
        "_args",
        "arriving",
        "body",
        "client",
        "elsewhere",
        "headers",
        "info",
        "method",
        "notes",
        "path",
        "peer_certificate",
        "peer_chain",
        "query",
        "repeated",
        "resource",
        "ticket",
        "trail",
        "user",
        "warnings",
    )

    def __init__(
        self,
        method: str,
        path: str,
        query: str = "",
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        peer_certificate: bytes | None = None,
        client: tuple[str, int] = ("", 0),
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers: dict[str, str] = {} if headers is None else headers
        self.body = body
        self.arriving: Arriving | None = None
        """The body while it arrives, where it is to be passed on and too long to be kept; `body` is then empty."""
        self.peer_certificate = peer_certificate
        """DER of the client's certificate, verified against the client CA by the listener."""
        self.client = client
        self.peer_chain: tuple[bytes, ...] = ()
        """The verified chain that `peer_certificate` begins, where the listener trusts authorities for several ends."""
        self.repeated: dict[str, list[str]] = {}
        """The values of headers that came several times; `headers` has them joined by commas."""
        self._args: dict[str, list[str]] | None = None
        # Filled in by the chain.
        self.user: UserInfo = ANONYMOUS
        self.info: RequestInfo = RequestInfo("", path)
        self.resource: Resource | None = None
        self.ticket: Ticket | None = None
        """Its place among the requests being served, once it has one."""
        self.trail: Trail | None = None
        """Where it is written down, if it is audited."""
        self.warnings: list[str] = []
        self.notes: dict[str, str] = {}
        """Annotations for the audit event, of what is found out before there is one."""
        self.elsewhere = 0.0
        """Seconds spent waiting for what isn't the server's to hasten: its turn, webhooks."""

    @property
    def args(self) -> dict[str, list[str]]:
        """The query parameters, parsed at first use."""
        if self._args is None:
            self._args = parse_qs(self.query, keep_blank_values=True) if self.query else {}
        return self._args

    def arg(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        if not self.query:
            return default
        values = self.args.get(name)
        return values[0] if values else default

    def values(self, header: str) -> list[str]:
        """The values of a header that may come several times, each as it came."""
        found = self.repeated.get(header)
        if found is not None:
            return found
        return [self.headers[header]] if header in self.headers else []

    def flag(self, name: str) -> bool:
        """A boolean query parameter; upstream takes `1` and `true`, and a bare name as true."""
        return bool(self.query) and self.arg(name, "false").lower() not in ("false", "0")


class Response:
    """An answer. `body` is all of it, or an iterator whose pieces are sent as they come (chunked, unless the headers
    carry a content-length)."""

    __slots__ = ("body", "headers", "status")

    def __init__(
        self,
        status: int,
        body: bytes | AsyncIterator[bytes] = b"",
        content_type: str = JSON,
        headers: list[tuple[str, str]] | None = None,
    ) -> None:
        self.status = status
        self.body = body
        self.headers: list[tuple[str, str]] = [("content-type", content_type)] if content_type else []
        if headers:
            self.headers += headers


class Frame:
    """Bytes sent to many clients at once: `chunk`, with HTTP/1.1's framing around `data`, is made once for all."""

    __slots__ = ("chunk", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.chunk = b"%x\r\n%b\r\n" % (len(data), data)


class Sink(Protocol):
    """Where a Stream writes to."""

    @property
    def congested(self) -> bool:
        """Whether the client takes it in more slowly than it is written; `Stream.resumed` tells when that is over."""
        ...

    def write(self, frame: Frame) -> None: ...

    def finish(self) -> None:
        """End the answer, as complete."""
        ...


class Stream(Response):
    """An answer without a foreseeable end (a watch), written to as things happen."""

    __slots__ = ()

    def __init__(self, content_type: str = JSON) -> None:
        super().__init__(200, b"", content_type)

    def start(self, sink: Sink) -> None:
        """The headers are sent: write from now on."""

    def resumed(self) -> None:
        """The sink isn't congested any more."""

    def closed(self) -> None:
        """The client is gone, or the sink finished: write nothing more."""


class Upgrade(Response):
    """Takes over the connection once the headers are sent (101, or 200 where `headers` say so): `handler` gets a
    reader and a writer with the interfaces of asyncio's streams. Only the listener can serve it."""

    __slots__ = ("handler",)

    def __init__(
        self,
        handler: Callable[[Any, Any], Awaitable[None]],
        headers: list[tuple[str, str]],
        status: int = 101,
    ) -> None:
        super().__init__(status, b"", "", headers)
        self.handler = handler


def json_response(obj: Any, status: int = 200, headers: list[tuple[str, str]] | None = None) -> Response:
    """An answer of one JSON document."""
    return Response(status, orjson.dumps(obj), JSON, headers)


def status_response(error: APIError) -> Response:
    """A Status document for an error, with Retry-After where it says how long to wait."""
    headers = [("retry-after", str(error.retry_after))] if error.retry_after else None
    return json_response(error.status(), error.code, headers)
