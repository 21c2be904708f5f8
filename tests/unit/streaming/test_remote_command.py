"""exec and attach over each protocol, in both roles."""

from __future__ import annotations

import asyncio
import contextlib
import tracemalloc
from collections.abc import AsyncIterator

import pytest

from kybern.streaming import exit_status, remote_command
from kybern.streaming.remote_command import Options, Session, negotiate
from kybern.streaming.streams import pump, read_all
from kybern.streaming.websocket import WebSocket
from tests.unit.streaming.wires import wire

KINDS = [
    "spdy v4.channel.k8s.io",
    "spdy v3.channel.k8s.io",
    "spdy channel.k8s.io",
    "websocket v5.channel.k8s.io",
    "websocket v4.channel.k8s.io",
    "websocket v4.base64.channel.k8s.io",
    "websocket channel.k8s.io",
    "websocket base64.channel.k8s.io",
]
HALF_CLOSING = [kind for kind in KINDS if kind.startswith("spdy") or "v5" in kind]
ALL = Options(stdin=True, stdout=True, stderr=True)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@contextlib.asynccontextmanager
async def sessions(kind: str, options: Options = ALL) -> AsyncIterator[tuple[Session, Session]]:
    """A client's and a server's session, joined."""
    transport, protocol = kind.split()
    connect = remote_command.connect_spdy if transport == "spdy" else remote_command.connect_websocket
    serve = remote_command.serve_spdy if transport == "spdy" else remote_command.serve_websocket
    async with (
        wire() as (near, far),
        connect(*near, options, protocol) as client,
        serve(*far, options, protocol) as server,
    ):
        yield client, server


async def test_output_and_exit_code(kind: str) -> None:
    async with wire() as (near, far):
        transport, protocol = kind.split()

        async def serve() -> None:
            serving = remote_command.serve_spdy if transport == "spdy" else remote_command.serve_websocket
            async with serving(*far, ALL, protocol) as session:
                await session.stdout.write(b"out\0" * 50_000)
                await session.stderr.write(b"err")
                await session.finish(exit_status.exited(42))

        serving = asyncio.ensure_future(serve())
        connect = remote_command.connect_spdy if transport == "spdy" else remote_command.connect_websocket
        async with connect(*near, ALL, protocol) as session:
            out, err, status = await asyncio.gather(
                read_all(session.stdout), read_all(session.stderr), session.status()
            )
        await serving
    assert out == b"out\0" * 50_000
    assert err == b"err"
    assert status["status"] == "Failure"
    assert "exit status 42" in status["message"]
    assert exit_status.exit_code(status) == (42 if "v4" in kind or "v5" in kind else None)


async def test_success(kind: str) -> None:
    async with sessions(kind) as (client, server):
        await server.finish(exit_status.success())
        if kind.startswith("spdy"):
            assert exit_status.exit_code(await client.status()) == 0
        elif server.structured:
            assert exit_status.exit_code(exit_status.decode(await client.error.read())) == 0


async def test_stdin(kind: str) -> None:
    async with sessions(kind) as (client, server):
        await client.stdin.write(b"x" * 100_000 + b"!")
        received = b""
        while len(received) < 100_001:
            received += await server.stdin.read()
        assert received == b"x" * 100_000 + b"!"


@pytest.mark.parametrize("kind", HALF_CLOSING)
async def test_stdin_can_end_before_the_output(kind: str) -> None:
    async with sessions(kind) as (client, server):

        async def cat() -> None:
            await pump(server.stdin, server.stdout)
            await server.finish(exit_status.success())

        cat_task = asyncio.ensure_future(cat())
        await client.stdin.write(b"to be echoed")
        await client.stdin.close_write()
        echoed = b""
        while len(echoed) < 12:
            echoed += await client.stdout.read()
        assert echoed == b"to be echoed"
        await cat_task


@pytest.mark.parametrize("kind", [k for k in KINDS if k not in HALF_CLOSING])
async def test_stdin_ends_with_the_connection_where_it_cannot_end_alone(kind: str) -> None:
    async with sessions(kind) as (client, server):
        await client.stdin.write(b"x")
        assert await server.stdin.read() == b"x"
        await client.stdin.close_write()
        reading = asyncio.ensure_future(server.stdin.read())
        await asyncio.sleep(0.01)
        assert not reading.done()
        reading.cancel()


