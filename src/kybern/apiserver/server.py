"""The listener: HTTP/1.1 over TCP or TLS, straight onto `App.handle`, with nothing generic in between.

It owns what a connection needs: parsing (httptools), keep-alive, pipelining (answered one at a time, in order), chunked
bodies, limits, back-pressure, watches, and handing the connection over on an upgrade.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import httptools

from kybern.api.errors import BadRequest, RequestTooLarge
from kybern.apiserver import deadline, dispatch, wire
from kybern.apiserver.app import App
from kybern.apiserver.arriving import KEPT, Arriving
from kybern.apiserver.dispatch import LONG_RUNNING
from kybern.apiserver.limits import MAX_BODY, MAX_HEADERS, MAX_PIPELINED
from kybern.apiserver.pools import BODILESS, Passed
from kybern.apiserver.request import Frame, Request, Response, Stream, Upgrade, status_response
from kybern.process.clock import monotonic

log = logging.getLogger(__name__)

HEADER_SECONDS = 32.0
"""A request must be complete this long after its first byte."""
IDLE_SECONDS = 180.0
STUCK_SECONDS = 60.0
"""Who takes in nothing for so long is dropped, with all that was kept to be sent."""
SWEEP_SECONDS = 5.0
KEEPALIVE_SECONDS = 60
"""An upgraded connection that has been silent this long is probed."""
WRITE_HIGH = 512 * 1024
"""Unsent bytes of a connection from which on its writers wait."""


class Connection(asyncio.Protocol):
    """One client connection, and the Sink of its streams."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._app = server.app
        self._loop = server.loop
        self._parser: Any = None
        self._transport: Any = None
        self._queue: deque[Request] = deque()
        self._task: asyncio.Task[None] | None = None
        self._stream: Stream | None = None
        self._upgraded: bytes | None = None
        self._peer: bytes | None = None
        self._chain: tuple[bytes, ...] = ()
        self._client = ("", 0)
        self._closing = False
        self._keep_alive = True
        self._sending_body = False
        self._drained: asyncio.Future[None] | None = None
        self.congested = False
        self._congested_since = 0.0
        self._request: Request | None = None
        """What is being answered, until its answer begins."""
        self._sent: Request | None = None
        """What is being answered, while its answer is sent piece by piece."""
        self._late = False
        """Whether it was answered as having taken too long."""
        self.since = monotonic()
        """When the current request began to arrive or to be served, or the last one was answered."""
        self._url = b""
        self._headers: dict[str, str] = {}
        self._repeated: dict[str, list[str]] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._arriving = self._headed = False
        self._refused: Response | None = None
        self._incoming: Arriving | None = None
        """The body that is passed on as it comes."""

    def __del__(self) -> None:
        if self._transport is None and not self._server.closing:
            self._app.handshake_errors += 1

    # From the transport.

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._parser = httptools.HttpRequestParser(self)
        if self._server.closing:
            # It was on its way when the server began to end: as if it had come too late.
            self._closing = True
            transport.abort()
            return
        transport.set_write_buffer_limits(high=WRITE_HIGH)
        peer = transport.get_extra_info("peername")
        if peer:
            self._client = (peer[0], peer[1]) if isinstance(peer, tuple) else (str(peer), 0)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._peer = tls.getpeercert(True)
            if self._peer is not None and self._server.chain_of is not None:
                self._chain = self._server.chain_of(tls)
        self._server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgraded = data[upgrade.args[0] :]
            self._transport.pause_reading()
        except httptools.HttpParserError:
            self._refuse(wire.MALFORMED)

    def pause_writing(self) -> None:
        self.congested = True
        self._congested_since = monotonic()

    def resume_writing(self) -> None:
        self.congested = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self._stream is not None:
            self._stream.resumed()

    def connection_lost(self, error: Exception | None) -> None:
        self._closing = True
        self._parser = None  # it knows us: what hangs on us, TLS's buffers above all, would wait for the collector
        self._server.connections.discard(self)
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.closed()
        if self._sending_body and self._task is not None:
            self._task.cancel()
        if self._request is not None and self._request.ticket is not None:
            self._request.ticket.abandon()
        if self._drained is not None and not self._drained.done():
            self._drained.set_exception(ConnectionResetError("client is gone"))
        if self._incoming is not None:
            self._incoming.lose()

    # From the parser.

    def on_message_begin(self) -> None:
        self._url, self._headers, self._repeated, self._body, self._size = b"", {}, {}, [], 0
        self._refused = self._incoming = None
        self._arriving, self._headed = True, False
        if self._task is None:
            self.since = monotonic()

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._measure(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._measure(len(name) + len(value))
        if self._headed:
            return  # what follows a chunked body is no header
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers = self._headers
        if key in headers:
            self._repeated.setdefault(key, [headers[key]]).append(text)
            text = f"{headers[key]}, {text}"
        headers[key] = text

    def _measure(self, size: int) -> None:
        self._size += size
        if self._size > MAX_HEADERS:
            self._refuse(wire.HEADERS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        self._size = 0
        self._headed = True
        length = self._headers.get("content-length", "")
        long = int(length) > KEPT if length else "transfer-encoding" in self._headers
        if long and dispatch.passed_on(self._app, self._url):
            self._begin_body(int(length) if length else None)
        elif long and length and int(length) > MAX_BODY:
            self._refused = _too_large()
            self._finish_message(complete=False)
        elif self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(wire.CONTINUE)

    def on_body(self, body: bytes) -> None:
        if self._incoming is not None:
            self._incoming.feed(body)
            return
        self._size += len(body)
        if self._size <= MAX_BODY:
            self._body.append(body)
        elif self._refused is None:
            self._refused = _too_large()
            self._finish_message(complete=False)

    def on_message_complete(self) -> None:
        if self._incoming is not None:
            self._incoming.finish()
        elif self._refused is None:
            self._finish_message(complete=True)

    def _begin_body(self, length: int | None) -> None:
        """Answer a request whose body goes on arriving."""
        if self._headers.get("expect", "").lower() == "100-continue":
            self._transport.write(wire.CONTINUE)
        self._incoming = Arriving(length, self._transport.pause_reading, self._transport.resume_reading)
        self._finish_message(complete=True)

    def _finish_message(self, *, complete: bool) -> None:
        """Queue what has arrived. One that is refused is answered without reading on, and ends the connection."""
        self._arriving = False
        if self._closing:
            return
        method = self._parser.get_method().decode("latin-1")
        try:
            url = httptools.parse_url(self._url)
            path = url.path.decode("latin-1") if url.path else "/"
            query = url.query.decode("latin-1") if url.query else ""
            path = unquote(path, errors="strict") if "%" in path else path
        except (httptools.HttpParserInvalidURLError, UnicodeError):
            path, query, self._refused = "/", "", status_response(BadRequest("the request's path is malformed"))
        body = b"".join(self._body) if len(self._body) != 1 else self._body[0]
        request = Request(method, path, query, self._headers, body, self._peer, self._client)
        request.peer_chain, request.repeated = self._chain, self._repeated
        request.arriving = self._incoming
        self._body = []
        if self._refused is not None or not self._parser.should_keep_alive():
            self._keep_alive = False
        self._queue.append(request)
        if len(self._queue) >= MAX_PIPELINED or not complete:
            self._transport.pause_reading()
        self._next()

    def _next(self) -> None:
        if self._task is None and self._stream is None and self._queue and not self._transport.is_closing():
            self._task = self._loop.create_task(self._serve(self._queue.popleft()))

    # Answering.

    async def _serve(self, request: Request) -> None:
        last = not self._queue and not self._keep_alive
        self._request, self.since = request, monotonic()
        try:
            refused = self._refused if last else None
            response = refused or await self._app.handle(request)
            self._request = None
            last = last or (request.arriving is not None and not request.arriving.ended) or self._server.turning_away
            if self._late:
                deadline.overdue(bad=response.status >= HTTPStatus.INTERNAL_SERVER_ERROR)
            if self._closing and not isinstance(response.body, bytes):
                await _discard(response)
                return
            if isinstance(response, Upgrade):
                await self._hand_over(response)
                return
            if isinstance(response, Stream):
                self._begin_stream(request, response, last)
                return
            await self._answer(request, response, last)
        except (ConnectionError, asyncio.CancelledError):
            self._transport.abort()
            return
        except Exception:
            log.exception("answering %s %s", request.method, request.path)
            self._transport.abort()
            return
        self._done(last)

    def _done(self, last: bool) -> None:
        """The current request is answered: on to the next, or close."""
        self._task = None
        self.since = monotonic()
        if last or self._upgraded is not None or self._server.closing:
            self._close()
            return
        if not self._queue and not self._closing:
            self._transport.resume_reading()
        self._next()

    async def _answer(self, request: Request, response: Response, last: bool) -> None:
        body = response.body
        if isinstance(body, bytes):
            head = wire.head(response.status, response.headers, len(body), close=last)
            self._transport.write(head if request.method == "HEAD" else head + body)
            if self.congested:
                await self._drain()
            return
        sized = response.status in BODILESS or any(name == "content-length" for name, _ in response.headers)
        self._transport.write(wire.head(response.status, response.headers, None, close=last, chunked=not sized))
        if request.method == "HEAD":
            return
        self._sending_body, self._sent = True, request
        try:
            async for part in body:
                if part:
                    self._transport.write(part if sized else b"%x\r\n%b\r\n" % (len(part), part))
                if self.congested:
                    await self._drain()
            if not sized:
                self._transport.write(wire.end(response.trailers) if isinstance(response, Passed) else wire.END)
        finally:
            self._sending_body, self._sent = False, None
            if isinstance(body, AsyncGenerator):
                await body.aclose()

    async def _drain(self) -> None:
        if self._closing:
            raise ConnectionResetError("client is gone")
        self._drained = self._loop.create_future()
        try:
            await self._drained
        finally:
            self._drained = None

    def _begin_stream(self, request: Request, response: Stream, last: bool) -> None:
        if self._closing or self._transport.is_closing():
            response.closed()
            return
        self._transport.write(wire.head(response.status, response.headers, None, close=last, chunked=True))
        self._task = None
        self._stream = response
        self._keep_alive = not last
        response.start(self)

    def write(self, frame: Frame) -> None:
        """Sink: a frame of the current stream."""
        self._transport.write(frame.chunk)

    def finish(self) -> None:
        """Sink: the current stream is over."""
        self._stream = None
        if self.congested:
            self._transport.abort()
            return
        self._transport.write(wire.END)
        self._done(not self._keep_alive)

    async def _hand_over(self, response: Upgrade) -> None:
        transport = self._transport
        transport.write(wire.head(response.status, response.headers, None, close=False, upgrade=True))
        reader = asyncio.StreamReader(limit=WRITE_HIGH, loop=self._loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self._loop)
        transport.set_protocol(protocol)
        self._parser = None
        protocol.connection_made(transport)
        self._server.connections.discard(self)
        if self._upgraded:
            reader.feed_data(self._upgraded)
        transport.resume_reading()
        writer = asyncio.StreamWriter(transport, protocol, reader, self._loop)
        connected = transport.get_extra_info("socket")
        if connected is not None and connected.family != socket.AF_UNIX:  # who vanished must not stay
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
        task = self._task
        assert task is not None
        self._server.handed_over.add(task)
        try:
            await response.handler(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            log.debug("upgraded connection ended: %s", error)
        except Exception:
            log.exception("upgraded connection")
        finally:
            self._server.handed_over.discard(task)
            transport.close()

    # Ending.

    def _refuse(self, answer: bytes) -> None:
        """Answer what can't be parsed, and close. Nothing is answered out of turn: earlier requests come first."""
        if self._closing:
            return
        if self._task is None and self._stream is None:
            self._transport.write(answer)
        self._close()

    def _close(self) -> None:
        self._closing = True
        self._transport.close()

    def shut(self) -> None:
        """The server ends: finish what is running, nothing new."""
        if self._stream is not None:
            stream, self._stream = self._stream, None
            stream.closed()
            self._transport.write(wire.END)
            self._close()
        elif self._task is None:
            self._close()

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._task is not None

    def sweep(self, now: float) -> None:
        """Close what has been silent, or deaf, for too long; answer what takes too long."""
        if self.congested:
            if now - self._congested_since > STUCK_SECONDS:
                log.info("%s takes nothing in, and is dropped", self._client[0])
                if self._sent is not None:
                    self._app.telemetry.aborted(self._sent)
                self._transport.abort()
            return
        limit = self._app.request_timeout
        if self._task is not None:
            request = self._request
            lasting = request is None or request.info.subresource in LONG_RUNNING
            if limit and not lasting and now - self.since > limit:
                self._answer_late()
        elif self._stream is None:
            if self._arriving and self._headed and limit:
                if now - self.since > limit:
                    self._answer_late()
            elif now - self.since > (HEADER_SECONDS if self._arriving else IDLE_SECONDS):
                self._close()

    def _answer_late(self) -> None:
        """Say that it took too long, and close. What was begun goes on, but nobody hears of it."""
        self._late, response = True, deadline.too_late()
        if self._request is not None:
            self._app.telemetry.terminated(self._request, response.status)
        assert isinstance(response.body, bytes)
        head = wire.head(response.status, response.headers, len(response.body), close=True)
        self._transport.write(head + response.body)
        self._close()


async def _discard(response: Response) -> None:
    """Nobody is there to take the answer: let go of what it holds."""
    if isinstance(response, Stream):
        response.closed()
    elif isinstance(response.body, AsyncGenerator):
        with contextlib.suppress(StopAsyncIteration):
            await anext(response.body)  # one that never began would not notice its end
        await response.body.aclose()


def _too_large() -> Response:
    return status_response(RequestTooLarge(f"Request entity too large: limit is {MAX_BODY}"))


class Server:
    """Listens for an App. `start`, then `close`."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.loop = asyncio.get_running_loop()
        self.connections: set[Connection] = set()
        self.handed_over: set[asyncio.Task[None]] = set()
        """The tasks of upgraded connections: nothing else holds on to them, as the loop's references are weak."""
        self.ending = self.closing = False
        """Whether it is about to close, and whether it does."""
        self.chain_of: Callable[[ssl.SSLObject], tuple[bytes, ...]] | None = None
        """How to know who vouches for a client, where that matters."""
        self.shares_port = False
        """Whether others may listen on the same port (--permit-port-sharing)."""
        self._server: asyncio.base_events.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen; gives the port. Raises OSError."""
        self._server = await self.loop.create_server(
            lambda: Connection(self), host, port, ssl=tls, backlog=1024, reuse_address=True,
            reuse_port=self.shares_port or None,
        )  # fmt: skip
        self._sweep()
        return int(self._server.sockets[0].getsockname()[1])

    def _sweep(self) -> None:
        now = monotonic()
        for connection in list(self.connections):
            connection.sweep(now)
        self._sweeper = self.loop.call_later(SWEEP_SECONDS, self._sweep)

    async def linger(self, seconds: float) -> None:
        """Say that it is about to close, for whoever sends requests here to send them elsewhere."""
        self.ending = True
        await asyncio.sleep(seconds)

    @property
    def turning_away(self) -> bool:
        """Whether requests are answered with leave to come back later, and connections then closed."""
        return self.app.edge is not None and self.app.edge.ending

    async def turn_away(self, seconds: float) -> None:
        """Have those who come go elsewhere until what is running has ended, at most so long."""
        if self.app.edge is not None:
            self.app.edge.ending = True
        end = monotonic() + seconds
        while monotonic() < end and any(connection.busy for connection in self.connections):
            await asyncio.sleep(0.02)

    async def close(self, grace: float = 5.0) -> None:
        """Stop listening, let running requests finish for `grace` seconds, end watches."""
        self.ending = self.closing = True
        if self._sweeper:
            self._sweeper.cancel()
        if self._server:
            self._server.close()
        for connection in list(self.connections):
            connection.shut()
        end = monotonic() + grace
        while monotonic() < end and any(connection.busy for connection in self.connections):
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection._transport.abort()
        for task in list(self.handed_over):
            task.cancel()
        await asyncio.gather(*self.handed_over, return_exceptions=True)
