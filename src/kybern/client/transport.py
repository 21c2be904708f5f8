"""How requests reach the API server: over HTTP, or by calling its ASGI app in this process.

A transport moves bytes and knows nothing of objects. Both methods raise Unreachable where no answer came.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote

from kybern.api.errors import ServiceUnavailable
from kybern.client.http import Incomplete, Pool
from kybern.process.daemon import reason

log = logging.getLogger(__name__)


class Unreachable(ServiceUnavailable):
    """No answer: refused, reset, timed out. Whether the server acted on the request is unknown."""


class Answer(NamedTuple):
    """A whole response. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Stream(NamedTuple):
    """A response whose body is read as it comes."""

    status: int
    headers: Mapping[str, str]
    chunks: AsyncIterator[bytes]


class Transport(Protocol):
    """`target` is path and query, percent-encoded."""

    async def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """One request, one whole answer. Raises Unreachable."""
        ...

    def open(self, target: str, headers: Mapping[str, str]) -> AbstractAsyncContextManager[Stream]:
        """GET with a streamed answer; leaving the context ends it. Raises Unreachable, also while reading."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


def severity(error: Exception) -> int:
    """The level at which to log that something failed: of an outage, the transport has told already."""
    return logging.DEBUG if isinstance(error, Unreachable) else logging.WARNING


class HTTPTransport:
    """A pool of connections. `bearer` gives the token for each request, so that it can rotate. An outage is
    logged when it begins and when it is over, unless `quiet`. `identified`: `tls` has a certificate of ours."""

    def __init__(
        self,
        server: str,
        *,
        tls: ssl.SSLContext | None = None,
        bearer: Callable[[], str] | None = None,
        timeout: float = 60.0,
        identified: bool = False,
        quiet: bool = False,
    ) -> None:
        self.server = server.rstrip("/")
        self._identified, self._quiet = identified, quiet
        self._out_of_reach = False
        self._tls = tls
        self._bearer = bearer
        self._timeout = timeout
        self._pool = Pool(self.server, tls)

    async def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._pool.request(method, target, self._headers(headers), body) as answer,
            ):
                self._reached()
                return Answer(answer.status, answer.headers, b"".join([part async for part in answer.parts()]))
        except (OSError, TimeoutError) as error:
            raise self._unreachable(error) from error

    @asynccontextmanager
    async def open(self, target: str, headers: Mapping[str, str]) -> AsyncIterator[Stream]:
        try:
            async with self._pool.request("GET", target, self._headers(headers), None) as answer:
                self._reached()
                yield Stream(answer.status, answer.headers, answer.parts())
        except (OSError, TimeoutError) as error:
            raise self._unreachable(error) from error

    async def change_identity(self, pem: Path) -> None:
        """Be who the certificate in `pem`, which has its key too, says. Connections are made anew; what they carry
        is Unreachable. Raises OSError."""
        if self._tls:
            self._tls.load_cert_chain(pem)
        await self.close()

    async def close(self) -> None:
        self._pool.close()

    def _headers(self, headers: Mapping[str, str]) -> Mapping[str, str]:
        token = self._bearer() if self._bearer else ""
        return {**headers, "Authorization": f"Bearer {token}"} if token else headers

    def _reached(self) -> None:
        if self._out_of_reach:
            self._out_of_reach = False
            log.info("%s answers again", self.server)

    def _unreachable(self, error: BaseException) -> Unreachable:
        why = _reason(error)
        if isinstance(error, Incomplete) and error.nothing and self._identified:
            # Many servers don't say why they end a handshake.
            why += "; if that goes on, it may not trust the client certificate"
        unreachable = Unreachable(f"no answer from {self.server}: {why}")
        if not self._out_of_reach and not self._quiet:
            self._out_of_reach = True
            log.warning("%s; trying again until there is one", unreachable)
        return unreachable


def _reason(error: BaseException) -> str:
    """What went wrong on the way, and what to do about it where that is known."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message or str(error)
        return f"its certificate is not trusted ({why}); check the CA and the server's name in the kubeconfig"
    text = reason(error) if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else str(error)
    if "CERTIFICATE_EXPIRED" in text:
        return "it says that the client certificate has expired; have a new one issued"
    if "ALERT_UNKNOWN_CA" in text or "ALERT_BAD_CERTIFICATE" in text:
        return "it does not trust the client certificate; have one issued by the CA that it knows"
    return text or type(error).__name__


Message = dict[str, Any]
ASGIApp = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

_STREAM_BUFFER = 256
"""Chunks an app may be ahead of a streaming reader; it waits after that, as it would on a full socket."""


class InProcessTransport:
    """Calls an ASGI app directly. `headers` go with every request: how this caller proves who it is."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str] | None = None) -> None:
        self._app = app
        self._own = dict(headers or {})

    async def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        start: Message = {}
        parts: list[bytes] = []

        async def receive() -> Message:
            return {"type": "http.request", "body": body or b"", "more_body": False}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                parts.append(message.get("body", b""))

        await self._app(self._scope(method, target, headers), receive, send)
        if not start:
            raise Unreachable("the app gave no answer")
        return Answer(start["status"], _decoded(start), parts[0] if len(parts) == 1 else b"".join(parts))

    @asynccontextmanager
    async def open(self, target: str, headers: Mapping[str, str]) -> AsyncIterator[Stream]:
        messages: asyncio.Queue[Message | None] = asyncio.Queue(_STREAM_BUFFER)
        gone = asyncio.Event()
        asked = False

        async def receive() -> Message:
            nonlocal asked
            if not asked:
                asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await gone.wait()
            return {"type": "http.disconnect"}

        async def serve() -> None:
            try:
                await self._app(self._scope("GET", target, headers), receive, messages.put)
            finally:
                await messages.put(None)

        task = asyncio.ensure_future(serve())
        try:
            start = await messages.get()
            if start is None:
                await task
                raise Unreachable("the app gave no answer")
            yield Stream(start["status"], _decoded(start), _bodies(messages))
        finally:
            gone.set()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

    async def close(self) -> None:
        """Nothing is held open."""

    def _scope(self, method: str, target: str, headers: Mapping[str, str]) -> Message:
        raw_path, _, query = target.partition("?")
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "https",
            "path": unquote(raw_path),
            "raw_path": raw_path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(k.lower().encode(), v.encode()) for k, v in {**headers, **self._own}.items()],
            "client": ("127.0.0.1", 0),
            "server": ("127.0.0.1", 6443),
        }


async def _bodies(messages: asyncio.Queue[Message | None]) -> AsyncIterator[bytes]:
    while (message := await messages.get()) is not None:
        if body := message.get("body"):
            yield body


def _decoded(start: Message) -> dict[str, str]:
    return {bytes(name).decode().lower(): bytes(value).decode() for name, value in start.get("headers", ())}
