"""exec, attach and port-forward through the kubelet, by SPDY and by WebSocket."""

from __future__ import annotations

import pytest

from kybern.streaming import client, exit_status, port_forward, remote_command
from kybern.streaming.client import WEBSOCKET, UpgradeRefused
from kybern.streaming.port_forward import Forwarder
from kybern.streaming.remote_command import Options
from kybern.streaming.streams import read_all
from kybern.streaming.websocket import Pipe, WebSocket
from tests.unit.kubelet_server.conftest import Node

ALL = Options(stdin=True, stdout=True, stderr=True)


async def run(node: Node, path: str, typed: bytes, protocol: str, to: str) -> tuple[bytes, bytes, int | None]:
    """Type into a command; gives stdout, stderr and the exit code."""
    url = f"{node.url}{path}input=1&output=1&error=1"
    reader, writer, _ = await client.upgrade(url, node.tls, [protocol], to=to)
    connect = remote_command.connect_websocket if to == WEBSOCKET else remote_command.connect_spdy
    async with connect(reader, writer, ALL, protocol) as session:
        if typed:
            await session.stdin.write(typed)
        await session.stdin.close_write()
        out, error = await read_all(session.stdout), await read_all(session.stderr)
        return out, error, exit_status.exit_code(await session.status())


WAYS = [("v4.channel.k8s.io", client.SPDY), ("v5.channel.k8s.io", WEBSOCKET)]


@pytest.mark.parametrize(("protocol", "to"), WAYS)
async def test_what_is_typed_comes_back(node: Node, protocol: str, to: str) -> None:
    said = await run(node, "/exec/default/p/c?command=cat&", b"x" * 300_000, protocol, to)
    assert said == (b"x" * 300_000, b"", 0)
    (asked,) = node.runtime.asked
    assert (asked.container_id, list(asked.cmd)) == ("id1", ["cat"])
    assert (asked.stdin, asked.stdout, asked.stderr, asked.tty) == (True, True, True, False)


@pytest.mark.parametrize(("protocol", "to"), WAYS)
async def test_exit_codes_arrive(node: Node, protocol: str, to: str) -> None:
    assert await run(node, "/exec/default/p/u1/c?command=exit&command=7&", b"", protocol, to) == (b"", b"", 7)
    assert await run(node, "/exec/default/p/c?command=fail&command=no&", b"", protocol, to) == (b"", b"no", 1)


@pytest.mark.parametrize(("protocol", "to"), WAYS)
async def test_attach(node: Node, protocol: str, to: str) -> None:
    assert await run(node, "/attach/default/p/c?", b"hello", protocol, to) == (b"hello", b"", 0)
    assert node.runtime.asked[0].container_id == "id1"


async def test_terminal_sizes_reach_the_runtime(node: Node) -> None:
    url = f"{node.url}/exec/default/p/c?command=size&input=1&output=1&tty=1"
    protocol = "v5.channel.k8s.io"
    reader, writer, _ = await client.upgrade(url, node.tls, [protocol], to=WEBSOCKET)
    options = Options(stdin=True, stdout=True, tty=True)
    async with remote_command.connect_websocket(reader, writer, options, protocol) as session:
        await session.send_size(80, 24)
        assert exit_status.exit_code(await session.status()) == 0
    assert node.runtime.asked[0].tty


async def test_the_runtimes_refusal_is_passed_on(node: Node) -> None:
    with pytest.raises(UpgradeRefused) as caught:
        await client.upgrade(f"{node.url}/exec/default/p/c?command=missing&output=1", node.tls)
    assert caught.value.status == 404
    assert caught.value.text == "rpc error: code = NotFound desc = no such container"


async def test_a_runtime_that_is_not_there(node: Node) -> None:
    node.runtime.port = 1
    with pytest.raises(UpgradeRefused) as caught:
        await client.upgrade(f"{node.url}/exec/default/p/c?command=cat&output=1", node.tls)
    assert caught.value.status == 500
    said = await run(node, "/exec/default/p/c?command=cat&", b"", "v5.channel.k8s.io", WEBSOCKET)
    assert said == (b"", b"", None)


async def test_unknown_subprotocols_are_refused(node: Node) -> None:
    with pytest.raises(UpgradeRefused) as caught:
        await client.upgrade(f"{node.url}/exec/default/p/c?command=cat&output=1", node.tls, ["v9"], to=WEBSOCKET)
    assert caught.value.status == 403


async def forward(forwarder: Forwarder) -> None:
    good, bad = await forwarder.open(80), await forwarder.open(81)
    assert await read_all(bad.error) == b"connection refused"
    await good.data.write(b"abc")
    await good.data.close_write()
    assert await read_all(good.data) == b"ABC"


async def test_ports_by_spdy(node: Node) -> None:
    url = f"{node.url}/portForward/default/p"
    reader, writer, headers = await client.upgrade(url, node.tls, [port_forward.PROTOCOL])
    assert headers["x-stream-protocol-version"] == port_forward.PROTOCOL
    async with Forwarder(reader, writer, client=True) as forwarder:
        await forward(forwarder)
    assert node.runtime.asked[0].pod_sandbox_id == "s1"


async def test_ports_by_spdy_inside_a_websocket(node: Node) -> None:
    url = f"{node.url}/portForward/default/p/u1"
    reader, writer, _ = await client.upgrade(url, node.tls, [port_forward.TUNNEL_PROTOCOL], to=WEBSOCKET)
    pipe = Pipe(WebSocket(reader, writer, client=True))
    async with Forwarder(pipe, pipe, client=True) as forwarder:
        await forward(forwarder)
    await pipe.wait_closed()


async def test_ports_by_channels(node: Node) -> None:
    url, protocol = f"{node.url}/portForward/default/p?port=80,81", "v4.channel.k8s.io"
    reader, writer, _ = await client.upgrade(url, node.tls, [protocol], to=WEBSOCKET)
    async with port_forward.connect_websocket(reader, writer, [80, 81], protocol) as (good, bad):
        assert await bad.error.read() == b"connection refused"
        await good.data.write(b"abc")
        assert await good.data.read() == b"ABC"
    assert list(node.runtime.asked[0].port) == [80, 81]


async def test_channels_need_ports(node: Node) -> None:
    with pytest.raises(UpgradeRefused) as caught:
        await client.upgrade(f"{node.url}/portForward/default/p", node.tls, ["v4.channel.k8s.io"], to=WEBSOCKET)
    assert caught.value.status == 400
