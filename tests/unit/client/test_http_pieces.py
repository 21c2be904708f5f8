"""Requests whose bodies come in pieces, and answers without one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kybern.client.http import Pieces, Pool


@asynccontextmanager
async def answering(text: bytes):
    """A server that reads until it has seen `end`, answers, and goes on; gives the pool and what it read."""
    got = bytearray()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(1 << 16):
            got.extend(piece)
            if got.endswith(b"end"):
                writer.write(text)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    pool = Pool(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", None)
    try:
        yield pool, got
    finally:
        pool.close()
        server.close()


async def pieces(*given: bytes, fails: bool = False) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece
    if fails:
        raise ConnectionResetError("gone")


async def test_a_connection_whose_request_is_not_all_sent_is_not_used_again() -> None:
    async def stuck() -> AsyncIterator[bytes]:
        yield b"end"
        await asyncio.Event().wait()

    async with answering(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n") as (pool, got):
        answer = await pool.ask("POST", "/", {}, Pieces(stuck(), 100))
        assert answer.status == 413 and await answer.read() == b"" and not answer.usable
        pool.give_back(answer)
        assert not pool.sweep()
        assert b"Content-Length: 100\r\n" in got


async def test_a_body_that_breaks_off_ends_the_connection() -> None:
    async with answering(b"") as (pool, got):
        with pytest.raises(ConnectionError):
            await pool.ask("POST", "/", {}, Pieces(pieces(b"abc", fails=True), None))
        assert got.endswith(b"\r\n\r\n3\r\nabc\r\n")


async def test_an_answer_without_a_body_may_say_how_long_it_would_be() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nA: 1\r\nA: 2\r\n\r\n") as (pool, _):
        answer = await pool.ask("HEAD", "/", {}, b"end")
        assert [value for name, value in answer.pairs if name == "a"] == ["1", "2"]
        assert await answer.read() == b"" and answer.usable
