"""Real containers through the kubelet's server: exec, attach, logs and port-forward."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import orjson
import pytest

from kybern.cluster.layout import Layout
from kybern.streaming import client, exit_status, http1, port_forward, remote_command
from kybern.streaming.client import SPDY, WEBSOCKET
from kybern.streaming.port_forward import Forwarder
from kybern.streaming.remote_command import Options, Session
from kybern.streaming.streams import Stream, read_all
from tests.integration.kubelet.streams import TALK, Node, Pod, running_containerd

WAYS = [("v4.channel.k8s.io", SPDY), ("v5.channel.k8s.io", WEBSOCKET)]


@pytest.fixture(scope="module")
def layout() -> Iterator[Layout]:
    if os.geteuid() or not all(map(shutil.which, ("containerd", "runc", "ctr", "catatonit", "busybox"))):
        pytest.skip("needs root, containerd, runc, catatonit and busybox")
    with running_containerd() as running:
        yield running


@pytest.fixture
async def node(layout: Layout, tmp_path: Path) -> AsyncIterator[Node]:
    made = Node(layout, tmp_path)
    await made.server.start()
    relisting = asyncio.ensure_future(made.cache.run())
    yield made
    relisting.cancel()
    await made.close()


@pytest.fixture
async def pod(node: Node) -> Pod:
    """A pod with a container that sleeps."""
    made = Pod("p", node)
    await made.start()
    await made.run("sleeper", "sleep 1000")
    return made


class connected:
    """A session with a container, as client."""

    def __init__(self, node: Node, path: str, options: Options, protocol: str, to: str) -> None:
        flags = {"input": options.stdin, "output": options.stdout, "error": options.stderr, "tty": options.tty}
        query = "&".join(f"{name}=1" for name, wanted in flags.items() if wanted)
        self.url, self.tls = f"{node.url}{path}{'&' if '?' in path else '?'}{query}", node.tls
        self.options, self.protocol, self.to = options, protocol, to

    async def __aenter__(self) -> Session:
        reader, writer, _ = await client.upgrade(self.url, self.tls, [self.protocol], to=self.to)
        connect = remote_command.connect_websocket if self.to == WEBSOCKET else remote_command.connect_spdy
        self.session = connect(reader, writer, self.options, self.protocol)
        return await self.session.__aenter__()

    async def __aexit__(self, *raised: object) -> None:
        await self.session.__aexit__(*raised)


def shell(script: str) -> str:
    return f"?command=sh&command=-c&command={script.replace(' ', '%20').replace(';', '%3B').replace('&', '%26')}"


async def until(stream: Stream, text: bytes) -> None:
    """Read until the text has come, in however many pieces."""
    said = b""
    while text not in said:
        piece = await stream.read()
        assert piece, said
        said += piece


@pytest.mark.parametrize(("protocol", "to"), WAYS)
async def test_exec(node: Node, pod: Pod, protocol: str, to: str) -> None:
    options = Options(stdin=True, stdout=True, stderr=True)
    path = "/exec/default/p/sleeper" + shell("cat; echo no >&2; exit 7")
    async with connected(node, path, options, protocol, to) as session:
        sent = b"0123456789abcdef" * 20_000
        await session.stdin.write(sent)
        await session.stdin.close_write()
        assert await asyncio.gather(read_all(session.stdout), read_all(session.stderr)) == [sent, b"no\n"]
        assert exit_status.exit_code(await session.status()) == 7


@pytest.mark.parametrize(("protocol", "to"), WAYS)
async def test_a_terminal_and_its_size(node: Node, pod: Pod, protocol: str, to: str) -> None:
    options = Options(stdin=True, stdout=True, tty=True)
    async with connected(node, "/exec/default/p/sleeper?command=sh", options, protocol, to) as session:
        await session.send_size(99, 33)
        said = b""
        async with asyncio.timeout(20):
            while b"33 99" not in said:  # the size comes by a way of its own
                await session.stdin.write(b"stty size\n")
                said += await session.stdout.read()
        await session.stdin.write(b"exit 3\n")
        await read_all(session.stdout)
        assert exit_status.exit_code(await session.status()) == 3


async def test_a_program_that_is_not_there(node: Node, pod: Pod) -> None:
    path = "/exec/default/p/sleeper?command=nothing-of-the-kind"
    async with connected(node, path, Options(stdout=True), *WAYS[0]) as session:
        status = await session.status()
    assert status["status"] == "Failure"
    assert "executable file not found" in status["message"]


@pytest.mark.parametrize(("protocol", "to"), WAYS)
async def test_attach(node: Node, pod: Pod, protocol: str, to: str) -> None:
    await pod.run("talker", TALK, stdin=True)
    options = Options(stdin=True, stdout=True, stderr=True)
    async with connected(node, "/attach/default/p/talker", options, protocol, to) as session:
        await session.stdin.write(b"one\n")
        await until(session.stdout, b"got one\n")
        await until(session.stderr, b"oops\n")
        await session.stdin.close_write()
        assert (await read_all(session.stdout)).endswith(b"bye\n")
        assert (await session.status())["status"] == "Success"


async def log(node: Node, container: str, query: str = "") -> tuple[int, bytes]:
    answer = await http1.send(f"{node.url}/containerLogs/default/p/{container}{query}", ssl=node.tls)
    return answer.status, await http1.whole_body(answer)


async def test_logs_are_followed_to_the_containers_end(node: Node, pod: Pod) -> None:
    await pod.run("talker", TALK, stdin=True)
    answer = await http1.send(f"{node.url}/containerLogs/default/p/talker?follow=true", ssl=node.tls)
    body = http1.body_of(answer)
    said = b""
    while said != b"hello\n":
        said += await anext(body)
    options = Options(stdin=True)
    async with connected(node, "/attach/default/p/talker", options, *WAYS[0]) as session:
        await session.stdin.write(b"one\n")
        while b"got one\n" not in said:
            said += await anext(body)
        await session.stdin.close_write()
    said += b"".join([piece async for piece in body])
    assert sorted(said.splitlines()) == [b"bye", b"got one", b"hello", b"oops"]
    assert await log(node, "talker", "?tailLines=1") == (200, b"bye\n")
    assert await log(node, "talker", "?stream=Stderr") == (200, b"oops\n")
    status, text = await log(node, "talker", "?previous=true")
    assert (status, text) == (400, b'previous terminated container "talker" in pod "p" not found')


async def test_long_lines_are_given_whole(node: Node, pod: Pod) -> None:
    await pod.run("long", "head -c 40000 /dev/zero | tr '\\0' x; echo; echo end")
    answer = await http1.send(f"{node.url}/containerLogs/default/p/long?follow=true&timestamps=1", ssl=node.tls)
    first, second = (await http1.whole_body(answer)).splitlines()
    assert first.split(b" ")[1] == b"x" * 40000
    assert second.endswith(b" end")


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1024):
        writer.write(data.upper())
    writer.close()


async def read_some(stream: Stream, size: int) -> bytes:
    """The next `size` bytes, which may come in pieces."""
    read = b""
    while len(read) < size and (piece := await stream.read()):
        read += piece
    return read


async def test_ports(node: Node, pod: Pod) -> None:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    reader, writer, _ = await client.upgrade(f"{node.url}/portForward/default/p", node.tls, [port_forward.PROTOCOL])
    async with Forwarder(reader, writer, client=True) as forwarder:
        connection, refused = await forwarder.open(port), await forwarder.open(1)
        assert b"connection refused" in await read_all(refused.error)
        await connection.data.write(b"abc")
        assert await read_some(connection.data, 3) == b"ABC"
        await connection.data.close_write()
        assert await read_all(connection.data) == b""
    url, protocol = f"{node.url}/portForward/default/p?port={port}", "v4.channel.k8s.io"
    reader, writer, _ = await client.upgrade(url, node.tls, [protocol], to=WEBSOCKET)
    async with port_forward.connect_websocket(reader, writer, [port], protocol) as (connection,):
        await connection.data.write(b"def")
        assert await read_some(connection.data, 3) == b"DEF"
    server.close()


async def test_usage_is_told(node: Node, pod: Pod) -> None:
    answer = await http1.send(f"{node.url}/stats/summary", ssl=node.tls)
    (told,) = orjson.loads(await http1.whole_body(answer))["pods"]
    assert [container["name"] for container in told["containers"]] == ["sleeper"]
    assert told["containers"][0]["memory"]["workingSetBytes"] > 0
    assert told["cpu"]["usageCoreNanoSeconds"] > 0
