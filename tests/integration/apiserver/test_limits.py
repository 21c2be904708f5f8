"""What clients can't do to a server: hold its memory by not reading, its connections by not sending, or its time."""

from __future__ import annotations

import asyncio
import gc
import gzip
import json
import socket
import ssl
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from kybern.apiserver import selfmade, tls, watcher
from kybern.apiserver import server as listening
from kybern.apiserver.limits import MAX_BODY
from kybern.apiserver.server import Server
from tests.integration.apiserver.inprocess import ADMIN, Api, serving

MAPS = "/api/v1/namespaces/default/configmaps"
BIG = "x" * 100_000


@pytest.fixture
async def own(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """A server in a hurry, which listens."""
    monkeypatch.setattr(listening, "SWEEP_SECONDS", 0.05)
    monkeypatch.setattr(listening, "STUCK_SECONDS", 0.3)
    monkeypatch.setattr(listening, "HEADER_SECONDS", 0.3)
    async with serving() as api:
        api.app.request_timeout = 0.4
        listener = Server(api.app)
        api.port = await listener.start("127.0.0.1", 0, None)  # type: ignore[attr-defined]
        api.listener = listener  # type: ignore[attr-defined]
        yield api
        await listener.close(0.1)


def head(method: str, target: str, **headers: str) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: x", f"Authorization: Bearer test {ADMIN}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def deaf(api: Any) -> socket.socket:
    """A connection of a client that reads nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", api.port))
    return client


async def until(condition: Callable[[], Any], seconds: float = 5) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
    return int(lines[0].split()[1]), await reader.readexactly(int(headers.get("content-length", 0)))


async def exchange(api: Any, sent: bytes) -> tuple[int, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    writer.write(sent)
    code, body = await answer(reader)
    writer.close()
    return code, json.loads(body) if body.startswith(b"{") else body


async def test_a_watcher_that_reads_nothing_is_dropped_and_the_others_do_not_notice(own: Any) -> None:
    cache = own.app.registry.cache(own.app.registry.scheme.resource("", "configmaps"))
    await own.ok("GET", MAPS)
    others = len(cache.listeners)
    stuck = deaf(own)
    stuck.sendall(head("GET", f"{MAPS}?watch=1"))
    await until(lambda: len(cache.listeners) == others + 1)
    async with own.watch(MAPS) as heard:
        heard.take()
        for number in range(150):
            await own.ok("POST", MAPS, {"metadata": {"name": f"m{number}"}, "data": {"x": BIG}})
            await asyncio.sleep(0)
        await until(lambda: len(cache.listeners) == others + 1)
        assert len(heard.brief()) == 150
        assert not heard.done.is_set()
    await until(lambda: not own.listener.connections)
    stuck.close()


async def test_what_a_watcher_is_owed_is_bounded_in_bytes(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "MAX_OWED_BYTES", 250_000)
    async with own.watch(MAPS) as behind:
        behind.take()
        behind.congested = True
        for number in range(3):
            assert not behind.done.is_set()
            await own.ok("POST", MAPS, {"metadata": {"name": f"m{number}"}, "data": {"x": BIG}})
        assert behind.done.is_set()
    cache = own.app.registry.cache(own.app.registry.scheme.resource("", "configmaps"))
    assert cache.dropped == 1


async def test_what_a_watch_does_not_select_is_not_owed(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "MAX_OWED", 2)
    async with own.watch(f"{MAPS}?labelSelector=a") as behind:
        behind.congested = True
        for number in range(5):
            await own.ok("POST", MAPS, {"metadata": {"name": f"m{number}"}})
        assert not behind.done.is_set()


async def test_a_watch_that_names_no_time_ends_in_the_servers(own: Any) -> None:
    own.app.watch_seconds = 0.1
    async with asyncio.timeout(5), own.watch(MAPS) as watched:
        await watched.done.wait()


async def test_who_is_about_to_end_says_so_and_goes_on_serving(own: Any) -> None:
    own.app.checks["shutdown"] = lambda: "it ends" if own.listener.ending else ""
    assert (await exchange(own, head("GET", "/readyz")))[0] == 200
    lingering = asyncio.ensure_future(own.listener.linger(0.2))
    await asyncio.sleep(0)
    assert (await exchange(own, head("GET", "/readyz")))[0] == 500
    assert (await exchange(own, head("GET", "/livez")))[0] == 200
    await lingering


async def test_a_list_that_nobody_takes_is_given_up(own: Any) -> None:
    for number in range(150):
        await own.ok("POST", MAPS, {"metadata": {"name": f"m{number}"}, "data": {"x": BIG}})
    stuck = deaf(own)
    stuck.sendall(head("GET", MAPS))
    await until(lambda: own.app.running[False] == 1)
    await until(lambda: not own.listener.connections and own.app.running[False] == 0)
    stuck.close()


async def test_a_body_that_does_not_come_is_not_waited_for(own: Any) -> None:
    sent = head("POST", MAPS, Content_Type="application/json", Content_Length="100") + b'{"kind":'
    code, said = await exchange(own, sent)
    assert (code, said["reason"]) == (504, "Timeout")
    assert said["message"] == "Timeout: request did not complete within the allotted timeout"


async def test_headers_that_do_not_come_are_not_waited_for_and_too_many_are_refused(own: Any) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", own.port)
    writer.write(b"GET / HTTP/1.1\r\nHost:")
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    code, _ = await exchange(own, head("GET", "/version", X_Much="y" * (1024 * 1024 + 1)))
    assert code == 431


async def test_what_takes_too_long_is_answered_with_504(own: Any) -> None:
    permit = own.app.authorizers[0].authorize

    async def slowly(user: Any, info: Any) -> Any:
        await asyncio.sleep(1)
        return await permit(user, info)

    own.app.authorizers[0].authorize = slowly
    code, said = await exchange(own, head("GET", MAPS))
    assert (code, said["reason"]) == (504, "Timeout")
    wanted = 'resource="configmaps",scope="namespace",subresource="",verb="LIST",version="v1"} 1.0'
    page = own.app.telemetry.page().decode()
    lines = [line for line in page.splitlines() if line.startswith("apiserver_request_terminations_total")]
    assert any('code="504"' in line and line.endswith(wanted) for line in lines)
    code, said = await exchange(own, head("GET", f"{MAPS}?timeout=20ms"))
    assert (code, said["reason"]) == (504, "Timeout")
    await until(lambda: own.app.running[False] == 0)
    why = await own.why(400, "GET", f"{MAPS}?timeout=soon")
    assert why == 'invalid timeout specified in the request URL - time: invalid duration "soon"'


async def test_who_is_gone_does_not_wait_for_its_turn(own: Any) -> None:
    own.app.request_timeout = 0.0
    level = own.app.flows.levels["global-default"]
    level.resize(0)
    reader, writer = await asyncio.open_connection("127.0.0.1", own.port)
    writer.write(head("GET", MAPS).replace(ADMIN.encode(), b"someone"))
    await until(lambda: level.waiting == 1)
    writer.close()
    await until(lambda: level.waiting == 0)
    rejected = sum(count.rejected.get("cancelled", 0) for count in level.counts.values())
    assert rejected == 1 and level.idle
    assert reader is not None


async def test_a_compressed_body_may_be_no_larger_unpacked(own: Any) -> None:
    def packed(body: bytes) -> bytes:
        sizes = {"Content_Type": "application/json", "Content_Encoding": "gzip", "Content_Length": str(len(body))}
        return head("POST", MAPS, **sizes) + body

    code, made = await exchange(own, packed(gzip.compress(b'{"metadata":{"name":"packed"}}')))
    assert (code, made["metadata"]["name"]) == (201, "packed")
    code, said = await exchange(own, packed(gzip.compress(b" " * (MAX_BODY * 100))))
    assert (code, said["reason"]) == (413, "RequestEntityTooLarge")
    assert (await exchange(own, packed(gzip.compress(b"{}")[:-4])))[0] == 400
    assert (await exchange(own, packed(b"no gzip")))[0] == 400


@pytest.mark.parametrize("depth", [129, 5000, 100_000])
async def test_json_that_nests_too_deep_is_refused(own: Any, depth: int) -> None:
    body = b'{"metadata":{"name":"x"},"data":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
    sent = head("POST", MAPS, Content_Type="application/json", Content_Length=str(len(body))) + body
    assert (await exchange(own, sent))[0] == 400


async def test_yaml_that_multiplies_itself_is_refused(own: Any) -> None:
    lines = ['a0: &a0 ["lol","lol","lol","lol","lol","lol","lol","lol","lol"]']
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    body = "\n".join(lines).encode()
    sent = head("POST", MAPS, Content_Type="application/yaml", Content_Length=str(len(body))) + body
    code, said = await exchange(own, sent)
    assert code == 400 and "excessive aliasing" in said["message"]


async def test_connections_that_fail_at_tls_are_counted(own: Any, tmp_path: Path) -> None:
    context = tls.server_context(*selfmade.serving_certificate(tmp_path, ["127.0.0.1"]), None)
    listener = Server(own.app)
    port = await listener.start("127.0.0.1", 0, context)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await reader.read() == b""
    writer.close()
    await until(lambda: gc.collect() is not None and own.app.handshake_errors == 1)
    trusting = ssl._create_unverified_context()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
    writer.write(head("GET", "/version"))
    assert (await answer(reader))[0] == 200
    writer.close()
    await listener.close(0.1)
    assert own.app.handshake_errors == 1


async def test_what_a_connection_held_goes_with_it(own: Any) -> None:
    gc.collect()
    gc.disable()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", own.port)
        writer.write(head("GET", "/version"))
        assert (await answer(reader))[0] == 200
        (connection,) = map(weakref.ref, own.listener.connections)
        writer.close()
        await until(lambda: connection() is None)
    finally:
        gc.enable()


async def test_large_items_are_joined_a_few_at_a_time(own: Any) -> None:
    for number in range(10):
        await own.ok("POST", MAPS, {"metadata": {"name": f"large-{number}"}, "data": {"k": "x" * 300_000}})
    response = await own.respond("GET", MAPS)
    pieces = [len(piece) async for piece in response.body]
    assert max(pieces) < 1_000_000
    assert str(sum(pieces)) == dict(response.headers)["content-length"]
