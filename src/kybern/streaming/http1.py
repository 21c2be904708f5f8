"""A request over a connection of its own, in HTTP/1.1, its answer read as it comes: for upgrading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from ssl import SSLContext, create_default_context
from typing import NamedTuple
from urllib.parse import urlsplit

from kybern.process.dialing import Dial, straight
from kybern.streaming.pipes import CHUNK

HEAD_LIMIT = 64 << 10
"""Bytes of the longest head accepted."""
CONNECT_TIMEOUT = 30.0

Headers = list[tuple[str, str]]


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
    body: bytes = b"",
    address: tuple[str, int] | None = None,
    through: Dial = straight,
) -> Answer:
    """Send a request to `url` (http or https; `ssl` None is the system's trust) and give the answer once its head is
    there; the caller closes its writer. `address` is where its host is, if its name doesn't lead there, `through` how
    to connect. Raises OSError (ConnectionError where the answer is not HTTP), TimeoutError if there is no connection in
    time."""
    parts = urlsplit(url)
    secure, name = parts.scheme == "https", parts.hostname or ""
    host, port = address or (name, parts.port or (443 if secure else 80))
    context = (ssl or create_default_context()) if secure else None
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(HEAD_LIMIT, loop)
    async with asyncio.timeout(CONNECT_TIMEOUT):
        transport, protocol = await through(lambda: asyncio.StreamReaderProtocol(reader), host, port, context, name)
    writer = asyncio.StreamWriter(transport, protocol, reader, loop)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}", *(f"{k}: {v}" for k, v in headers)]
        writer.write("\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body)
        await writer.drain()
        status = 100
        while 100 <= status < 200 and status != 101:
            status, answered = await _read_head(reader)
    except BaseException:
        writer.close()
        raise
    return Answer(status, answered, reader, writer)


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


async def body_of(answer: Answer) -> AsyncIterator[bytes]:
    """The body, piece by piece as it comes. Closes the connection at its end, and when the iterator is closed.
    Raises ConnectionError if it is cut short."""
    reader = answer.reader
    try:
        if answer.status in (204, 304):
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
