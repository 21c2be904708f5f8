"""The proxies to pods, with a backend of plain HTTP: what passes is not kept, and links lead back through the proxy."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from kybern.apiserver.links import Links
from tests.integration.streaming.conftest import Cluster

PODS = "/api/v1/namespaces/default/pods"
LARGE = 64 << 20
HELD = 24 << 20
"""What may be under way in the kernel's buffers and the server's; far less than is sent."""
PAGE = (
    '<!DOCTYPE html><html><head><LINK rel=x href="/style.css"></head><body background=/b.png>'
    '<!-- "/kept" --><a class="q" href="/a?x=1&amp;y=2#z">one</a><a href="b">two</a><a href="//else/x">three</a>'
    '<a href="HERE/c/">four</a><img src=\'/d.png\'/><script>if (a<b) x = "/kept";</script>'
    "&eacute;&#233;\u00e9</body></html>"
)
MOVED = (
    '<!DOCTYPE html><html><head><link rel="x" href="P/style.css"></head><body background="P/b.png">'
    '<!-- "/kept" --><a class="q" href="P/a?x=1&amp;y=2#z">one</a><a href="b">two</a><a href="//else/x">three</a>'
    '<a href="P/c/">four</a><img src="P/d.png"/><script>if (a<b) x = "/kept";</script>'
    "&eacute;&#233;\u00e9</body></html>"
)

Handler = Callable[[list[str], asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def backend(handler: Handler) -> AsyncIterator[int]:
    """Listens; `handler` gets the request's head, and what follows."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            await handler(head, reader, writer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def opened(
    cluster: Cluster, method: str, path: str, *headers: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which a request's head has been sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", cluster.port, limit=1 << 20)
    lines = [f"{method} {path} HTTP/1.1", "Host: here.example", *headers]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    return reader, writer


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    if "content-length" in headers:
        return int(first.split()[1]), headers, await reader.readexactly(int(headers["content-length"]))
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readline()
    return int(first.split()[1]), headers, body


async def written(writer: asyncio.StreamWriter, total: int, piece: Callable[[bytes], bytes]) -> int:
    """Writes until nobody takes it any more; gives how much was taken."""
    sent, block = 0, b"x" * (1 << 20)
    while sent < total:
        writer.write(piece(block))
        sent += len(block)
        try:
            await asyncio.wait_for(writer.drain(), 1)
        except TimeoutError:
            break
    return sent


