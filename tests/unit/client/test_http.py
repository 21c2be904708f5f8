"""The HTTP client against servers that behave, and servers that don't."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from kybern.client.http import Incomplete, Pool

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Served:
    """A server that answers each request on each connection as told."""

    def __init__(self, answer: Callable[[int, asyncio.StreamWriter], Awaitable[bool]]) -> None:
        self.answer, self.connections, self.requests = answer, 0, []

    async def serve(self, reader, writer):
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = [int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("Content-Length")]
                body = await reader.readexactly(length[0]) if length else b""
                self.requests.append((head, body))
                if not await self.answer(len(self.requests), writer):
                    break
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer):
    served = Served(answer)
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0)
    pool = Pool(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", None)
    try:
        yield served, pool
    finally:
        pool.close()
        server.close()


async def whole(pool, method="GET", target="/x", body=None):
    async with pool.request(method, target, {"A": "b"}, body) as answer:
        return answer.status, b"".join([part async for part in answer.parts()])


def always(text, keep=True):
    async def answer(number, writer):
        writer.write(text)
        return keep

    return answer


async def test_connections_are_used_again():
    async with serving(always(OK)) as (served, pool):
        for _ in range(3):
            assert await whole(pool) == (200, b"ok")
        assert await whole(pool, "POST", "/y?q=1", b"data") == (200, b"ok")
    assert served.connections == 1
    head, body = served.requests[-1]
    assert head.startswith("POST /y?q=1 HTTP/1.1\r\nHost: 127.0.0.1:") and "\r\nA: b\r\n" in head and body == b"data"


async def test_as_many_at_a_time_as_are_asked():
    async with serving(always(OK)) as (served, pool):
        assert await asyncio.gather(*(whole(pool) for _ in range(20))) == [(200, b"ok")] * 20
    assert served.connections == 20


@pytest.mark.parametrize(
    "text",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\n\r\nok",
    ],
)
async def test_bodies_of_every_kind(text):
    async with serving(always(text, keep=False)) as (_, pool):
        assert await whole(pool) == (200, b"ok")


async def test_no_content_has_no_body():
    async with serving(always(b"HTTP/1.1 204 No Content\r\n\r\n")) as (served, pool):
        assert [await whole(pool), await whole(pool)] == [(204, b"")] * 2
    assert served.connections == 1


async def test_a_get_is_asked_again_where_a_kept_connection_turns_out_closed():
    async def answer(number, writer):
        writer.write(OK)
        return number != 1  # closes behind the client's back

    async with serving(answer) as (served, pool):
        await whole(pool)
        assert await whole(pool) == (200, b"ok")
    assert served.connections == 2


@pytest.mark.parametrize("text", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok", b"garbage\r\n\r\n"])
async def test_an_answer_that_is_none_is_an_error(text):
    async with serving(always(text, keep=False)) as (_, pool):
        with pytest.raises(ConnectionError):
            await whole(pool)


async def test_a_post_is_never_sent_twice():
    seen = 0

    async def answer(number, writer):
        nonlocal seen
        seen = number
        if number == 1:
            writer.write(OK)
            return True
        return False

    async with serving(answer) as (_, pool):
        await whole(pool)
        with pytest.raises(Incomplete):
            await whole(pool, "POST", "/", b"x")
    assert seen == 2


async def test_leaving_an_unfinished_answer_closes_its_connection():
    async def answer(number, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        return True

    async with serving(answer) as (served, pool):
        for _ in range(2):
            async with pool.request("GET", "/watch", {}, None) as stream:
                assert await stream.read() == b"a"
    assert served.connections == 2


async def test_a_slow_reader_holds_the_server_back():
    piece = b"x" * 65536

    async def answer(number, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(piece) * 200))
        for _ in range(200):
            writer.write(piece)
            await writer.drain()
        return True

    async with serving(answer) as (_, pool), pool.request("GET", "/", {}, None) as stream:
        first = await stream.read()
        for _ in range(200):
            await asyncio.sleep(0)
        assert stream._size < 4 << 20, "what waits is bounded"
        assert len(first) + sum([len(part) async for part in stream.parts()]) == len(piece) * 200


async def test_headers_cannot_smuggle_requests():
    async with serving(always(OK)) as (_, pool):
        with pytest.raises(ValueError, match="line break"):
            async with pool.request("GET", "/", {"a": "b\r\nc: d"}, None):
                pass
        with pytest.raises(ValueError, match="line break"):
            async with pool.request("GET", "/x\nHost: y", {}, None):
                pass
