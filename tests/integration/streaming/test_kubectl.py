"""kubectl, on WebSocket and on SPDY, through the API server to a kubelet."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
from asyncio.subprocess import PIPE

import pytest

from tests.integration.streaming.conftest import Cluster, pod

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")


@pytest.fixture(params=["websocket", "spdy/3.1"])
def environment(request: pytest.FixtureRequest, tmp_path, cluster: Cluster):
    """What makes kubectl speak the protocol; it may not have fallen back to the other one."""
    yes = "true" if request.param == "websocket" else "false"
    yield {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "KUBECONFIG": str(tmp_path / "none"),
        "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": yes,
        "KUBECTL_PORT_FORWARD_WEBSOCKETS": yes,
    }
    assert set(cluster.app.upgrades) <= {request.param}


async def kubectl(
    cluster: Cluster, environment: dict[str, str], *words: str, stdin: bytes = b""
) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        "kubectl", "--server", cluster.url, *words, env=environment, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_exec_gives_output_and_exit_code(cluster: Cluster, environment: dict[str, str]) -> None:
    assert await kubectl(cluster, environment, "exec", "p", "--", "echo", "hello") == (0, "hello", "")
    code, out, err = await kubectl(cluster, environment, "exec", "p", "--", "exit", "7")
    assert (code, out) == (7, "")
    assert "command terminated with exit code 7" in err
    code, out, err = await kubectl(cluster, environment, "exec", "p", "--", "fail", "oh no\n")
    assert (code, out) == (1, "")
    assert err.startswith("oh no\n")
    assert "/exec/default/p/c?" in cluster.kubelet.asked[0]


async def test_exec_takes_stdin_to_its_end(cluster: Cluster, environment: dict[str, str]) -> None:
    sent = b"0123456789abcdef" * (1 << 18)
    code, out, err = await kubectl(cluster, environment, "exec", "-i", "p", "--", "cat", stdin=sent)
    assert (code, err) == (0, "")
    assert out.encode() == sent


async def test_exec_in_a_container_that_is_not_there(cluster: Cluster, environment: dict[str, str]) -> None:
    await cluster.put("pods", pod("other", "absent"))
    code, out, err = await kubectl(cluster, environment, "exec", "other", "--", "echo", "x")
    assert (code, out) == (1, "")
    assert 'container not found ("absent")' in err


async def test_attach(cluster: Cluster, environment: dict[str, str]) -> None:
    code, out, _ = await kubectl(cluster, environment, "attach", "-i", "p", stdin=b"typed\n")
    assert (code, out) == (0, "typed\n")


async def test_port_forward(cluster: Cluster, environment: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        "kubectl", "--server", cluster.url, "port-forward", "pod/p", ":80", env=environment, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(60):
            line = (await process.stdout.readline()).decode()
            port = int(line.split("127.0.0.1:")[1].split(" ")[0])

            async def talk(text: bytes) -> bytes:
                reader, writer = await asyncio.open_connection("127.0.0.1", port, family=socket.AF_INET)
                writer.write(text)
                writer.write_eof()
                answer = await reader.read()
                writer.close()
                return answer

            large = b"abc" * 500_000
            answers = await asyncio.gather(talk(b"one"), talk(b"two"), talk(large))
    finally:
        process.terminate()
        await process.wait()
    assert answers == [b"ONE", b"TWO", large.upper()]


async def test_port_forward_to_a_closed_port(cluster: Cluster, environment: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(
        "kubectl", "--server", cluster.url, "port-forward", "pod/p", ":81", env=environment, stdout=PIPE, stderr=PIPE
    )
    try:
        async with asyncio.timeout(60):
            line = (await process.stdout.readline()).decode()
            reader, writer = await asyncio.open_connection("127.0.0.1", int(line.split("127.0.0.1:")[1].split(" ")[0]))
            assert await reader.read() == b""
            writer.close()
            complaint = (await process.stderr.readline()).decode()
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
    assert "connection refused" in complaint


async def test_logs(cluster: Cluster, environment: dict[str, str]) -> None:
    assert await kubectl(cluster, environment, "logs", "p", "--tail=5", "-f") == (0, "one\ntwo\n", "")
    assert "follow=true" in cluster.kubelet.asked[-1]
    assert "tailLines=5" in cluster.kubelet.asked[-1]
    code, _, err = await kubectl(cluster, environment, "logs", "p", "--previous")
    assert code == 1
    assert 'Error from server (BadRequest): previous terminated container "c" in pod "p" not found' in err
    code, _, err = await kubectl(cluster, environment, "logs", "two", "-c", "x")
    assert code == 1
    assert "container x is not valid for pod two" in err
