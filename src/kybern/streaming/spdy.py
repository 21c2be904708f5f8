"""A SPDY/3.1 connection: streams that either side opens, with their headers, over any pair of reader and writer.

Flow control: windows are kept towards a side that has ever sent a WINDOW_UPDATE or SETTINGS, and announced to the other
side as its data is read; a client announces them only to a server that keeps windows itself. The implementation that
kubectl, kubelets and container runtimes use does neither: towards it only the connection's own back-pressure holds, as
it does between two of them. Servers of its kind close at once when a command is over, and what a client sends then
resets the connection and loses the output that is still on its way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections.abc import Mapping

from kybern.streaming import spdy_frames as frames
from kybern.streaming.pipes import CHUNK, Reader, Writer
from kybern.streaming.spdy_frames import FLAG_FIN, INITIAL_WINDOW, ProtocolError
from kybern.streaming.streams import SEND_CHUNK, Inbox

log = logging.getLogger(__name__)

MAX_STREAMS = 4000
"""Open streams per connection; more are refused."""
_INBOX = 4 * INITIAL_WINDOW


class SpdyStream:
    """One stream. `headers` are those of whoever opened it, names in lower case."""

    def __init__(
        self, connection: SpdyConnection, identifier: int, headers: Mapping[str, str], *, replied: bool
    ) -> None:
        self.id, self.headers = identifier, headers
        self._connection = connection
        self.inbox = Inbox(_INBOX)
        self.window = connection.initial_window
        self.opened = asyncio.Event()
        """Set once the other side has accepted it, or never will."""
        self.window_opened = asyncio.Event()
        self.broken: ConnectionError | None = None
        self.sent_end = False
        self._unannounced = 0
        if replied:
            self.opened.set()

    async def read(self) -> bytes:
        data = await self.inbox.get()
        self._unannounced += len(data)
        enough = self._unannounced >= INITIAL_WINDOW // 2
        if enough and self._connection.announces_windows and not self.inbox.ended:
            self._connection.announce_window(self.id, self._unannounced)
            self._unannounced = 0
        return data

    async def write(self, data: bytes) -> None:
        await self.opened.wait()
        view = memoryview(data)
        while view:
            self._check()
            size = min(len(view), SEND_CHUNK)
            if self._connection.keeps_windows:
                size = min(size, self.window)
                if size <= 0:
                    self.window_opened.clear()
                    await self.window_opened.wait()
                    continue
            self.window -= size
            await self._connection.send(frames.data(self.id, bytes(view[:size])))
            view = view[size:]

    def _check(self) -> None:
        if self.broken is not None:
            raise self.broken
        if self.sent_end:
            raise ConnectionError("the stream was closed for writing")

    async def close_write(self) -> None:
        await self.opened.wait()
        if not self.sent_end and self.broken is None:
            self.sent_end = True
            with contextlib.suppress(ConnectionError):
                await self._connection.send(frames.data(self.id, b"", FLAG_FIN))
            self._connection.forget_if_done(self)

    async def reset(self, code: int = frames.CANCEL) -> None:
        """End both directions at once."""
        if self.broken is None:
            self.cut_off(ConnectionResetError("the stream was reset"))
            with contextlib.suppress(ConnectionError):
                await self._connection.send(frames.control(frames.RST_STREAM, struct.pack(">II", self.id, code)))
        self.inbox.discard()
        self._connection.streams.pop(self.id, None)

    def cut_off(self, error: ConnectionError, *, ended: bool = False) -> None:
        """Nothing can be sent or received any more; `ended` if all there was to read has come."""
        self.broken = error
        self.inbox.end(None if ended else error)
        self.opened.set()
        self.window_opened.set()


class SpdyConnection:
    """Use as `async with`: reads in the background, and says goodbye at the end."""

    def __init__(self, reader: Reader, writer: Writer, *, client: bool) -> None:
        self._reader, self._writer = reader, writer
        self.streams: dict[int, SpdyStream] = {}
        self.initial_window = INITIAL_WINDOW
        self.keeps_windows = False
        """Whether the other side has shown that it does flow control."""
        self._next_id, self._client = (1, True) if client else (2, False)
        self._last_seen = 0
        self._outgoing, self._incoming = frames.HeaderWriter(), frames.HeaderReader()
        self._said_goodbye = False
        """Whether the other side has announced that it will close."""
        self._accepted: asyncio.Queue[SpdyStream | None] = asyncio.Queue()
        self._buffer, self._at = b"", 0
        """What was read of the connection, and how far it was used."""
        self._task: asyncio.Task[None] | None = None
        self._over: ConnectionError | None = None
        self.closed = asyncio.Event()
        """Set when the other side is gone."""

    @property
    def announces_windows(self) -> bool:
        """Whether the other side is told as its data is read."""
        return self.keeps_windows or not self._client

    async def __aenter__(self) -> SpdyConnection:
        self._task = asyncio.ensure_future(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._over is None:
            with contextlib.suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(5):
                    await self.send(frames.control(frames.GOAWAY, struct.pack(">II", self._last_seen, 0)))
        self._end(ConnectionAbortedError("the connection was closed"))
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(OSError):
            self._writer.close()

    async def open(self, headers: Mapping[str, str]) -> SpdyStream:
        """Open a stream; returns at once, the first write waits for the other side to accept it."""
        if self._over is not None:
            raise self._over
        stream = SpdyStream(self, self._next_id, headers, replied=False)
        self._next_id += 2
        self.streams[stream.id] = stream
        payload = struct.pack(">IIH", stream.id, 0, 0) + self._outgoing.encode(headers)
        await self.send(frames.control(frames.SYN_STREAM, payload))
        return stream

    async def accept(self) -> SpdyStream | None:
        """The next stream that the other side opens, already answered; None when there will be none."""
        stream = await self._accepted.get()
        if stream is None:
            self._accepted.put_nowait(None)
        return stream

    async def send(self, frame: bytes) -> None:
        """Write a frame, whole. Raises ConnectionError."""
        if self._over is not None:
            raise self._over
        try:
            self._writer.write(frame)
            await self._writer.drain()
        except (OSError, RuntimeError) as error:
            raise ConnectionResetError(f"the connection was lost: {error}") from error

    def announce_window(self, stream: int, size: int) -> None:
        """Let the other side send that much more on a stream."""
        self._answer(frames.control(frames.WINDOW_UPDATE, struct.pack(">II", stream, size)))

    def _answer(self, frame: bytes) -> None:
        """Send without waiting: were both sides to stop reading for it, neither would go on."""
        if self._over is None:
            self._writer.write(frame)

    def forget_if_done(self, stream: SpdyStream) -> None:
        """Drop a stream that both sides have ended."""
        if stream.sent_end and stream.inbox.ended:
            self.streams.pop(stream.id, None)

    # Reading

    async def _run(self) -> None:
        error: ConnectionError = ConnectionResetError("the connection was lost")
        try:
            while head := await self._take(8, at_end=True):
                first, second = struct.unpack(">II", head)
                flags, length = second >> 24, second & 0xFFFFFF
                if first >> 31:
                    await self._control(first & 0x7FFFFFFF, flags, length)
                else:
                    await self._data(first, flags, length)
        except ConnectionError as problem:
            error = problem
        except OSError as problem:
            error = ConnectionResetError(f"the connection was lost: {problem}")
        self._end(error)

    def _end(self, error: ConnectionError) -> None:
        if self._over is None:
            self._over = error
            for stream in list(self.streams.values()):
                stream.cut_off(error, ended=self._said_goodbye)
            self.streams.clear()
            self._accepted.put_nowait(None)
            self.closed.set()

    async def _take(self, size: int, *, at_end: bool = False) -> bytes:
        """Exactly `size` bytes; with `at_end`, nothing if the connection ends right here."""
        while len(self._buffer) - self._at < size:
            more = await self._reader.read(CHUNK)
            if not more:
                if at_end and self._at == len(self._buffer):
                    return b""
                raise ConnectionResetError("the connection was lost")
            self._buffer, self._at = self._buffer[self._at :] + more, 0
        return self._use(size)

    def _use(self, most: int) -> bytes:
        taken = self._buffer[self._at : self._at + most]
        self._at += len(taken)
        return taken

    async def _data(self, identifier: int, flags: int, length: int) -> None:
        """A data frame; its bytes are handed on as they come, however long it is."""
        stream = self.streams.get(identifier)
        while length:
            piece = self._use(length) or await self._take(1)
            length -= len(piece)
            if stream is not None:
                await stream.inbox.put(piece)
        if stream is not None and flags & FLAG_FIN:
            stream.inbox.end()
            self.forget_if_done(stream)

    async def _control(self, head: int, flags: int, length: int) -> None:
        version, kind = head >> 16, head & 0xFFFF
        if version != frames.VERSION:
            raise ProtocolError(f"SPDY: version {version} is not spoken here")
        if length > frames.MAX_CONTROL:
            raise ProtocolError("SPDY: a control frame is too large")
        payload = await self._take(length) if length else b""
        if kind == frames.SYN_STREAM:
            self._on_open(payload, flags)
        elif kind in (frames.SYN_REPLY, frames.HEADERS):
            self._on_reply(kind, payload, flags)
        elif kind == frames.RST_STREAM:
            identifier, code = frames.words(payload, 2)
            if stream := self.streams.pop(identifier, None):
                # Servers commonly end a finished session by cancelling its streams: what came before is all.
                error = ConnectionResetError(f"the other side reset the stream (code {code})")
                stream.cut_off(error, ended=code == frames.CANCEL)
        elif kind == frames.PING:
            (identifier,) = frames.words(payload, 1)
            if identifier % 2 != self._client:
                self._answer(frames.control(frames.PING, payload[:4]))
        elif kind == frames.WINDOW_UPDATE:
            identifier, size = frames.words(payload, 2)
            self._widen(identifier, size & 0x7FFFFFFF)
        elif kind == frames.SETTINGS:
            self._on_settings(payload)
        elif kind == frames.GOAWAY:
            self._said_goodbye = True
            self._accepted.put_nowait(None)

    def _on_open(self, payload: bytes, flags: int) -> None:
        identifier = frames.words(payload, 2)[0] & 0x7FFFFFFF
        headers = self._incoming.decode(payload[10:])
        if identifier % 2 == self._client or identifier <= self._last_seen:
            raise ProtocolError(f"SPDY: stream {identifier} is out of order")
        self._last_seen = identifier
        if len(self.streams) >= MAX_STREAMS:
            refusal = struct.pack(">II", identifier, frames.REFUSED_STREAM)
            self._answer(frames.control(frames.RST_STREAM, refusal))
            return
        stream = SpdyStream(self, identifier, headers, replied=True)
        self.streams[identifier] = stream
        if flags & FLAG_FIN:
            stream.inbox.end()
        self._answer(frames.control(frames.SYN_REPLY, struct.pack(">I", identifier) + self._outgoing.encode({})))
        self._accepted.put_nowait(stream)

    def _on_reply(self, kind: int, payload: bytes, flags: int) -> None:
        (identifier,) = frames.words(payload, 1)
        self._incoming.decode(payload[4:])  # also of streams that are gone: the context builds on it
        stream = self.streams.get(identifier)
        if stream is None:
            return
        if kind == frames.SYN_REPLY:
            stream.opened.set()
        if flags & FLAG_FIN:
            stream.inbox.end()
            self.forget_if_done(stream)

    def _on_settings(self, payload: bytes) -> None:
        (count,) = frames.words(payload, 1)
        for setting, value in zip(*[iter(frames.words(payload[4:], 2 * min(count, len(payload))))] * 2, strict=True):
            if setting & 0xFFFFFF == frames.SETTINGS_INITIAL_WINDOW_SIZE:
                self.keeps_windows = True
                for stream in self.streams.values():
                    self._widen(stream.id, value - self.initial_window)
                self.initial_window = value

    def _widen(self, identifier: int, size: int) -> None:
        self.keeps_windows = True
        if stream := self.streams.get(identifier):
            stream.window += size
            stream.window_opened.set()
