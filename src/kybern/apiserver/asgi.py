"""The App as ASGI: for tests and in-process clients, which need no socket. Upgrades need the listener."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from kybern.api.errors import RequestTooLarge
from kybern.apiserver.limits import MAX_BODY
from kybern.apiserver.request import Frame, Request, Response, Stream, Upgrade, status_response

if TYPE_CHECKING:
    from kybern.apiserver.app import App

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_OWED = 256
"""Frames a stream may be ahead of its client before it counts as congested."""


async def serve(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """One ASGI connection: an HTTP request, or the lifespan protocol, which has nothing to say here."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    headers: dict[str, str] = {}
    repeated: dict[str, list[str]] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        if name in headers:
            repeated.setdefault(name, [headers[name]]).append(value)
            value = f"{headers[name]}, {value}"
        headers[name] = value
    request = Request(
        scope["method"], scope["path"], scope.get("query_string", b"").decode("latin-1"), headers,
        client=tuple(scope.get("client") or ("", 0)),
    )  # fmt: skip
    request.repeated = repeated
    body = await _body(receive)
    if body is None:
        response = status_response(RequestTooLarge(f"Request entity too large: limit is {MAX_BODY}"))
    else:
        request.body = body
        response = await app.handle(request)
    await _answer(response, request, receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _body(receive: Receive) -> bytes | None:
    """The body, or None if it is too large."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        part = message.get("body", b"")
        size += len(part)
        parts.append(part)
        if size > MAX_BODY:
            return None
        if not message.get("more_body"):
            return b"".join(parts)


async def _answer(response: Response, request: Request, receive: Receive, send: Send) -> None:
    if isinstance(response, Upgrade):
        response = Response(501, b"upgrades need a connection of their own\n", "text/plain")
    headers = [(name.encode(), value.encode("utf-8")) for name, value in response.headers]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    if isinstance(response, Stream):
        await _stream(response, receive, send)
        return
    if isinstance(response.body, bytes):
        body = b"" if request.method == "HEAD" else response.body
        await send({"type": "http.response.body", "body": body})
        return
    async for part in response.body:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


class _Queue:
    """The Sink of a stream over ASGI."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[Frame | None] = asyncio.Queue()

    @property
    def congested(self) -> bool:
        return self.frames.qsize() >= MAX_OWED

    def write(self, frame: Frame) -> None:
        self.frames.put_nowait(frame)

    def finish(self) -> None:
        self.frames.put_nowait(None)


async def _stream(response: Stream, receive: Receive, send: Send) -> None:
    sink = _Queue()
    response.start(sink)
    gone = asyncio.ensure_future(_disconnected(receive, sink))
    try:
        while True:
            was_congested = sink.congested
            frame = await sink.frames.get()
            if frame is None:
                break
            await send({"type": "http.response.body", "body": frame.data, "more_body": True})
            if was_congested and not sink.congested:
                response.resumed()
        if not gone.done():
            await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()
        response.closed()


async def _disconnected(receive: Receive, sink: _Queue) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    sink.finish()
