"""Streams as numbered channels of one WebSocket: `channel.k8s.io`, its v4 and v5, and the base64 variants.

Each message is the channel's number and data; in v5 a message on channel 255 closes the channel it names. There is no
flow control per channel: one that nobody reads holds up the others.
Source: KEP-4006 and the remote command reference.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib

from kybern.streaming.streams import SEND_CHUNK, Inbox
from kybern.streaming.websocket import WebSocket

CLOSE = 255
"""The channel that closes others, in v5."""
V5 = "v5.channel.k8s.io"
V4 = "v4.channel.k8s.io"
V4_BASE64 = "v4.base64.channel.k8s.io"
V1 = "channel.k8s.io"
V1_BASE64 = "base64.channel.k8s.io"
MAX_MESSAGE = 16 << 20
"""Bytes of a base64 message; binary ones are handed on in pieces and may have any size."""


class Channel:
    """One channel as a Stream."""

    def __init__(self, channels: Channels, number: int) -> None:
        self.number = number
        self.inbox = Inbox()
        self._channels = channels
        self._closed = False

    async def read(self) -> bytes:
        return await self.inbox.get()

    async def write(self, data: bytes) -> None:
        if self._closed:
            raise ConnectionError("the channel was closed for writing")
        for at in range(0, len(data), SEND_CHUNK):
            await self._channels.send(self.number, data[at : at + SEND_CHUNK])

    async def close_write(self) -> None:
        """Said on the wire by v5 clients only: earlier versions can't, and clients don't know it from servers."""
        if not self._closed:
            self._closed = True
            if self._channels.protocol == V5 and self._channels.client:
                with contextlib.suppress(ConnectionError):
                    await self._channels.send(CLOSE, bytes([self.number]))


class Channels:
    """All channels of a connection. Use as `async with`: receives in the background, closes at the end."""

    def __init__(self, socket: WebSocket, protocol: str, count: int) -> None:
        self.protocol, self.client = protocol, socket.client
        self.channels = [Channel(self, number) for number in range(count)]
        self.closed = asyncio.Event()
        """Set when the other side is gone."""
        self._socket = socket
        self._base64 = "base64" in protocol
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Channels:
        self._task = asyncio.ensure_future(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._socket.close()

    async def send(self, number: int, data: bytes) -> None:
        """Send a message on a channel, also an empty one. Raises ConnectionError."""
        if self._base64:
            await self._socket.send(str(number).encode() + base64.b64encode(data), text=True)
        else:
            await self._socket.send(bytes([number]) + data)

    async def _run(self) -> None:
        error: ConnectionError | None = None
        try:
            await (self._receive_base64() if self._base64 else self._receive_binary())
        except ConnectionError as problem:
            error = problem
        finally:
            for channel in self.channels:
                channel.inbox.end(error)
            self.closed.set()

    async def _receive_binary(self) -> None:
        number: int | None = None
        while (fragment := await self._socket.receive()) is not None:
            data = fragment.data
            if number is None and data:
                number, data = data[0], data[1:]
            if number is not None:
                await self._deliver(number, data)
            if fragment.last:
                number = None

    async def _receive_base64(self) -> None:
        message = bytearray()
        while (fragment := await self._socket.receive()) is not None:
            message += fragment.data
            if len(message) > MAX_MESSAGE:
                raise ConnectionError("WebSocket: a message is too large")
            if fragment.last:
                try:
                    if message:
                        await self._deliver(message[0] - ord("0"), base64.b64decode(bytes(message[1:])))
                except binascii.Error as problem:
                    raise ConnectionError(f"WebSocket: a message is not base64: {problem}") from problem
                message.clear()

    async def _deliver(self, number: int, data: bytes) -> None:
        if number == CLOSE and self.protocol == V5:
            for named in data:
                if named < len(self.channels):
                    self.channels[named].inbox.end()
        elif 0 <= number < len(self.channels):
            await self.channels[number].inbox.put(data)
