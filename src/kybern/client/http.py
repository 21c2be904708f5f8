"""HTTP/1.1 to one server: connections kept and used again, bodies whole or as they come, both ways.

Parsing is httptools'. One request at a time is on a connection; a connection whose answer was not read to its end, or
whose request was not sent to its end, is closed rather than used again.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httptools

from kybern.process.clock import monotonic
from kybern.process.dialing import Dial, straight

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 60.0
"""How long an unused connection is kept; a server that closes sooner is noticed."""
_HIGH_WATER = 1 << 20
"""Bytes of a streamed answer that wait for their reader before the server is held back."""
_MAX_HEAD = 1 << 20
"""Bytes of the longest head of an answer."""
_BODILESS = frozenset((204, 304))
_ONLY_READ = frozenset(("GET", "HEAD", "OPTIONS"))
_WITHOUT_BODY = frozenset(("DELETE", "GET", "HEAD", "OPTIONS"))

Headers = Mapping[str, str] | Iterable[tuple[str, str]]


class Pieces(NamedTuple):
    """A request's body that comes piece by piece; `length` in bytes, None where it isn't known. Where the iterator
    raises ConnectionError the connection ends, as there is no other way to say that the rest won't come."""

    pieces: AsyncIterator[bytes]
    length: int | None


class Incomplete(ConnectionError):
    """The server closed before its answer was whole."""

    def __init__(self, *, nothing: bool) -> None:
        super().__init__("the connection was closed")
        self.nothing = nothing
        """Whether not even the beginning of an answer had come."""