@pytest.mark.parametrize("announced", [True, False])
async def test_an_upload_waits_for_who_takes_it(cluster: Cluster, announced: bool) -> None:
    """A backend that doesn't read holds the client back; then all of it arrives."""
    go, got = asyncio.Event(), 0

    async def count(head: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        await go.wait()
        chunked = "transfer-encoding: chunked" in [line.lower() for line in head]
        assert chunked is not announced
        while got < LARGE:
            size = int(await reader.readline(), 16) if chunked else 1 << 16
            got += len(await reader.readexactly(size))
            if chunked:
                await reader.readline()
        if chunked:
            assert await reader.readline() == b"0\r\n"
        writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")

    def piece(block: bytes) -> bytes:
        return block if announced else b"%x\r\n%b\r\n" % (len(block), block)

    async with backend(count) as port:
        how = f"Content-Length: {LARGE}" if announced else "Transfer-Encoding: chunked"
        reader, writer = await opened(cluster, "POST", f"{PODS}/p:{port}/proxy/up", how)
        sent = await written(writer, LARGE, piece)
        assert sent < HELD
        go.set()
        await writer.drain()
        await written(writer, LARGE - sent, piece)
        if not announced:
            writer.write(b"0\r\n\r\n")
        assert (await answer(reader))[::2] == (201, b"ok")
        assert got == LARGE
        writer.close()


async def test_an_upload_that_breaks_off_is_none(cluster: Cluster) -> None:
    ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def take(head: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.set_result(await reader.read(1 << 20) + await reader.read())

    async with backend(take) as port:
        _, writer = await opened(cluster, "POST", f"{PODS}/p:{port}/proxy/up", "Transfer-Encoding: chunked")
        writer.write(b"3\r\nabc\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        assert await asyncio.wait_for(ended, 10) == b"3\r\nabc\r\n"


async def test_a_download_waits_for_who_takes_it(cluster: Cluster) -> None:
    stuck: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def send(head: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n" % LARGE)
        sent = await written(writer, LARGE, bytes)
        stuck.set_result(sent)
        await writer.drain()
        await written(writer, LARGE - sent, bytes)

    async with backend(send) as port:
        reader, writer = await opened(cluster, "GET", f"{PODS}/p:{port}/proxy/down")
        assert await asyncio.wait_for(stuck, 30) < HELD
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"content-length: %d" % LARGE in head.lower()
        got = 0
        while got < LARGE:
            got += len(await reader.read(1 << 20))
        assert got == LARGE
        writer.close()


async def test_a_refused_upload_is_not_read(cluster: Cluster) -> None:
    reader, writer = await opened(cluster, "POST", f"{PODS}/none:1/proxy/up", f"Content-Length: {LARGE}")
    status, headers, body = await answer(reader)
    assert (status, headers["connection"]) == (404, "close") and b'pods \\"none\\" not found' in body
    writer.close()
    reader, writer = await opened(cluster, "POST", "/api/v1/namespaces/default/configmaps", f"Content-Length: {LARGE}")
    assert (await answer(reader))[0] == 413
    writer.close()


async def test_another_protocol_passes_byte_by_byte(cluster: Cluster) -> None:
    """Until one of them ends it."""

    async def echo(head: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert {"upgrade: websocket", "connection: upgrade"} <= {line.lower() for line in head}
        assert "sec-websocket-key: k" in {line.lower() for line in head}
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        while (data := await reader.read(100)) != b"quit":
            writer.write(data.upper())
        writer.write(b"bye")

    async with backend(echo) as port:
        upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: k")
        reader, writer = await opened(cluster, "GET", f"{PODS}/p:{port}/proxy/ws", *upgrade)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.write(b"abc")
        assert await reader.readexactly(3) == b"ABC"
        writer.write(b"quit")
        assert await reader.read() == b"bye"
        writer.close()


async def test_a_refusal_to_upgrade_is_passed_on(cluster: Cluster) -> None:
    async def refuse(head: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 426 Upgrade Required\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno")

    async with backend(refuse) as port:
        upgrade = ("Connection: Upgrade", "Upgrade: h2c")
        reader, writer = await opened(cluster, "GET", f"{PODS}/p:{port}/proxy/", *upgrade)
        assert (await answer(reader))[::2] == (426, b"no")
        writer.close()


@pytest.mark.parametrize("packed", [False, True])
async def test_pages_lead_back_through_the_proxy(cluster: Cluster, packed: bool) -> None:
    async def show(head: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = next(line.partition(": ")[2] for line in head if line.lower().startswith("host: "))
        page = PAGE.replace("HERE", f"http://{host}").encode()
        page = gzip.compress(page) if packed else page
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n")
        writer.write(b"Access-Control-Allow-Origin: *\r\nX-Own: 1\r\n")
        writer.write(b"Content-Encoding: gzip\r\n" if packed else b"")
        writer.write(b"Content-Length: %d\r\n\r\n" % len(page))
        for at in range(0, len(page), 7):
            writer.write(page[at : at + 7])
            await writer.drain()

    async with backend(show) as port:
        base = f"{PODS}/p:{port}/proxy"
        reader, writer = await opened(cluster, "GET", f"{base}/some/page.html")
        status, headers, body = await answer(reader)
        assert (status, headers["x-own"], headers.get("access-control-allow-origin")) == (200, "1", None)
        text = (gzip.decompress(body) if packed else body).decode()
        assert text == MOVED.replace("P/", f"{base}/")
        writer.close()


@pytest.mark.parametrize(
    ("link", "moved"),
    [
        ("/x?y#z", "/p/x?y#z"),
        ("/p/x", "/p/x"),
        ("/pp/x", "/p/pp/x"),
        ("/", "/p/"),
        ("x", "x"),
        ("../x", "../x"),
        ("http://backend:80/x", "/p/x"),
        ("https://here/x", "/p/x"),
        ("http://elsewhere/x", "http://elsewhere/x"),
        ("//elsewhere/x", "//elsewhere/x"),
        ("mailto:a@b", "mailto:a@b"),
        ("http://[", "http://["),
        ("", ""),
    ],
)
def test_links(link: str, moved: str) -> None:
    assert Links("/p", frozenset(("backend:80", "here"))).moved(link) == moved


async def test_what_concerns_one_connection_stays_there_and_trailers_pass(cluster: Cluster) -> None:
    seen: list[str] = []

    async def tell(head: list[str], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.extend(line.lower() for line in head)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nX-Mine: 1\r\nX-Own: 2\r\nTrailer: X-Sum\r\n")
        writer.write(b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 3\r\n\r\n")

    async with backend(tell) as port:
        named = ("Connection: X-Hop", "X-Hop: 1", "X-End: 2", "TE: trailers", "Keep-Alive: 5")
        reader, writer = await opened(cluster, "GET", f"{PODS}/p:{port}/proxy/", *named)
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
        assert {"x-own: 2", "trailer: x-sum"} <= set(head) and "x-mine: 1" not in head
        assert await reader.readuntil(b"0\r\n") == b"2\r\nok\r\n0\r\n"
        assert (await reader.readuntil(b"\r\n\r\n")).lower() == b"x-sum: 3\r\n\r\n"
        assert {"x-end: 2", "te: trailers"} <= set(seen)
        assert not {"x-hop: 1", "keep-alive: 5", "connection: x-hop"} & set(seen)
        writer.close()
