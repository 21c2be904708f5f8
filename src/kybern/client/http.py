"""HTTP/1.1 to one server: connections kept and used again, answers whole or as they come.

Parsing is httptools'. One request at a time is on a connection; a connection whose answer was not read to its end is
closed rather than used again.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httptools

from kybern.process.clock import monotonic

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 60.0
"""How long an unused connection is kept; a server that closes sooner is noticed."""
_HIGH_WATER = 1 << 20
"""Bytes of a streamed answer that wait for their reader before the server is held back."""


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
        self.headers: dict[str, str] = {}
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

    @property
    def usable(self) -> bool:
        return self.done and self.keep and self._lost is None and not self.transport.is_closing()

    async def ask(self, request: bytes) -> None:
        """Send a request; returns when the head of the answer is there. Raises OSError."""
        if self._lost:
            raise Incomplete(nothing=True)
        self._parser = httptools.HttpResponseParser(self)
        self.status, self.headers, self.done = 0, {}, False
        self._head = self._loop.create_future()
        self.transport.write(request)
        await self._head

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
        self.transport.close()

    # What asyncio calls.

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
        return "content-length" not in self.headers and "transfer-encoding" not in self.headers

    def _fail(self, error: BaseException) -> None:
        self._lost = self._lost or error
        if self._head and not self._head.done():
            self._head.set_exception(self._lost)
        self._wake()

    def _wake(self) -> None:
        if self._more and not self._more.done():
            self._more.set_result(None)

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self.headers = {}
            return
        self.status = status
        if self._head and not self._head.done():
            self._head.set_result(None)

    def on_body(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._size > _HIGH_WATER and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        if not self.status:
            return  # the end of an interim answer
        self.keep = bool(self._parser.should_keep_alive())
        self.done = True
        self._parser = None
        self._wake()


class Pool:
    """Connections to one server, e.g. `https://10.0.0.1:6443`. `dial` gives the host and port to connect to where the
    server's name doesn't lead there, `server_name` is whom to expect; `repeats`: it does no harm to ask twice."""

    def __init__(
        self,
        server: str,
        tls: ssl.SSLContext | None,
        *,
        dial: Callable[[], Awaitable[tuple[str, int]]] | None = None,
        server_name: str = "",
        repeats: bool = False,
    ) -> None:
        self._dial, self._server_name, self._repeats = dial, server_name or None, repeats
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
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> AsyncIterator[Connection]:
        """Send and give the connection with the head of the answer on it. Raises OSError, TimeoutError."""
        text = self._text(method, target, headers, body)
        connection = await self._asked(text, again=self._repeats or method == "GET")
        try:
            yield connection
        finally:
            self._busy.discard(connection)
            if connection.usable:
                connection.used = monotonic()
                self._idle.append(connection)
            else:
                connection.close()

    async def _asked(self, text: bytes, *, again: bool) -> Connection:
        """A connection that has answered. A kept one may turn out closed: where asking twice does no harm, and where
        the server can't have seen the request, it is asked on a new one."""
        while True:
            connection = self._kept()
            kept = connection is not None
            if connection is None:
                connection = await self._connect()
            self._busy.add(connection)
            try:
                await connection.ask(text)
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
        loop = asyncio.get_running_loop()
        context: ssl.SSLContext | None = None
        if self._secure:
            self._tls = context = self._tls or ssl.create_default_context()
        async with asyncio.timeout(CONNECT_SECONDS):
            if self._dial is not None:
                self.dialled = await self._dial()
            host, port = self.dialled
            name = self._server_name if context is not None else None
            _, connection = await loop.create_connection(Connection, host, port, ssl=context, server_hostname=name)
        return connection

    def _text(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
        lines = [f"{method} {self._path}{target} HTTP/1.1", f"Host: {self._netloc}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body is not None or method not in ("GET", "HEAD", "DELETE"):
            lines.append(f"Content-Length: {len(body or b'')}")
        if any("\n" in line or "\r" in line for line in lines):
            raise ValueError("a target or header with a line break in it")
        return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + (body or b"")

    def close(self) -> None:
        """Close all connections; what is on them fails."""
        for connection in (*self._idle, *self._busy):
            connection.close()
        self._idle.clear()
