"""What the listener does with connections, over real sockets."""

import asyncio

import pytest

from kybern.apiserver.edge import Edge
from kybern.apiserver.limits import MAX_BODY
from kybern.apiserver.request import Response
from kybern.apiserver.server import Server
from kybern.testing.cluster import InProcessCluster

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
async def server():
    async with InProcessCluster(nodes=0, scheduler=False) as cluster:
        listener = Server(cluster.app)
        port = await listener.start("127.0.0.1", 0, None)
        yield port, cluster._tokens["admin"]
        await listener.close(0.1)


def request(token, method="GET", path="/version", body=b"", extra=""):
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{extra}"
    if body:
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


async def read_answer(reader):
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    return int(lines[0].split()[1]), await reader.readexactly(int(headers["content-length"]))


async def test_requests_may_be_sent_ahead_and_are_answered_in_order(server):
    port, token = server
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(token) + request(token, path=f"{MAPS}/none") + request(token, path="/livez"))
    answers = [await read_answer(reader) for _ in range(3)]
    assert [code for code, _ in answers] == [200, 404, 200]
    assert answers[2][1] == b"ok"
    writer.close()


async def test_a_body_of_more_than_three_mebibytes_is_refused(server):
    port, token = server
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(token, "POST", MAPS, b"x" * (MAX_BODY + 1)))
    code, body = await read_answer(reader)
    assert code == 413
    assert b"RequestEntityTooLarge" in body
    writer.close()


async def test_a_chunked_body_is_put_together(server):
    port, token = server
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(token, "POST", MAPS, extra="Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n"))
    for piece in (b'{"kind":"ConfigMap","apiVersion":"v1",', b'"metadata":{"name":"pieces"}}'):
        writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        await asyncio.sleep(0)
    writer.write(b"0\r\n\r\n")
    assert (await read_answer(reader))[0] == 201
    writer.close()


async def test_what_is_not_http_is_refused_and_the_next_client_served(server):
    port, token = server
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400")
    writer.close()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request(token))
    assert (await read_answer(reader))[0] == 200
    writer.close()


async def test_metrics_count_requests(server):
    port, token = server
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for path in (MAPS, f"{MAPS}/none", "/apis/none/v1/nothing", "/metrics"):
        writer.write(request(token, path=path))
    answers = [await read_answer(reader) for _ in range(4)]
    page = answers[3][1].decode()
    read = 'version="v1"} 1.0'
    counted = [line for line in page.splitlines() if line.startswith("apiserver_request_total") and line.endswith(read)]
    mine = [line for line in counted if 'resource="configmaps"' in line]
    assert any('code="200"' in line and 'verb="LIST"' in line for line in mine)
    assert any('code="404"' in line and 'verb="GET"' in line for line in mine)
    assert 'resource="nothing"' not in page
    assert 'apiserver_request_duration_seconds_bucket{' in page
    writer.close()


async def test_a_server_that_ends_turns_away_who_comes_until_what_runs_is_done():
    async with InProcessCluster(nodes=0, scheduler=False) as cluster:
        app, token = cluster.app, cluster._tokens["admin"]
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slow(app, request):
            begun.set()
            await go_on.wait()
            return Response(200, b"done", "text/plain")

        app.routes["/slow"], app.edge = slow, Edge()
        listener = Server(app)
        port = await listener.start("127.0.0.1", 0, None)
        first, second = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        first[1].write(request(token, path="/slow"))
        await begun.wait()
        ending = asyncio.create_task(listener.turn_away(20))
        await asyncio.sleep(0)
        second[1].write(request(token, path="/api/v1/namespaces"))
        code, body = await read_answer(second[0])
        assert code == 429 and b"shutting down" in body
        assert await second[0].read() == b"", "the connection stays open"
        assert not ending.done()
        go_on.set()
        assert await read_answer(first[0]) == (200, b"done")
        await asyncio.wait_for(ending, 5)
        await listener.close(0.1)
