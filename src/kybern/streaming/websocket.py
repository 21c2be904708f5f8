"""A WebSocket connection (RFC 6455) after the upgrade, over any pair of reader and writer, and the upgrade's headers.

wsproto does the framing; this adds back-pressure, answers to pings and closes, and a plain byte pipe inside messages.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError, generate_accept_token

from kybern.streaming.pipes import CHUNK, Reader, Writer


class Fragment(NamedTuple):
    """A piece of a message; `last` says that the message ends with it."""

    data: bytes
    last: bool


def is_websocket(headers: Mapping[str, str]) -> bool:
    """Whether a request (lower-case header names) asks for a WebSocket."""
    upgrade = "upgrade" in headers.get("connection", "").lower()
    return upgrade and headers.get("upgrade", "").lower() == "websocket"


def offered(headers: Mapping[str, str]) -> list[str]:
    """The subprotocols a request offers, the preferred first."""
    return [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",") if name.strip()]


def accept(headers: Mapping[str, str], supported: Sequence[str]) -> tuple[str, list[tuple[str, str]]] | None:
    """The subprotocol to speak ("" where none is offered and `supported` has "") and the headers of the 101 answer;
    None where the request is no proper handshake, or offers nothing that is supported."""
    key, names = headers.get("sec-websocket-key", ""), offered(headers) or [""]
    chosen = next((name for name in names if name in supported), None)
    if not key or chosen is None or headers.get("sec-websocket-version", "") != "13":
        return None
    token = generate_accept_token(key.encode())
    answer = [("upgrade", "websocket"), ("connection", "Upgrade")]
    answer.append(("sec-websocket-accept", token.decode() if isinstance(token, bytes) else token))
    if chosen:
        answer.append(("sec-websocket-protocol", chosen))
    return chosen, answer


class WebSocket:
    """An open WebSocket. One task may receive while others send."""

    def __init__(self, reader: Reader, writer: Writer, *, client: bool) -> None:
        self.client = client
        self._reader, self._writer = reader, writer
        self._connection = Connection(ConnectionType.CLIENT if client else ConnectionType.SERVER)
        self._events = self._connection.events()
        self._ended = False

    async def receive(self) -> Fragment | None:
        """The next piece of a message, text as its bytes; None at the end. Raises ConnectionError."""
        while not self._ended:
            for event in self._events:
                if isinstance(event, BytesMessage):
                    return Fragment(bytes(event.data), event.message_finished)
                if isinstance(event, TextMessage):
                    return Fragment(event.data.encode(), event.message_finished)
                if isinstance(event, Ping):
                    self._writer.write(self._connection.send(event.response()))
                elif isinstance(event, CloseConnection):
                    self._answer_close(event)
                    self._ended = True
                    return None
            await self._feed()
        return None

    def _answer_close(self, event: CloseConnection) -> None:
        if self._connection.state is ConnectionState.REMOTE_CLOSING:
            with contextlib.suppress(OSError, LocalProtocolError):
                self._writer.write(self._connection.send(event.response()))

    async def _feed(self) -> None:
        """Read more of the connection."""
        try:
            data = await self._reader.read(CHUNK)
        except OSError as error:
            raise ConnectionResetError(f"the connection was lost: {error}") from error
        if not data:
            self._ended = True
            return
        try:
            self._connection.receive_data(data)
            self._events = self._connection.events()
        except RemoteProtocolError as error:
            self._ended = True
            raise ConnectionError(f"WebSocket: {error}") from error

    def put(self, data: bytes, *, text: bool = False) -> None:
        """Send one message without waiting. Raises ConnectionError."""
        event = TextMessage(data.decode("ascii")) if text else BytesMessage(data)
        try:
            self._writer.write(self._connection.send(event))
        except (OSError, RuntimeError, LocalProtocolError) as error:
            raise ConnectionResetError(f"the connection was lost: {error}") from error

    async def drain(self) -> None:
        """Wait until the other side has taken enough. Raises ConnectionError."""
        try:
            await self._writer.drain()
        except (OSError, RuntimeError) as error:
            raise ConnectionResetError(f"the connection was lost: {error}") from error

    async def send(self, data: bytes, *, text: bool = False) -> None:
        """Send one message. Raises ConnectionError."""
        self.put(data, text=text)
        await self.drain()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say goodbye, wait shortly for the answer, and close the connection. Idempotent."""
        with contextlib.suppress(ConnectionError, LocalProtocolError, TimeoutError, OSError, RuntimeError):
            if self._connection.state is ConnectionState.OPEN:
                self._writer.write(self._connection.send(CloseConnection(code, reason)))
                async with asyncio.timeout(2):
                    await self._writer.drain()
                    while await self.receive() is not None:
                        pass
        self._ended = True
        with contextlib.suppress(OSError):
            self._writer.close()


class Pipe:
    """The bytes inside a WebSocket's binary messages as a Reader and a Writer: for what is tunnelled through it."""

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._rest = b""
        self._closing: asyncio.Future[None] | None = None

    async def read(self, n: int = -1, /) -> bytes:
        while not self._rest:
            fragment = await self._socket.receive()
            if fragment is None:
                return b""
            self._rest = fragment.data
        taken = self._rest[:n] if n >= 0 else self._rest
        self._rest = self._rest[len(taken) :]
        return taken

    def write(self, data: bytes, /) -> None:
        if data:
            self._socket.put(bytes(data))

    async def drain(self) -> None:
        await self._socket.drain()

    def close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._socket.close())

    async def wait_closed(self) -> None:
        """Return once the other side knows, or doesn't answer."""
        if self._closing is not None:
            await self._closing
