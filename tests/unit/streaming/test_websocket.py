"""The WebSocket handshake and connection, with the official Python client as the other side."""

from __future__ import annotations

import asyncio
import contextlib

import kubernetes.client
import pytest
from kubernetes.stream.ws_client import WSClient

from kybern.streaming import client, exit_status, remote_command
from kybern.streaming.channels import V4
from kybern.streaming.remote_command import Options
from kybern.streaming.websocket import Pipe, WebSocket, accept, is_websocket
from tests.unit.streaming.wires import wire

ASKING = {
    "connection": "keep-alive, Upgrade",
    "upgrade": "WebSocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def test_the_handshake_of_the_rfc() -> None:
    assert is_websocket(ASKING)
    answer = accept(ASKING, [""])
    assert answer is not None
    assert answer[0] == ""
    assert ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") in answer[1]


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [("v4.channel.k8s.io", V4), ("v5.channel.k8s.io, v4.channel.k8s.io", V4), ("x", None), ("", None)],
)
def test_the_subprotocol_is_the_first_that_is_known(offered: str, chosen: str | None) -> None:
    answer = accept({**ASKING, "sec-websocket-protocol": offered}, [V4])
    assert (answer and answer[0]) == chosen


@pytest.mark.parametrize("changed", [{"sec-websocket-key": ""}, {"sec-websocket-version": "8"}])
def test_improper_handshakes(changed: dict[str, str]) -> None:
    assert accept({**ASKING, **changed}, [""]) is None


async def test_pings_are_answered_and_closing_is_mutual() -> None:
    async with wire() as (near, far):
        server = WebSocket(*far, client=False)
        receiving = asyncio.ensure_future(server.receive())
        near[1].write(b"\x89\x80\0\0\0\0" + b"\x88\x82\0\0\0\0\x03\xe8")
        assert await near[0].readexactly(2) == b"\x8a\x00"
        assert await near[0].readexactly(4) == b"\x88\x02\x03\xe8"
        assert await receiving is None


async def test_unmasked_or_broken_frames_end_it() -> None:
    async with wire() as (near, far):
        server = WebSocket(*far, client=False)
        near[1].write(b"\x82\x05hello" * 3)
        with contextlib.suppress(ConnectionError):
            assert await server.receive() is None


async def test_a_pipe_carries_bytes_whatever_the_messages_are() -> None:
    async with wire() as (near, far):
        here, there = Pipe(WebSocket(*near, client=True)), Pipe(WebSocket(*far, client=False))
        sent = b"".join(b"%d," % n for n in range(50_000))

        async def send() -> None:
            for at in range(0, len(sent), 777):
                here.write(sent[at : at + 777])
                await here.drain()
            here.close()

        sending, received = asyncio.ensure_future(send()), b""
        while data := await there.read(1000):
            assert len(data) <= 1000
            received += data
        assert received == sent
        await sending
        there.close()
        await asyncio.gather(here.wait_closed(), there.wait_closed())


async def exec_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says something on stderr, echoes stdin as stdout up to a full stop, ends with 3."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
    agreed = accept(headers, remote_command.WEBSOCKET_PROTOCOLS)
    assert agreed is not None
    lines = ["HTTP/1.1 101 Switching Protocols", *(f"{name}: {value}" for name, value in agreed[1])]
    writer.write("\r\n".join([*lines, "", ""]).encode())
    options = Options(stdin=True, stdout=True, stderr=True)
    async with remote_command.serve_websocket(reader, writer, options, agreed[0]) as session:
        await session.stderr.write(b"warning")
        said = b""
        while not said.endswith(b"."):
            said = await session.stdin.read()
            await session.stdout.write(said)
        await session.finish(exit_status.exited(3))


async def test_the_official_clients_exec() -> None:
    """kubernetes.stream's client speaks v4.channel.k8s.io."""
    server = await asyncio.start_server(exec_server, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    def run() -> tuple[str, str]:
        configuration = kubernetes.client.Configuration()
        url = f"ws://127.0.0.1:{port}/api/v1/namespaces/default/pods/p/exec"
        stream = WSClient(configuration, url, {"sec-websocket-protocol": V4}, True)
        stream.write_stdin("x" * 100_000 + ".")
        stream.run_forever(timeout=30)
        try:
            return stream.read_stdout(), f"{stream.read_stderr()} {stream.returncode}"
        finally:
            stream.close()

    async with server:
        out, rest = await asyncio.to_thread(run)
    assert out == "x" * 100_000 + "."
    assert rest == "warning 3"


async def test_our_client_execs() -> None:
    server = await asyncio.start_server(exec_server, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        reader, writer, headers = await client.upgrade(
            f"http://127.0.0.1:{port}/exec?x=1", protocols=[V4], to=client.WEBSOCKET
        )
        assert headers["sec-websocket-protocol"] == V4
        options = Options(stdin=True, stdout=True, stderr=True)
        async with remote_command.connect_websocket(reader, writer, options, V4) as session:
            assert await session.stderr.read() == b"warning"
            await session.stdin.write(b"bye.")
            assert await session.stdout.read() == b"bye."
            assert exit_status.exit_code(await session.status()) == 3
