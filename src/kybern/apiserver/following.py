"""Noticing the end of an answer that takes its time: a watch, a body in pieces, a connection that is handed over."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

from kybern.apiserver.request import Frame, Response, Sink, Stream, Upgrade

Over = Callable[[], None]


def followed(response: Response, over: Over) -> Response:
    """What is to be sent in place of `response`, whose body isn't bytes: the same, and `over` is called once it has
    ended, well or badly."""
    if isinstance(response, Followed):
        response.over.append(over)
        return response
    if isinstance(response, Stream):
        return Followed(response, over)
    if isinstance(response, Upgrade):
        return Upgrade(_until_end(response.handler, over), response.headers, response.status)
    if not isinstance(response.body, bytes):
        response.body = _told(response.body, over)
    return response


class Followed(Stream):
    """A stream whose end is told of."""

    __slots__ = ("_stream", "over")

    def __init__(self, stream: Stream, over: Over) -> None:
        super().__init__()
        self.headers = stream.headers
        self.status = stream.status
        self.over = [over]
        self._stream = stream

    def start(self, sink: Sink) -> None:
        self._stream.start(_Finishing(sink, self._end))

    def resumed(self) -> None:
        self._stream.resumed()

    def closed(self) -> None:
        self._stream.closed()
        self._end()

    def _end(self) -> None:
        told, self.over = self.over, []
        for over in told:
            over()


class _Finishing:
    """A sink that also tells of the end."""

    __slots__ = ("_end", "_sink", "write")

    def __init__(self, sink: Sink, end: Over) -> None:
        self._sink, self._end = sink, end
        self.write: Callable[[Frame], None] = sink.write

    @property
    def congested(self) -> bool:
        return self._sink.congested

    def finish(self) -> None:
        self._end()
        self._sink.finish()


async def _told(body: AsyncIterator[bytes], over: Over) -> AsyncIterator[bytes]:
    try:
        async for piece in body:
            yield piece
    finally:
        if isinstance(body, AsyncGenerator):
            await body.aclose()
        over()


def _until_end(handler: Callable[[Any, Any], Awaitable[None]], over: Over) -> Callable[[Any, Any], Awaitable[None]]:
    async def serve(reader: Any, writer: Any) -> None:
        try:
            await handler(reader, writer)
        finally:
            over()

    return serve
