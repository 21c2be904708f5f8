"""Passing a request on to an HTTP server, and its answer back, plain or upgraded."""

from __future__ import annotations

import codecs
import ssl
from collections.abc import Iterable
from urllib.parse import urlsplit

from kybern.api.errors import ServiceUnavailable
from kybern.apiserver.kubelets import unreachable
from kybern.apiserver.pools import Passed, Pools, Where
from kybern.apiserver.request import Request, Response, Upgrade
from kybern.apiserver.webhooks.client import explained
from kybern.client.http import Pieces
from kybern.process import tracing
from kybern.streaming import http1, tunnel
from kybern.streaming.pipes import Reader, Writer

HOP_BY_HOP = frozenset(
    (
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Headers that concern one connection only (RFC 9110, 7.6.1)."""
_CORS = frozenset(
    f"access-control-allow-{what}" for what in ("credentials", "headers", "methods", "origin")
)  # fmt: skip
_OURS = frozenset(("content-length", "expect", "host"))
"""Headers that are said anew."""
_SECRET = ("authorization", "impersonate-", "x-remote-")
"""How headers begin that are for this server, none of the backend's business, or that only this server may send."""


def wants_upgrade(request: Request) -> bool:
    """Whether the client asks to change the protocol."""
    return "upgrade" in request.headers.get("connection", "").lower() and bool(request.headers.get("upgrade"))


def forwarded_headers(request: Request) -> list[tuple[str, str]]:
    """The request's headers for a backend, with who asked for what in X-Forwarded-*."""
    own = _named(request.headers.get("connection", ""))
    headers = [
        (name, value)
        for name, value in request.headers.items()
        if name not in HOP_BY_HOP and name not in _OURS and name not in own and not name.startswith(_SECRET)
    ]
    if "trailers" in request.headers.get("te", ""):
        headers.append(("te", "trailers"))
    if request.client[0]:
        before = request.headers.get("x-forwarded-for")
        headers = [(name, value) for name, value in headers if name != "x-forwarded-for"]
        headers.append(("x-forwarded-for", f"{before}, {request.client[0]}" if before else request.client[0]))
    traced: dict[str, str] = {}
    tracing.inject(traced)
    if traced:
        headers = [(name, value) for name, value in headers if name not in traced] + list(traced.items())
    headers += [("x-forwarded-uri", request.path), ("x-forwarded-host", request.headers.get("host", ""))]
    return [*headers, ("x-forwarded-proto", "https")]


async def forward(pools: Pools, request: Request, url: str, tls: ssl.SSLContext | None) -> Response:
    """Pass the request on to `url`, and its answer back; links and redirections within the backend lead through the
    proxy, and what the backend says of other origins isn't said of this server. Raises ServiceUnavailable, or APIError
    for an upgrade."""
    response = await pass_on(pools, request, Where(url, tls))
    if response.status == 101:
        return response
    from kybern.apiserver.links import Links

    base = request.path[: len(request.path) - len(request.info.rest)]
    links = Links(base, frozenset((urlsplit(url).netloc, request.headers.get("host", ""))))
    headers = dict(response.headers)
    response.headers = [
        (name, links.moved(value) if name == "location" else value)
        for name, value in response.headers
        if name not in _CORS
    ]
    encoding = headers.get("content-encoding", "")
    if headers.get("content-type", "").startswith("text/html") and encoding in ("", "gzip"):
        response.headers = [(name, value) for name, value in response.headers if name != "content-length"]
        if not isinstance(response.body, bytes) and request.method != "HEAD":
            response.body = links.page(response.body, encoding, _charset(headers["content-type"]))
    return response


def _charset(content_type: str) -> str:
    """The page's encoding, where Python knows it; where not, bytes above 127 pass as they are."""
    said = content_type.partition("charset=")[2].partition(";")[0].strip(" \"'") or "utf-8"
    try:
        return codecs.lookup(said).name
    except LookupError:
        return "utf-8"


async def pass_on(pools: Pools, request: Request, to: Where) -> Response:
    """The same, and its answer as it is."""
    if wants_upgrade(request):
        return await upgrade(pools, request, to)
    body: bytes | Pieces | None = request.body or None
    if request.arriving is not None:
        body = Pieces(request.arriving.pieces(), request.arriving.length)
    try:
        answer = await pools.ask(request.method, to, [*forwarded_headers(request), *to.headers], body)
    except (OSError, ssl.SSLError) as error:
        raise ServiceUnavailable(f"error trying to reach service: {_unreached(to, error)}") from error
    return Passed(answer, _answered(answer.headers))


def _unreached(to: Where, error: OSError) -> str:
    parts = urlsplit(to.url)
    host, port = to.address or (parts.hostname or "", parts.port or (443 if to.tls else 80))
    return f"dial tcp {host}:{port}: i/o timeout" if isinstance(error, TimeoutError) else explained(error, (host, port))


def _answered(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """A backend's headers, for the client; what it will say after the body is announced to it too."""
    own = _named(", ".join(value for name, value in headers if name == "connection"))
    dropped = (HOP_BY_HOP | own) - {"trailer"}
    return [(name, value) for name, value in headers if name not in dropped]


def _named(connection: str) -> frozenset[str]:
    """Headers that a Connection header says concern that connection only."""
    return frozenset(token.strip().lower() for token in connection.split(","))


async def upgrade(pools: Pools, request: Request, to: Where) -> Response:
    """Have a server upgrade the connection and join the client to it, byte by byte. A refusal is passed back. Raises
    APIError where the server can't be reached."""
    wanted = [("connection", "Upgrade"), ("upgrade", request.headers["upgrade"])]
    headers = [*forwarded_headers(request), *wanted, *to.headers]
    if request.method in ("POST", "PUT", "PATCH"):
        headers.append(("content-length", str(len(request.body))))
    try:
        answer = await http1.send(
            to.url, ssl=to.tls, method=request.method, headers=_split(headers), body=request.body, address=to.address,
            through=pools.through,
        )  # fmt: skip
    except (OSError, ssl.SSLError) as error:
        raise unreachable(error) from error
    if answer.status != 101:
        return Response(answer.status, http1.body_of(answer), "", _answered(answer.headers))

    async def join(reader: Reader, writer: Writer) -> None:
        await tunnel(reader, writer, answer.reader, answer.writer)

    return Upgrade(join, [(name, value) for name, value in answer.headers if name != "content-length"])


def _split(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """One line per stream protocol: older servers don't split lists."""
    split = []
    for name, value in headers:
        values = value.split(",") if name == "x-stream-protocol-version" else [value]
        split += [(name, each.strip()) for each in values]
    return split
