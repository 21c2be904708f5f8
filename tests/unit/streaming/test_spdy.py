"""SPDY framing and connections."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import tracemalloc
import zlib
from collections.abc import AsyncIterator

import pytest

from kybern.streaming import spdy_frames as frames
from kybern.streaming.spdy import SpdyConnection
from kybern.streaming.streams import read_all
from tests.unit.streaming.wires import End, wire

OPENING = frames.control(frames.SYN_STREAM, struct.pack(">IIH", 1, 0, 0) + frames.HeaderWriter().encode({}))


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[SpdyConnection, SpdyConnection]]:
    async with (
        wire() as (near, far),
        SpdyConnection(*near, client=True) as client,
        SpdyConnection(*far, client=False) as server,
    ):
        yield client, server


@contextlib.asynccontextmanager
async def against_raw() -> AsyncIterator[tuple[SpdyConnection, End]]:
    """A server, and the bare end of its connection."""
    async with wire() as (near, far), SpdyConnection(*far, client=False) as server:
        yield server, near


def test_the_dictionary_is_the_specifications() -> None:
    assert len(frames.DICTIONARY) == 1423
    assert zlib.adler32(frames.DICTIONARY) == 0xE3C6A7C2
    # What every SPDY/3 header block starts with: zlib's header and the dictionary's checksum.
    assert frames.HeaderWriter().encode({"a": "b"}).startswith(bytes.fromhex("78bbe3c6a7c2"))


def test_headers_survive_both_ways_and_share_a_context() -> None:
    writer, reader = frames.HeaderWriter(), frames.HeaderReader()
    first = {"StreamType": "stdout", "x": "é\0two"}
    sizes = []
    for _ in range(3):
        block = writer.encode(first)
        sizes.append(len(block))
        assert reader.decode(block) == {"streamtype": "stdout", "x": "é\0two"}
    assert sizes[2] < sizes[0] / 2
    assert reader.decode(writer.encode({})) == {}


@pytest.mark.parametrize("damage", ["garbage", "count", "length", "bomb"])
def test_bad_headers_are_refused(damage: str) -> None:
    block = {
        "garbage": b"\x78\xbb\xe3\xc6\xa7\xc2\xff\xff\xff\xff",
        "count": _deflate(struct.pack(">I", 1000)),
        "length": _deflate(struct.pack(">II", 1, 100) + b"abc"),
        "bomb": _deflate(bytes(frames.MAX_HEADERS * 4)),
    }[damage]
    with pytest.raises(frames.ProtocolError):
        frames.HeaderReader().decode(block)


def _deflate(block: bytes) -> bytes:
    context = zlib.compressobj(zdict=frames.DICTIONARY)
    return context.compress(block) + context.flush(zlib.Z_SYNC_FLUSH)


async def test_streams_carry_data_both_ways_and_end_each_way() -> None:
    async with connected() as (client, server):
        near = await client.open({"streamtype": "data", "port": "80"})
        far = await server.accept()
        assert far is not None
        assert far.headers == {"streamtype": "data", "port": "80"}
        await near.write(b"ping")
        assert await far.read() == b"ping"
        await near.close_write()
        assert await far.read() == b""
        await far.write(b"still")
        assert await near.read() == b"still"
        await far.close_write()
        assert await near.read() == b""
        assert not client.streams
        assert not server.streams
        with pytest.raises(ConnectionError):
            await near.write(b"late")


async def test_the_server_may_open_streams_too() -> None:
    async with connected() as (client, server):
        near = await server.open({"a": "1"})
        far = await client.accept()
        assert far is not None
        assert (near.id, far.id, far.headers) == (2, 2, {"a": "1"})


async def test_many_streams_do_not_mix() -> None:
    async with connected() as (client, server):

        async def echo() -> None:
            while (stream := await server.accept()) is not None:
                tasks.append(asyncio.ensure_future(answer(stream)))

        async def answer(stream) -> None:
            await stream.write(await read_all(stream) + stream.headers["n"].encode())
            await stream.close_write()

        async def ask(number: int) -> bytes:
            stream = await client.open({"n": str(number)})
            await stream.write(b"%d " % number * 1000)
            await stream.close_write()
            return await read_all(stream)

        tasks = [asyncio.ensure_future(echo())]
        answers = await asyncio.gather(*(ask(number) for number in range(50)))
        assert answers == [b"%d " % number * 1000 + b"%d" % number for number in range(50)]
        tasks[0].cancel()


async def test_a_large_transfer_takes_little_memory() -> None:
    total, chunk = 50 << 20, b"x" * (256 << 10)
    async with connected() as (client, server):
        near = await client.open({})
        far = await server.accept()
        assert far is not None

        async def send() -> None:
            for _ in range(total // len(chunk)):
                await near.write(chunk)
            await near.close_write()

        tracemalloc.start()
        try:
            sending, received = asyncio.ensure_future(send()), 0
            while data := await far.read():
                received += len(data)
            await sending
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert received == total
        assert peak < 8 << 20


async def test_a_slow_reader_holds_the_writer_back() -> None:
    async with connected() as (client, server):
        near = await client.open({})
        far = await server.accept()
        assert far is not None
        sent = 0

        async def send() -> None:
            nonlocal sent
            while True:
                await near.write(b"x" * 32768)
                sent += 32768

        sending = asyncio.ensure_future(send())
        for _ in range(200):
            await asyncio.sleep(0)
        stuck_at = sent
        for _ in range(200):
            await asyncio.sleep(0)
        assert sent == stuck_at < 4 << 20
        while sent == stuck_at:
            await far.read()
        sending.cancel()


async def test_windows_are_kept_towards_one_that_announces_them() -> None:
    async with against_raw() as (server, (reader, writer)):
        writer.write(OPENING)
        writer.write(frames.control(frames.SETTINGS, struct.pack(">III", 1, frames.SETTINGS_INITIAL_WINDOW_SIZE, 1000)))
        stream = await server.accept()
        assert stream is not None
        while not server.keeps_windows:
            await asyncio.sleep(0)
        sending = asyncio.ensure_future(stream.write(b"x" * 3000))
        await skip_frame(reader)  # SYN_REPLY
        assert await skip_frame(reader) == 1000
        await asyncio.sleep(0)
        assert not sending.done()
        writer.write(frames.control(frames.WINDOW_UPDATE, struct.pack(">II", 1, 2000)))
        assert await skip_frame(reader) == 2000
        await sending


async def skip_frame(reader: asyncio.StreamReader) -> int:
    """Read one frame; gives its length."""
    length = int.from_bytes((await reader.readexactly(8))[5:], "big")
    await reader.readexactly(length)
    return length


async def test_windows_are_announced_as_data_is_read() -> None:
    async with against_raw() as (server, (reader, writer)):
        writer.write(OPENING)
        writer.write(frames.data(1, b"x" * 40_000))
        stream = await server.accept()
        assert stream is not None
        received = 0
        while received < 40_000:
            received += len(await stream.read())
        await skip_frame(reader)
        update = await reader.readexactly(16)
        assert struct.unpack(">HHI", update[:8]) == (0x8003, frames.WINDOW_UPDATE, 8)
        assert 32768 <= struct.unpack(">I", update[12:])[0] <= 40_000


async def test_a_client_sends_nothing_to_a_server_that_keeps_no_windows() -> None:
    async with wire() as (near, (reader, writer)):
        async with SpdyConnection(*near, client=True) as client:
            stream = await client.open({})
            writer.write(frames.data(1, b"x" * 100_000) + frames.data(1, b"", frames.FLAG_FIN))
            assert len(await read_all(stream)) == 100_000
        await skip_frame(reader)  # SYN_STREAM
        assert struct.unpack(">HH", (await reader.readexactly(8))[:4]) == (0x8003, frames.GOAWAY)


async def test_pings_are_answered_and_ones_own_are_not() -> None:
    async with against_raw() as (_, (reader, writer)):
        writer.write(frames.control(frames.PING, struct.pack(">I", 2)))
        ping = frames.control(frames.PING, struct.pack(">I", 7))
        writer.write(ping)
        assert await reader.readexactly(len(ping)) == ping


async def test_a_reset_ends_both_directions() -> None:
    async with connected() as (client, server):
        near = await client.open({})
        far = await server.accept()
        assert far is not None
        await near.write(b"before")
        assert await far.read() == b"before"
        await near.reset()
        assert await far.read() == b"", "what came before the reset is all there was"
        with pytest.raises(ConnectionError):
            await far.write(b"x")
        await far.close_write()
        again = await client.open({})
        await again.write(b"the connection goes on")
        assert (await server.accept()) is not None


async def test_a_goodbye_is_the_end_of_every_stream() -> None:
    async with against_raw() as (server, (_, writer)):
        writer.write(OPENING + frames.data(1, b"all") + frames.control(frames.GOAWAY, bytes(8)))
        stream = await server.accept()
        assert stream is not None
        writer.close()
        assert await stream.read() == b"all"
        assert await stream.read() == b""


async def test_a_lost_connection_cuts_every_stream_off() -> None:
    async with against_raw() as (server, (_, writer)):
        writer.write(OPENING)
        writer.write(frames.data(1, b"half"))
        stream = await server.accept()
        assert stream is not None
        assert await stream.read() == b"half"
        writer.close()
        with pytest.raises(ConnectionError):
            await stream.read()
        await server.closed.wait()
        assert await server.accept() is None
        assert await server.accept() is None
        with pytest.raises(ConnectionError):
            await server.open({})


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n" * 1000, id="something else"),
        pytest.param(struct.pack(">HHI", 0x8002, frames.PING, 4) + b"1234", id="another version"),
        pytest.param(frames.control(frames.SYN_STREAM, b"123"), id="cut short"),
        pytest.param(struct.pack(">HHI", 0x8003, frames.PING, 0xFFFFFF), id="oversized"),
        pytest.param(
            frames.control(frames.SYN_STREAM, struct.pack(">IIH", 2, 0, 0) + frames.HeaderWriter().encode({})),
            id="an id of the server's",
        ),
    ],
)
async def test_a_broken_protocol_ends_the_connection(sent: bytes) -> None:
    async with against_raw() as (server, (_, writer)):
        writer.write(sent)
        writer.write_eof()
        await asyncio.wait_for(server.closed.wait(), 30)
        assert await server.accept() is None


async def test_too_many_streams_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kybern.streaming.spdy.MAX_STREAMS", 2)
    async with connected() as (client, _):
        first, second, third = [await client.open({}) for _ in range(3)]
        await first.write(b"x")
        await second.write(b"x")
        with pytest.raises(ConnectionError, match="code 3"):
            await third.write(b"x")


async def test_data_for_unknown_streams_is_skipped() -> None:
    async with against_raw() as (server, (_, writer)):
        writer.write(frames.data(99, b"x" * 100_000))
        writer.write(OPENING)
        assert (await server.accept()) is not None
