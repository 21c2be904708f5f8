"""Opening an upgraded connection: the HTTP/1.1 request that asks for it, and the answer."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Iterable, Mapping, Sequence
from ssl import SSLContext

from kybern.process.dialing import Dial, straight
from kybern.streaming import http1

SPDY = "SPDY/3.1"
WEBSOCKET = "websocket"
PROTOCOL_HEADER = "X-Stream-Protocol-Version"
"""Names the protocol spoken on the streams of a SPDY connection."""


class UpgradeRefused(Exception):
    """The server answered, but not with 101. Carries its answer; header names are lower-case."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body
        self.text = body.decode(errors="replace").strip()
        super().__init__(f"unable to upgrade connection: {self.text or f'the server answered {status}'}")


async def upgrade(
    url: str,
    ssl: SSLContext | None = None,
    protocols: Sequence[str] = (),
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    *,
    method: str = "POST",
    to: str = SPDY,
    timeout: float = 30.0,
    through: Dial = straight,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, dict[str, str]]:
    """Ask `url` (http or https) to upgrade to SPDY/3.1 or to WebSocket (`to`), offering `protocols` in order of
    preference. Gives the connection and the response's headers (lower-case names; repeated ones joined by ", ").
    Raises UpgradeRefused, OSError, TimeoutError (after `timeout` seconds)."""
    given = headers.items() if isinstance(headers, Mapping) else headers
    async with asyncio.timeout(timeout):
        answer = await http1.send(
            url, ssl=ssl, method="GET" if to == WEBSOCKET else method, headers=[*_asking(to, protocols), *given],
            through=through,
        )  # fmt: skip
        answered = {name: answer.header(name) for name, _ in answer.headers}
        if answer.status != 101:
            raise UpgradeRefused(answer.status, answered, await http1.whole_body(answer))
    return answer.reader, answer.writer, answered


def _asking(to: str, protocols: Sequence[str]) -> list[tuple[str, str]]:
    """The headers that ask for an upgrade."""
    headers = [("Connection", "Upgrade"), ("Upgrade", to)]
    if to != WEBSOCKET:  # one line each: older servers don't split lists
        return [*headers, ("Content-Length", "0"), *((PROTOCOL_HEADER, name) for name in protocols)]
    headers += [("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", base64.b64encode(os.urandom(16)).decode())]
    if protocols:
        headers.append(("Sec-WebSocket-Protocol", ", ".join(protocols)))
    return headers
