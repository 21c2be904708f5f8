"""Opening an upgraded connection: the HTTP/1.1 request that asks for it, and the answer."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Iterable, Mapping, Sequence
from ssl import SSLContext
from urllib.parse import urlsplit

SPDY = "SPDY/3.1"
WEBSOCKET = "websocket"
PROTOCOL_HEADER = "X-Stream-Protocol-Version"
"""Names the protocol spoken on the streams of a SPDY connection."""
_HEAD_LIMIT = 64 << 10
_BODY_LIMIT = 1 << 20


class UpgradeRefused(Exception):
    """The server answered, but not with 101. Carries its answer; header names are lower-case."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        text = body.decode(errors="replace").strip()
        super().__init__(f"unable to upgrade the connection: the server answered {status}: {text}")
        self.status, self.headers, self.body = status, headers, body


async def upgrade(
    url: str,
    ssl: SSLContext | None = None,
    protocols: Sequence[str] = (),
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    *,
    method: str = "POST",
    to: str = SPDY,
    timeout: float = 30.0,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, dict[str, str]]:
    """Ask `url` (http or https) to upgrade to SPDY/3.1 or to WebSocket (`to`), offering `protocols` in order of
    preference. Gives the connection and the response's headers (lower-case names; repeated ones joined by ", ").
    Raises UpgradeRefused, OSError, TimeoutError (after `timeout` seconds)."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection(
            parts.hostname, port, ssl=(ssl or True) if secure else None, limit=_HEAD_LIMIT
        )
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            lines = [f"{'GET' if to == WEBSOCKET else method} {target} HTTP/1.1", f"Host: {parts.netloc}"]
            lines += [f"{name}: {value}" for name, value in _asking(to, protocols)]
            given = headers.items() if isinstance(headers, Mapping) else headers
            lines += [f"{name}: {value}" for name, value in given]
            writer.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
            status, answered = await _read_head(reader)
            if status != 101:
                raise UpgradeRefused(status, answered, await _read_body(reader, answered))
        except BaseException:
            writer.close()
            raise
    return reader, writer, answered


def _asking(to: str, protocols: Sequence[str]) -> list[tuple[str, str]]:
    """The headers that ask for an upgrade."""
    headers = [("Connection", "Upgrade"), ("Upgrade", to)]
    if to != WEBSOCKET:  # one line each: older servers don't split lists
        return [*headers, ("Content-Length", "0"), *((PROTOCOL_HEADER, name) for name in protocols)]
    headers += [("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", base64.b64encode(os.urandom(16)).decode())]
    if protocols:
        headers.append(("Sec-WebSocket-Protocol", ", ".join(protocols)))
    return headers


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """The status and headers of a response."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        raise ConnectionError(f"the server's answer to an upgrade is not HTTP: {error}") from error
    first, *lines = head.decode("latin-1").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise ConnectionError(f"the server's answer to an upgrade is not HTTP: {first!r}")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            name, value = name.strip().lower(), value.strip()
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return int(rest[:3]), headers


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    """The body of a refusal, as much of it as is reasonable."""
    try:
        if "chunked" in headers.get("transfer-encoding", ""):
            body = b""
            while (size := int((await reader.readline()).split(b";")[0], 16)) and len(body) < _BODY_LIMIT:
                body += await reader.readexactly(min(size, _BODY_LIMIT))
                await reader.readline()
            return body
        if "content-length" in headers:
            return await reader.readexactly(min(int(headers["content-length"]), _BODY_LIMIT))
        return await reader.read(_BODY_LIMIT)
    except (asyncio.IncompleteReadError, ValueError):
        return b""