class Connection(asyncio.Protocol):
    """One connection and the answer that is on it."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.used = 0.0
        self.status = 0
        self.pairs: list[tuple[str, str]] = []
        """The answer's headers, names in lower case, in order, repeated ones kept."""
        self.trailers: list[tuple[str, str]] = []
        """What followed the body, once all is read."""
        self.keep = True
        self.done = True
        self._loop = asyncio.get_running_loop()
        self._parser: Any = None
        self._head: asyncio.Future[None] | None = None
        self._more: asyncio.Future[None] | None = None
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._lost: BaseException | None = None
        self._bodiless = False
        self._size_of_head = 0
        self._sending: asyncio.Task[None] | None = None
        self._full = False
        self._drained: asyncio.Future[None] | None = None

    @property
    def usable(self) -> bool:
        sent = self._sending is None or self._sending.done()
        return self.done and sent and self.keep and self._lost is None and not self.transport.is_closing()

    @property
    def unread(self) -> bool:
        """Whether some of what has come of the body is still to be read."""
        return bool(self._parts)

    @property
    def headers(self) -> dict[str, str]:
        """The answer's headers; of a repeated one the last."""
        return dict(self.pairs)

    async def ask(self, request: bytes, body: Pieces | None = None, *, bodiless: bool = False) -> None:
        """Send a request; returns when the head of the answer is there, and the body may still be on its way. The
        answer has no body where it is `bodiless`. Raises OSError."""
        if self._lost:
            raise Incomplete(nothing=True)
        self._parser = httptools.HttpResponseParser(self)
        self.status, self.pairs, self.trailers, self.done = 0, [], [], False
        self._bodiless, self._size_of_head = bodiless, 0
        self._head = self._loop.create_future()
        self.transport.write(request)
        self._sending = None if body is None else self._loop.create_task(self._send(body))
        await self._head

    async def _send(self, body: Pieces) -> None:
        try:
            async for piece in body.pieces:
                if self._lost:
                    return
                self.transport.write(piece if body.length is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
                if self._full:
                    self._drained = self._loop.create_future()
                    await self._drained
            if body.length is None:
                self.transport.write(b"0\r\n\r\n")
        except ConnectionError:
            self.transport.close()

    async def read(self) -> bytes:
        """What has come of the body, b"" at its end. Raises OSError."""
        while not self._parts:
            if self.done:
                return b""
            if self._lost:
                raise self._lost
            self._more = self._loop.create_future()
            await self._more
        parts = b"".join(self._parts) if len(self._parts) > 1 else self._parts[0]
        self._parts.clear()
        self._size = 0
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        return parts

    async def parts(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises OSError."""
        while part := await self.read():
            yield part

    def close(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
        self.transport.close()

    # What asyncio calls.

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        if self._drained and not self._drained.done():
            self._drained.set_result(None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            # Nobody asked: whatever it is, it ends here.
            self.transport.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ConnectionError(f"the answer is not HTTP: {error}"))
            self.transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        if self._parser is not None and not self.done and self.status and self._ends_with_connection():
            self.on_message_complete()
        self._fail(error or Incomplete(nothing=not self.status))

    def _ends_with_connection(self) -> bool:
        headers = self.headers
        return "content-length" not in headers and "transfer-encoding" not in headers

    def _fail(self, error: BaseException) -> None:
        self._lost = self._lost or error
        self.resume_writing()
        if self._head and not self._head.done():
            self._head.set_exception(self._lost)
        self._wake()

    def _wake(self) -> None:
        if self._more and not self._more.done():
            self._more.set_result(None)

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self._size_of_head += len(name) + len(value)
        if self._size_of_head > _MAX_HEAD:
            raise ValueError("the answer's head is too long")
        (self.trailers if self.status else self.pairs).append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self.pairs = []
            return
        self.status = status
        if self._head and not self._head.done():
            self._head.set_result(None)
        if self._bodiless or status in _BODILESS:
            self.on_message_complete()

    def on_body(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size > _HIGH_WATER and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        if not self.status or self.done:
            return  # the end of an interim answer, or of one that has no body
        self.keep = bool(self._parser.should_keep_alive())
        self.done = True
        self._parser = None
        self._wake()


class Pool:
    """Connections to one server, e.g. `https://10.0.0.1:6443`. `dial` gives the host and port to connect to where the
    server's name doesn't lead there, `server_name` is whom to expect, `through` how to connect; `repeats`: it does no
    harm to ask twice."""

    def __init__(
        self,
        server: str,
        tls: ssl.SSLContext | None,
        *,
        dial: Callable[[], Awaitable[tuple[str, int]]] | None = None,
        server_name: str = "",
        through: Dial = straight,
        repeats: bool = False,
    ) -> None:
        self._dial, self._server_name, self._through, self._repeats = dial, server_name or None, through, repeats
        parts = urlsplit(server)
        self._host, self._secure = parts.hostname or "", parts.scheme == "https"
        self._port = parts.port or (443 if self._secure else 80)
        self._tls = tls
        self._path = parts.path.rstrip("/")
        self._netloc = parts.netloc.rpartition("@")[2]
        self.dialled: tuple[str, int] = (self._host, self._port)
        """Where the latest connection was made to, or tried."""
        self._idle: list[Connection] = []
        self._busy: set[Connection] = set()

    @asynccontextmanager
    async def request(
        self, method: str, target: str, headers: Headers, body: bytes | None
    ) -> AsyncIterator[Connection]:
        """Send and give the connection with the head of the answer on it. Raises OSError, TimeoutError."""
        connection = await self.ask(method, target, headers, body)
        try:
            yield connection
        finally:
            self.give_back(connection)

    async def ask(self, method: str, target: str, headers: Headers, body: bytes | Pieces | None) -> Connection:
        """The same, for whoever gives the connection back by hand. Raises OSError, TimeoutError."""
        text = self._text(method, target, headers, body)
        pieces = body if isinstance(body, Pieces) else None
        again = pieces is None and (self._repeats or method in _ONLY_READ)
        return await self._asked(text, pieces, again=again, bodiless=method == "HEAD")

    def give_back(self, connection: Connection) -> None:
        """The answer is read, or not wanted any more."""
        self._busy.discard(connection)
        if connection.usable:
            connection.used = monotonic()
            self._idle.append(connection)
        else:
            connection.close()

    def sweep(self) -> bool:
        """Close what was not used for long; gives whether any connection is left."""
        now = monotonic()
        for connection in self._idle:
            if not connection.usable or now - connection.used >= IDLE_SECONDS:
                connection.close()
        self._idle = [one for one in self._idle if one.usable]
        return bool(self._idle or self._busy)

    async def _asked(self, text: bytes, body: Pieces | None, *, again: bool, bodiless: bool) -> Connection:
        """A connection that has answered. A kept one may turn out closed: where asking twice does no harm, and where
        the server can't have seen the request, it is asked on a new one."""
        while True:
            connection = self._kept()
            kept = connection is not None
            if connection is None:
                connection = await self._connect()
            self._busy.add(connection)
            try:
                await connection.ask(text, body, bodiless=bodiless)
                return connection
            except BaseException as error:
                self._busy.discard(connection)
                connection.close()
                if not (kept and again and isinstance(error, OSError) and not connection.status):
                    raise

    def _kept(self) -> Connection | None:
        now = monotonic()
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and now - connection.used < IDLE_SECONDS:
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        context: ssl.SSLContext | None = None
        if self._secure:
            self._tls = context = self._tls or ssl.create_default_context()
        async with asyncio.timeout(CONNECT_SECONDS):
            if self._dial is not None:
                self.dialled = await self._dial()
            host, port = self.dialled
            _, connection = await self._through(Connection, host, port, context, self._server_name)
        return connection

    def _text(self, method: str, target: str, headers: Headers, body: bytes | Pieces | None) -> bytes:
        lines = [f"{method} {self._path}{target} HTTP/1.1", f"Host: {self._netloc}"]
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        lines += [f"{name}: {value}" for name, value in pairs]
        content = b""
        if isinstance(body, Pieces):
            lines.append("Transfer-Encoding: chunked" if body.length is None else f"Content-Length: {body.length}")
        elif body is not None or method not in _WITHOUT_BODY:
            content = body or b""
            lines.append(f"Content-Length: {len(content)}")
        if any("\n" in line or "\r" in line for line in lines):
            raise ValueError("a target or header with a line break in it")
        return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + content

    def close(self) -> None:
        """Close all connections; what is on them fails."""
        for connection in (*self._idle, *self._busy):
            connection.close()
        self._idle.clear()