@pytest.mark.parametrize("kind", [k for k in KINDS if k.split()[1].startswith(("v3", "v4", "v5"))])
async def test_terminal_sizes(kind: str) -> None:
    async with sessions(kind, Options(stdin=True, stdout=True, tty=True)) as (client, server):
        assert client.stderr is None
        await client.send_size(80, 24)
        await client.resize.write(b'not json\n{"Width":"x"}\n{"Width":1')
        await client.resize.write(b'32,"Height":43}{"Width":10,"Height":5}\n')
        sizes = server.sizes()
        assert [await anext(sizes) for _ in range(3)] == [(80, 24), (132, 43), (10, 5)]


async def test_the_server_hears_that_the_client_is_gone(kind: str) -> None:
    transport, protocol = kind.split()
    serve = remote_command.serve_spdy if transport == "spdy" else remote_command.serve_websocket
    connect = remote_command.connect_spdy if transport == "spdy" else remote_command.connect_websocket
    async with wire() as (near, far), connect(*near, ALL, protocol), serve(*far, ALL, protocol) as server:
        near[1].close()
        async with asyncio.timeout(30):
            await server.closed.wait()
            with contextlib.suppress(ConnectionError):
                assert await server.stdin.read() == b""


@pytest.mark.parametrize("kind", ["spdy v4.channel.k8s.io", "websocket v5.channel.k8s.io"])
async def test_a_large_transfer_takes_little_memory(kind: str) -> None:
    total, chunk = 50 << 20, b"x" * (256 << 10)
    async with sessions(kind) as (client, server):

        async def send() -> None:
            for _ in range(total // len(chunk)):
                await client.stdin.write(chunk)
            await client.stdin.close_write()

        tracemalloc.start()
        try:
            sending, received = asyncio.ensure_future(send()), 0
            while data := await server.stdin.read():
                received += len(data)
            await sending
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert received == total
        assert peak < 8 << 20


async def test_a_session_waits_for_the_clients_streams_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_command, "CREATION_TIMEOUT", 0.01)
    async with wire() as (_, far):
        with pytest.raises(TimeoutError):
            async with remote_command.serve_spdy(*far, ALL, "v4.channel.k8s.io"):
                pass


async def test_v5_servers_do_not_send_close_messages() -> None:
    """kubectl takes channel 255 from a server for a mistake, and says so to the user."""
    async with wire() as (near, far):
        async with remote_command.serve_websocket(*far, ALL, "v5.channel.k8s.io") as session:
            await session.stdout.write(b"x")
            await session.finish(exit_status.success())
            receiver = WebSocket(*near, client=True)
            seen = [(await receiver.receive()).data[:1] for _ in range(3)]
        assert seen == [b"\x01", b"\x01", b"\x03"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, Options()),
        ({"stdin": ["true"], "stdout": ["1"], "stderr": ["false"]}, Options(stdin=True, stdout=True)),
        ({"input": ["1"], "output": ["1"], "error": ["1"]}, ALL),
        ({"tty": ["true"], "stdout": ["true"], "stderr": ["true"]}, Options(stdout=True, tty=True)),
    ],
)
def test_options(query: dict[str, list[str]], expected: Options) -> None:
    assert Options.of(query) == expected


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["v4.channel.k8s.io", "v3.channel.k8s.io"], "v4.channel.k8s.io"),
        (["v9.channel.k8s.io", "v2.channel.k8s.io"], "v2.channel.k8s.io"),
        (["v9.channel.k8s.io"], None),
        ([], "channel.k8s.io"),
    ],
)
def test_negotiation(offered: list[str], chosen: str | None) -> None:
    assert negotiate(offered) == chosen


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"", 0),
        (b'{"metadata":{},"status":"Success"}', 0),
        (exit_status.encode(exit_status.exited(7), structured=True), 7),
        (exit_status.encode(exit_status.failed("no such container"), structured=True), None),
        (b"command terminated with exit code 7", None),
        (b'["odd"]', None),
    ],
)
def test_exit_codes(said: bytes, code: int | None) -> None:
    assert exit_status.exit_code(exit_status.decode(said)) == code
