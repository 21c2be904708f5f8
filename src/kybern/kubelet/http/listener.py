"""HTTP/1.1 on accepted connections: parsing (httptools), keep-alive, chunked bodies, and handing over on an upgrade.

One request of a connection is answered at a time. While a streamed body is sent the connection is also read, so that a
client who leaves ends the work for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, unquote

import httptools

from kybern.kubelet.http.message import Answer, Request, Response, Upgrade
from kybern.process.daemon import OperatorError, reason
from kybern.streaming.pipes import CHUNK, Reader

log = logging.getLogger(__name__)

Handler = Callable[[Request], Awaitable[Answer]]

IDLE_SECONDS = 120.0
"""How long a connection may be silent between requests, or a request take to arrive."""
KEEPALIVE_SECONDS = 60
"""An upgraded connection that has been silent this long is probed."""
MAX_HEAD = 64 << 10
MAX_BODY = 1 << 20


class _TooLarge(Exception):
    """More than the limits allow."""


class _Parser:
    """Collects requests; the methods named on_* are called by httptools."""

    def __init__(self, certificate: bytes | None) -> None:
        self.requests: deque[tuple[Request, bool]] = deque()
        """With whether the connection may be kept after it."""
        self._certificate = certificate
        self._parser: Any = httptools.HttpRequestParser(self)
        self._url, self._headers, self._head, self._body = b"", dict[str, str](), 0, 0

    def feed(self, data: bytes) -> bytes | None:
        """What follows the head of a request for an upgrade, else None. Raises HttpParserError, _TooLarge."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return data[upgrade.args[0] :]
        except httptools.HttpParserCallbackError as error:
            raise error.__context__ or error from None
        return None

    def on_message_begin(self) -> None:
        self._url, self._headers, self._head, self._body = b"", {}, 0, 0

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._measure(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self._headers[key] = f"{self._headers[key]}, {text}" if key in self._headers else text
        self._measure(len(name) + len(value))

    def _measure(self, size: int) -> None:
        self._head += size
        if self._head > MAX_HEAD:
            raise _TooLarge

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        if self._body > MAX_BODY:
            raise _TooLarge

    def on_message_complete(self) -> None:
        url = httptools.parse_url(self._url)
        request = Request(
            self._parser.get_method().decode("latin-1"),
            unquote((url.path or b"/").decode("latin-1")),
            parse_qs((url.query or b"").decode("latin-1"), keep_blank_values=True),
            self._headers,
            self._certificate,
        )
        self.requests.append((request, self._parser.should_keep_alive()))


class _Resumed:
    """A Reader that first gives what had been read too much."""

    def __init__(self, first: bytes, reader: asyncio.StreamReader) -> None:
        self._first, self._reader = first, reader

    async def read(self, n: int = -1, /) -> bytes:
        if self._first and n:
            size = n if n > 0 else len(self._first)
            taken, self._first = self._first[:size], self._first[size:]
            return taken
        return await self._reader.read(n)


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler) -> None:
        self._reader, self._writer, self._handler = reader, writer, handler
        tls = writer.get_extra_info("ssl_object")
        self._parser = _Parser(tls.getpeercert(True) if tls is not None else None)
        self._upgrading: bytes | None = None

    async def run(self) -> None:
        """Answer requests until either side has had enough."""
        try:
            while (got := await self._next()) is not None:
                request, keep = got
                answer = await self._handler(request)
                if isinstance(answer, Upgrade):
                    await self._hand_over(answer)
                    return
                keep = keep and self._upgrading is None
                if not await self._send(request, answer, keep) or not keep:
                    return
        except _TooLarge:
            self._writer.write(_head(431, [("connection", "close")]) + b"\r\n")
        except (httptools.HttpParserError, httptools.HttpParserInvalidURLError, UnicodeError):
            self._writer.write(_head(400, [("connection", "close")]) + b"\r\n")

    async def _next(self) -> tuple[Request, bool] | None:
        """The next request; None when there is none."""
        while not self._parser.requests:
            async with asyncio.timeout(IDLE_SECONDS):
                data = await self._reader.read(CHUNK)
            if not data:
                return None
            self._upgrading = self._parser.feed(data)
        return self._parser.requests.popleft()

    async def _send(self, request: Request, answer: Response, keep: bool) -> bool:
        """Whether the client got all of it and is still there."""
        headers = [("content-type", answer.content_type), *answer.headers]
        if not keep:
            headers.append(("connection", "close"))
        if isinstance(answer.body, bytes):
            headers.append(("content-length", str(len(answer.body))))
            body = b"" if request.method == "HEAD" else answer.body
            self._writer.write(_head(answer.status, headers) + b"\r\n" + body)
            await self._writer.drain()
            return True
        headers.append(("transfer-encoding", "chunked"))
        self._writer.write(_head(answer.status, headers) + b"\r\n")
        sending = asyncio.ensure_future(self._send_chunks(answer.body))
        reading = asyncio.ensure_future(self._reader.read(CHUNK))
        try:
            await asyncio.wait((sending, reading), return_when=asyncio.FIRST_COMPLETED)
            if reading.done() and (early := reading.result()):
                self._upgrading = self._parser.feed(early)
                await sending
            return sending.done() and sending.exception() is None
        finally:
            for task in (sending, reading):
                task.cancel()
            error, _ = await asyncio.gather(sending, reading, return_exceptions=True)
            if isinstance(error, Exception) and not isinstance(error, ConnectionError):
                log.error("sending %s", request.path, exc_info=error)

    async def _send_chunks(self, body: AsyncIterator[bytes]) -> None:
        try:
            async for piece in body:
                if piece:
                    self._writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    await self._writer.drain()
            self._writer.write(b"0\r\n\r\n")
            await self._writer.drain()
        finally:
            if close := getattr(body, "aclose", None):
                await close()

    async def _hand_over(self, answer: Upgrade) -> None:
        self._writer.write(_head(101, answer.headers) + b"\r\n")
        connected = self._writer.get_extra_info("socket")
        if connected is not None:  # who vanished must not stay
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_SECONDS)
        reader: Reader = _Resumed(self._upgrading, self._reader) if self._upgrading else self._reader
        await answer.handler(reader, self._writer)


def _head(status: int, headers: list[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    # A line break in a value would end the header.
    lines += [f"{name}: {value.translate({10: ' ', 13: ' '})}" for name, value in headers]
    return "\r\n".join([*lines, ""]).encode("latin-1", "replace")


class Listener:
    """Listens for a handler. `start`, then `close`."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int, tls: ssl.SSLContext) -> int:
        """Listen; gives the port. Raises OperatorError."""
        try:
            self._server = await asyncio.start_server(self._serve, host, port, ssl=tls)
        except OSError as error:
            why = f"can't listen on {host}:{port}: {reason(error)}; choose another --address or --port"
            raise OperatorError(why) from error
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and cut what is still open. Idempotent."""
        if self._server:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                await _Connection(reader, writer, self._handler).run()
        finally:
            self._tasks.discard(task)
            writer.close()
