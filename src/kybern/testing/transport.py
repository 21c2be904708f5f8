"""Requests from inside the process to an App, without a socket or ASGI between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import unquote

from kybern.apiserver.app import App
from kybern.apiserver.request import Frame, Request, Response, UserInfo
from kybern.apiserver.request import Stream as Watch
from kybern.client.transport import Answer, Stream, Unreachable

_BUFFER = 1000
"""Frames a watch may be ahead of its reader before it counts as congested."""


class Tokens:
    """The authenticator of in-process callers: a secret of this process for each user."""

    def __init__(self, users: Mapping[str, UserInfo]) -> None:
        self._users = dict(users)

    async def authenticate(self, request: Request) -> UserInfo | None:
        """The user of a token; None for others' tokens."""
        return self._users.get(request.headers.get("authorization", "").removeprefix("Bearer "))


class AppTransport:
    """A client's way to an App. `token` proves who calls."""

    def __init__(self, app: App, token: str) -> None:
        self._app = app
        self._token = token
        self._closed = False

    async def send(self, method: str, target: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        response = await self._handle(method, target, headers, body or b"")
        content = response.body
        if not isinstance(content, bytes):
            content = b"".join([piece async for piece in content])
        return Answer(response.status, dict(response.headers), content)

    @asynccontextmanager
    async def open(self, target: str, headers: Mapping[str, str]) -> AsyncIterator[Stream]:
        response = await self._handle("GET", target, headers, b"")
        if isinstance(response, Watch):
            sink = _Sink(response)
            response.start(sink)
            try:
                yield Stream(response.status, dict(response.headers), sink.chunks())
            finally:
                sink.close()
        else:
            yield Stream(response.status, dict(response.headers), _pieces(response))

    async def close(self) -> None:
        self._closed = True

    async def _handle(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Response:
        if self._closed:
            raise Unreachable("the cluster is closed")
        path, _, query = target.partition("?")
        lower = {name.lower(): value for name, value in headers.items()}
        lower["authorization"] = f"Bearer {self._token}"
        return await self._app.handle(Request(method, unquote(path), query, lower, body, client=("127.0.0.1", 0)))


class _Sink:
    """Where a watch writes to: a queue that its reader empties."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._frames: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._open = True
        self.congested = False

    def write(self, frame: Frame) -> None:
        self._frames.put_nowait(frame.data)
        self.congested = self._frames.qsize() >= _BUFFER

    def finish(self) -> None:
        self._frames.put_nowait(None)

    async def chunks(self) -> AsyncIterator[bytes]:
        while (data := await self._frames.get()) is not None:
            yield data
            if self.congested and self._frames.empty():
                self.congested = False
                self._watch.resumed()

    def close(self) -> None:
        if self._open:
            self._open = False
            self._watch.closed()


async def _pieces(response: Response) -> AsyncIterator[bytes]:
    if isinstance(response.body, bytes):
        yield response.body
    else:
        async for piece in response.body:
            yield piece
