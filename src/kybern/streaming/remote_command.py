"""exec and attach: stdin, stdout, stderr, error and resize, over SPDY or WebSocket, from both sides.

    server: options(query) -> negotiate -> `async with serve_spdy(...)` or `serve_websocket(...)` as session
    client: upgrade -> `async with connect_spdy(...)` or `connect_websocket(...)` as session

Source: the remote command protocols v1 to v5 of the Kubernetes API reference.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from kybern.streaming import channels, exit_status
from kybern.streaming.channels import Channels
from kybern.streaming.exit_status import Status
from kybern.streaming.pipes import Reader, Writer
from kybern.streaming.spdy import SpdyConnection
from kybern.streaming.streams import Stream, read_all
from kybern.streaming.websocket import WebSocket

SPDY_PROTOCOLS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
"""Offered and accepted on SPDY, the preferred first."""
WEBSOCKET_PROTOCOLS = (channels.V5, channels.V4, channels.V4_BASE64, channels.V1, channels.V1_BASE64, "")
"""Accepted on WebSocket."""
CREATION_TIMEOUT = 30.0
"""Seconds in which the client must have opened its streams."""
_NUMBERS = ("stdin", "stdout", "stderr", "error", "resize")
"""Channel numbers on WebSocket."""


@dataclass(slots=True, frozen=True)
class Options:
    """Which streams the client wants. With a tty there is no stderr."""

    stdin: bool = False
    stdout: bool = False
    stderr: bool = False
    tty: bool = False

    @classmethod
    def of(cls, args: Mapping[str, Sequence[str]]) -> Options:
        """From the query of the API (stdin, stdout, stderr, tty) or of a kubelet (input, output, error, tty)."""

        def asked(*names: str) -> bool:
            return any((args.get(name) or ["false"])[0].lower() in ("1", "true", "t") for name in names)

        tty = asked("tty")
        return cls(asked("stdin", "input"), asked("stdout", "output"), asked("stderr", "error") and not tty, tty)

    def streams(self, protocol: str) -> list[str]:
        """The streams by name, in the order in which clients open them."""
        resize = self.tty and protocol not in ("v2.channel.k8s.io", channels.V1, channels.V1_BASE64, "")
        wanted = {"stdin": self.stdin, "stdout": self.stdout, "stderr": self.stderr, "resize": resize}
        return ["error", *(name for name, wants in wanted.items() if wants)]


class Session:
    """One command's streams; None where the client didn't ask for it."""

    def __init__(self, streams: Mapping[str, Stream], protocol: str, closed: asyncio.Event) -> None:
        self.protocol, self.closed = protocol, closed
        """`closed` is set when the other side is gone."""
        self.stdin, self.stdout, self.stderr = streams.get("stdin"), streams.get("stdout"), streams.get("stderr")
        self.error, self.resize = streams["error"], streams.get("resize")

    @property
    def structured(self) -> bool:
        """Whether the error stream carries a Status."""
        return self.protocol.startswith(("v4.", "v5."))

    async def finish(self, status: Status) -> None:
        """Server: say how the command ended, after its output."""
        for output in (self.stdout, self.stderr):
            if output is not None:
                await output.close_write()
        if data := exit_status.encode(status, structured=self.structured):
            await self.error.write(data)
        await self.error.close_write()

    async def status(self) -> Status:
        """Client: how the command ended, once it did."""
        return exit_status.decode(await read_all(self.error))

    async def send_size(self, width: int, height: int) -> None:
        """Client: the terminal's size in characters."""
        if self.resize is not None:
            await self.resize.write(orjson.dumps({"Width": width, "Height": height}) + b"\n")

    async def sizes(self) -> AsyncIterator[tuple[int, int]]:
        """Server: the terminal's sizes (width, height) as they come; what isn't one is skipped."""
        rest = b""
        while self.resize is not None and (data := await self.resize.read()):
            *documents, rest = (rest + data).replace(b"}", b"}\n").split(b"\n")
            for document in documents:
                with contextlib.suppress(orjson.JSONDecodeError, KeyError, TypeError, ValueError):
                    size = orjson.loads(document)
                    yield int(size["Width"]), int(size["Height"])


def negotiate(offered: Sequence[str], supported: Sequence[str] = SPDY_PROTOCOLS) -> str | None:
    """The first protocol offered that is supported; v1 where a client offers none, as the oldest do."""
    if not offered:
        return channels.V1 if channels.V1 in supported else None
    return next((name for name in offered if name in supported), None)


@contextlib.asynccontextmanager
async def serve_spdy(reader: Reader, writer: Writer, options: Options, protocol: str) -> AsyncIterator[Session]:
    """Server side on an upgraded SPDY connection. Raises TimeoutError if the client doesn't open its streams."""
    async with SpdyConnection(reader, writer, client=False) as connection:
        expected, streams = set(options.streams(protocol)), dict[str, Stream]()
        async with asyncio.timeout(CREATION_TIMEOUT):
            while expected - streams.keys():
                stream = await connection.accept()
                if stream is None:
                    raise ConnectionResetError("the connection was lost before all streams were there")
                streams[stream.headers.get("streamtype", "")] = stream
        yield Session(streams, protocol, connection.closed)


@contextlib.asynccontextmanager
async def connect_spdy(reader: Reader, writer: Writer, options: Options, protocol: str) -> AsyncIterator[Session]:
    """Client side on an upgraded SPDY connection."""
    async with SpdyConnection(reader, writer, client=True) as connection:
        streams: dict[str, Stream] = {}
        for name in options.streams(protocol):
            streams[name] = await connection.open({"streamtype": name})
        yield Session(streams, protocol, connection.closed)


@contextlib.asynccontextmanager
async def serve_websocket(reader: Reader, writer: Writer, options: Options, protocol: str) -> AsyncIterator[Session]:
    """Server side on an upgraded WebSocket."""
    async with Channels(WebSocket(reader, writer, client=False), protocol, len(_NUMBERS)) as connection:
        streams = _numbered(connection, options, protocol)
        first = next((name for name in ("stdout", "stderr") if name in streams), "error")
        await connection.send(_NUMBERS.index(first), b"")  # tells the client that the session stands
        yield Session(streams, protocol, connection.closed)


@contextlib.asynccontextmanager
async def connect_websocket(reader: Reader, writer: Writer, options: Options, protocol: str) -> AsyncIterator[Session]:
    """Client side on an upgraded WebSocket."""
    async with Channels(WebSocket(reader, writer, client=True), protocol, len(_NUMBERS)) as connection:
        yield Session(_numbered(connection, options, protocol), protocol, connection.closed)


def _numbered(connection: Channels, options: Options, protocol: str) -> Mapping[str, Stream]:
    return {name: connection.channels[_NUMBERS.index(name)] for name in options.streams(protocol)}
