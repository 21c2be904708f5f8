"""Port forwarding: pairs of a data and an error stream, one pair per forwarded connection.

On SPDY (`portforward.k8s.io`; also inside a WebSocket, `SPDY/3.1+portforward.k8s.io`) the client opens a pair for each
connection. On plain WebSocket channels (`v4.channel.k8s.io`) there is one pair per port in the query, from the start.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from kybern.streaming import channels
from kybern.streaming.channels import Channels
from kybern.streaming.pipes import Reader, Writer
from kybern.streaming.spdy import SpdyConnection, SpdyStream
from kybern.streaming.streams import Stream
from kybern.streaming.websocket import WebSocket

PROTOCOL = "portforward.k8s.io"
TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
"""WebSocket subprotocol whose binary messages carry a SPDY connection."""
WEBSOCKET_PROTOCOLS = (channels.V4, channels.V4_BASE64, "")
PAIRING_TIMEOUT = 30.0
"""Seconds in which the second stream of a pair must follow the first."""


@dataclass(slots=True)
class Forwarded:
    """One connection to `port`. What is written to `error` tells the client why it failed."""

    port: int
    data: Stream
    error: Stream

    async def fail(self, message: str) -> None:
        """Server: say why, and end the connection."""
        await self.error.write(message.encode())
        await self.error.close_write()
        if isinstance(self.data, SpdyStream):
            await self.data.reset()
        else:
            await self.data.close_write()


class Forwarder:
    """Either side of a SPDY connection of `portforward.k8s.io`. Use as `async with`."""

    def __init__(self, reader: Reader, writer: Writer, *, client: bool) -> None:
        self._spdy = SpdyConnection(reader, writer, client=client)
        self._requests = 0
        self._halves: dict[str, tuple[SpdyStream, asyncio.TimerHandle]] = {}

    async def __aenter__(self) -> Forwarder:
        await self._spdy.__aenter__()
        return self

    async def __aexit__(self, *raised: object) -> None:
        for _, timer in self._halves.values():
            timer.cancel()
        await self._spdy.__aexit__(*raised)

    @property
    def closed(self) -> asyncio.Event:
        """Set when the other side is gone."""
        return self._spdy.closed

    async def open(self, port: int) -> Forwarded:
        """Client: forward one connection."""
        headers = {"port": str(port), "requestid": str(self._requests)}
        self._requests += 1
        error = await self._spdy.open({"streamtype": "error", **headers})
        await error.close_write()
        data = await self._spdy.open({"streamtype": "data", **headers})
        return Forwarded(port, data, error)

    async def accept(self) -> Forwarded | None:
        """Server: the next connection asked for; None when there will be none. What makes no sense is reset."""
        while (stream := await self._spdy.accept()) is not None:
            kind, port = stream.headers.get("streamtype"), stream.headers.get("port", "")
            request = stream.headers.get("requestid", "")
            if kind not in ("data", "error") or not port.isdecimal() or not 0 < int(port) < 65536:
                await stream.reset()
                continue
            other, timer = self._halves.pop(request, (None, None))
            if timer is not None:
                timer.cancel()
            if other is None:
                self._halves[request] = (stream, self._expire_later(request))
            elif other.headers["streamtype"] == kind:
                await stream.reset()
                await other.reset()
            else:
                data, error = (stream, other) if kind == "data" else (other, stream)
                return Forwarded(int(port), data, error)
        return None

    def _expire_later(self, request: str) -> asyncio.TimerHandle:
        def expire() -> None:
            half = self._halves.pop(request, None)
            if half is not None:
                half[0].inbox.discard()

        return asyncio.get_running_loop().call_later(PAIRING_TIMEOUT, expire)


def ports_of(args: Mapping[str, Sequence[str]]) -> list[int]:
    """The ports in a query: repeated or comma-separated. Raises ValueError."""
    ports = [int(text) for value in args.get("port") or args.get("ports") or () for text in value.split(",")]
    if not ports or not all(0 < port < 65536 for port in ports):
        raise ValueError('query parameter "port" is required, as numbers between 1 and 65535')
    return ports


@contextlib.asynccontextmanager
async def serve_websocket(
    reader: Reader, writer: Writer, ports: Sequence[int], protocol: str
) -> AsyncIterator[tuple[list[Forwarded], asyncio.Event]]:
    """Server side of WebSocket channels: a pair per port, and an event for when the client is gone. Each channel
    starts with its port, as two bytes, little-endian."""
    async with Channels(WebSocket(reader, writer, client=False), protocol, 2 * len(ports)) as connection:
        pairs = list(zip(connection.channels[::2], connection.channels[1::2], strict=True))
        for port, pair in zip(ports, pairs, strict=True):
            for channel in pair:
                await channel.write(struct.pack("<H", port))
        yield [Forwarded(port, *pair) for port, pair in zip(ports, pairs, strict=True)], connection.closed


@contextlib.asynccontextmanager
async def connect_websocket(
    reader: Reader, writer: Writer, ports: Sequence[int], protocol: str
) -> AsyncIterator[list[Forwarded]]:
    """Client side of WebSocket channels. Raises ConnectionError if the server's channels don't match the ports."""
    async with Channels(WebSocket(reader, writer, client=True), protocol, 2 * len(ports)) as connection:
        for number, channel in enumerate(connection.channels):
            start = await channel.read()
            while 0 < len(start) < 2:
                start += await channel.read()
            if start[:2] != struct.pack("<H", ports[number // 2]):
                raise ConnectionError("the server forwards other ports than were asked for")
            channel.inbox.unread(start[2:])
        pairs = zip(ports, connection.channels[::2], connection.channels[1::2], strict=True)
        yield [Forwarded(port, data, error) for port, data, error in pairs]
