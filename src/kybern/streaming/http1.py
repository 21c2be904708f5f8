"""A request over a connection of its own, in HTTP/1.1, its answer read as it comes: for proxying and upgrading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from ssl import SSLContext
from typing import NamedTuple
from urllib.parse import urlsplit

from kybern.streaming.pipes import CHUNK

HEAD_LIMIT = 64 << 10
"""Bytes of the longest head accepted."""
CONNECT_TIMEOUT = 30.0

Headers = list[tuple[str, str]]


class Body(NamedTuple):
    """A request's body that comes piece by piece; `length` in bytes, None where it isn't known."""

    pieces: AsyncIterator[bytes]
    length: int | None


class Answer(NamedTuple):
    """A response whose body has not been read. Header names are in lower case, in order, repeated ones kept."""

    status: int
    headers: Headers
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def header(self, name: str) -> str:
        """A header's value, repeated ones joined; "" if absent."""
        return ", ".join(value for key, value in self.headers if key == name)


async def send(
    url: str,
    *,
    ssl: SSLContext | None = None,
    method: str = "GET",
    headers: Iterable[tuple[str, str]] = (),
    body: bytes | Body = b"",
    address: tuple[str, int] | None = None,
) -> Answer:
    """Send a request to `url` (http or https; `ssl` None is the system's trust) and give the answer once its head is
    there (a body in pieces may still be on its way); the caller closes its writer. `address` is where its host is, if
    its name doesn't lead there. Raises OSError
    (ConnectionError where the answer is not HTTP), TimeoutError if there is no connection in time."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    async with asyncio.timeout(CONNECT_TIMEOUT):
        reader, writer = await asyncio.open_connection(
            *(address or (parts.hostname, port)),
            ssl=(ssl or True) if secure else None,
            server_hostname=parts.hostname if secure else None,
            limit=HEAD_LIMIT,
        )
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}", *(f"{k}: {v}" for k, v in headers)]
        if isinstance(body, Body):
            lines.append("Transfer-Encoding: chunked" if body.length is None else f"Content-Length: {body.length}")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
        writer.write(head if isinstance(body, Body) else head + body)
        if isinstance(body, Body):
            sending = asyncio.ensure_future(_send_body(writer, body))
            _SENDING.add(sending)
            sending.add_done_callback(_SENDING.discard)
        else:
            await writer.drain()
        status = 100
        while 100 <= status < 200 and status != 101:
            status, answered = await _read_head(reader)
    except BaseException:
        writer.close()
        raise
    return Answer(status, answered, reader, writer)


_SENDING: set[asyncio.Task[None]] = set()
"""Bodies on their way: nothing else holds on to their tasks."""


async def _send_body(writer: asyncio.StreamWriter, body: Body) -> None:
    """Send it all. Where it is cut short the connection is too, as there is no other way to say so."""
    try:
        async for piece in body.pieces:
            writer.write(piece if body.length is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
        if body.length is None:
            writer.write(b"0\r\n\r\n")
            await writer.drain()
    except ConnectionError:
        writer.close()


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, Headers]:
    """The status and headers of a response."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise ConnectionError(f"the answer is not HTTP: {error}") from error
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise ConnectionError(f"the answer is not HTTP: {first!r}")
    pairs = (line.partition(":") for line in lines)
    return int(rest[:3]), [(name.strip().lower(), value.strip()) for name, colon, value in pairs if colon]


async def body_of(answer: Answer, *, method: str = "GET") -> AsyncIterator[bytes]:
    """The body, piece by piece as it comes. Closes the connection at its end, and when the iterator is closed.
    Raises ConnectionError if it is cut short."""
    reader = answer.reader
    try:
        if method == "HEAD" or answer.status in (204, 304):
            return
        if "chunked" in answer.header("transfer-encoding").lower():
            while size := await _chunk_size(reader):
                async for piece in _exactly(reader, size):
                    yield piece
                await reader.readline()
        elif length := answer.header("content-length"):
            async for piece in _exactly(reader, int(length)):
                yield piece
        else:
            while piece := await reader.read(CHUNK):
                yield piece
    except ValueError as error:
        raise ConnectionError(f"the answer is not HTTP: {error}") from error
    finally:
        answer.writer.close()


async def _chunk_size(reader: asyncio.StreamReader) -> int:
    line = await reader.readline()
    if not line:
        raise ConnectionResetError("the answer was cut short")
    return int(line.split(b";")[0], 16)


async def _exactly(reader: asyncio.StreamReader, size: int) -> AsyncIterator[bytes]:
    while size > 0:
        piece = await reader.read(min(size, CHUNK))
        if not piece:
            raise ConnectionResetError("the answer was cut short")
        size -= len(piece)
        yield piece


async def whole_body(answer: Answer, limit: int = 1 << 20) -> bytes:
    """The body up to `limit` bytes, or as much as came."""
    content = b""
    pieces = body_of(answer)
    try:
        async for piece in pieces:
            content += piece
            if len(content) >= limit:
                break
    except ConnectionError:
        pass
    answer.writer.close()
    return content[:limit]
