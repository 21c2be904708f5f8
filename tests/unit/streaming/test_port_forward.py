"""Port forwarding over SPDY, SPDY inside a WebSocket, and WebSocket channels."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from kybern.streaming import port_forward
from kybern.streaming.port_forward import Forwarded, Forwarder
from kybern.streaming.spdy import SpdyConnection
from kybern.streaming.streams import pump, read_all
from kybern.streaming.websocket import Pipe, WebSocket
from tests.unit.streaming.wires import wire


@pytest.fixture(params=["spdy", "tunnel"])
async def forwarders(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Forwarder, Forwarder]]:
    """A client and a server, joined directly or by SPDY inside a WebSocket."""
    async with contextlib.AsyncExitStack() as stack:
        near, far = await stack.enter_async_context(wire())
        if request.param == "tunnel":
            pipes = Pipe(WebSocket(*near, client=True)), Pipe(WebSocket(*far, client=False))
            near, far = [(pipe, pipe) for pipe in pipes]
            for pipe in pipes:
                stack.push_async_callback(pipe.wait_closed)
        client = await stack.enter_async_context(Forwarder(*near, client=True))
        server = await stack.enter_async_context(Forwarder(*far, client=False))
        yield client, server


async def accept(server: Forwarder) -> Forwarded:
    forwarded = await server.accept()
    assert forwarded is not None
    return forwarded


async def test_connections_are_forwarded_side_by_side(forwarders: tuple[Forwarder, Forwarder]) -> None:
    client, server = forwarders
    first, second = await client.open(80), await client.open(443)
    at_first, at_second = await accept(server), await accept(server)
    assert (at_first.port, at_second.port) == (80, 443)
    await second.data.write(b"two")
    await first.data.write(b"one")
    assert await at_first.data.read() == b"one"
    assert await at_second.data.read() == b"two"
    echo = asyncio.ensure_future(pump(at_first.data, at_first.data))
    await first.data.write(b"x" * 300_000)
    await first.data.close_write()
    assert await read_all(first.data) == b"x" * 300_000
    await echo


async def test_the_reason_of_a_failure_arrives(forwarders: tuple[Forwarder, Forwarder]) -> None:
    client, server = forwarders
    forwarded = await client.open(81)
    await (await accept(server)).fail("connection refused")
    assert await read_all(forwarded.error) == b"connection refused"
    assert await forwarded.data.read() == b""
    with pytest.raises(ConnectionError):
        await forwarded.data.write(b"x")


async def test_the_end_of_the_client_ends_the_server(forwarders: tuple[Forwarder, Forwarder]) -> None:
    client, server = forwarders
    forwarded = await client.open(81)
    there = await accept(server)
    await client.__aexit__()
    assert await server.accept() is None
    assert await there.data.read() == b""
    with pytest.raises(ConnectionError):
        await forwarded.data.write(b"x")


async def test_streams_that_make_no_sense_are_reset() -> None:
    async with (
        wire() as (near, far),
        SpdyConnection(*near, client=True) as client,
        Forwarder(*far, client=False) as server,
    ):
        strange = [
            {"streamtype": "stdin", "port": "80", "requestid": "1"},
            {"streamtype": "data", "port": "eighty", "requestid": "1"},
            {"streamtype": "data", "port": "65536", "requestid": "1"},
            {"streamtype": "data", "requestid": "1"},
            {},
        ]
        streams = [await client.open(headers) for headers in strange]
        good = {"port": "80", "requestid": "2"}
        await client.open({"streamtype": "data", **good})
        await client.open({"streamtype": "error", **good})
        assert (await accept(server)).port == 80
        for stream in streams:
            assert await stream.read() == b""
            with pytest.raises(ConnectionError):
                await stream.write(b"x")


@pytest.mark.parametrize("protocol", ["v4.channel.k8s.io", "v4.base64.channel.k8s.io"])
async def test_websocket_channels(protocol: str) -> None:
    ports = [80, 443]
    async with (
        wire() as (near, far),
        port_forward.serve_websocket(*far, ports, protocol) as (there, closed),
        port_forward.connect_websocket(*near, ports, protocol) as here,
    ):
        assert [f.port for f in there] == [f.port for f in here] == ports
        await here[1].data.write(b"to 443")
        assert await there[1].data.read() == b"to 443"
        await there[0].data.write(b"from 80")
        assert await here[0].data.read() == b"from 80"
        await there[1].error.write(b"refused")
        assert await here[1].error.read() == b"refused"
        near[1].close()
        await asyncio.wait_for(closed.wait(), 30)


async def test_a_server_of_other_ports_is_noticed() -> None:
    async with wire() as (near, far), port_forward.serve_websocket(*far, [80], "v4.channel.k8s.io"):
        with pytest.raises(ConnectionError, match="other ports"):
            async with port_forward.connect_websocket(*near, [81], "v4.channel.k8s.io"):
                pass


@pytest.mark.parametrize(
    ("query", "ports"),
    [
        ({"port": ["80"]}, [80]),
        ({"port": ["80", "443"]}, [80, 443]),
        ({"ports": ["80,443"]}, [80, 443]),
    ],
)
def test_ports(query: dict[str, list[str]], ports: list[int]) -> None:
    assert port_forward.ports_of(query) == ports


@pytest.mark.parametrize("query", [{}, {"port": ["x"]}, {"port": ["0"]}, {"port": ["65536"]}, {"port": [""]}])
def test_ports_that_are_none(query: dict[str, list[str]]) -> None:
    with pytest.raises(ValueError):
        port_forward.ports_of(query)
