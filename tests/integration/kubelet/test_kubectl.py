"""kubectl, on WebSocket and on SPDY, through an API server and the kubelet's server to a real container."""

from __future__ import annotations

import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.integration.kubelet.streams import Node, Pod
from tests.integration.kubelet.test_streams import layout, node, pod  # noqa: F401 (fixtures)
from tests.integration.streaming import conftest as api
from tests.integration.streaming.conftest import Cluster, cluster, tls  # noqa: F401 (fixtures)
from tests.integration.streaming.test_kubectl import kubectl

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine")

Run = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture(params=["websocket", "spdy/3.1"])
async def run(
    request: pytest.FixtureRequest,
    cluster: Cluster,  # noqa: F811
    node: Node,  # noqa: F811
    pod: Pod,  # noqa: F811
    tmp_path: Path,
) -> Run:
    """Runs kubectl where pod `real` is on the kubelet's node."""
    endpoints = {"kubeletEndpoint": {"Port": node.server.port}}
    status = {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}], "daemonEndpoints": endpoints}
    await cluster.put("nodes", {"metadata": {"name": "n2", "uid": "n2"}, "status": status})
    await cluster.put("pods", api.pod("real", "sleeper", node="n2"))
    pod.name = "real"
    yes = "true" if request.param == "websocket" else "false"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "KUBECONFIG": str(tmp_path / "none"),
        "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": yes,
        "KUBECTL_PORT_FORWARD_WEBSOCKETS": yes,
    }

    async def running(*words: str, stdin: bytes = b"") -> tuple[int, str, str]:
        return await kubectl(cluster, environment, *words, stdin=stdin)

    return running


async def test_files_are_copied_both_ways(run: Run, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(os.urandom(5_000_000))
    assert (await run("cp", str(there), "real:/tmp/file"))[0] == 0
    code, _, err = await run("cp", "real:/tmp/file", str(back))
    assert (code, err) == (0, "")
    assert back.read_bytes() == there.read_bytes()


async def test_a_commands_output_and_exit_code(run: Run) -> None:
    sent = b"0123456789abcdef" * (1 << 16)
    code, out, err = await run("exec", "-i", "real", "--", "sh", "-c", "cat; echo no >&2; exit 7", stdin=sent)
    assert (code, out.encode()) == (7, sent)
    assert sorted(err.splitlines()) == ["command terminated with exit code 7", "no"]
    code, _, err = await run("exec", "real", "--", "nothing-of-the-kind")
    assert code == 1
    assert "executable file not found" in err


async def test_what_the_kubelet_says_of_itself(run: Run) -> None:
    assert await run("get", "--raw", "/api/v1/nodes/n2/proxy/healthz") == (0, "ok", "")
    code, out, _ = await run("get", "--raw", "/api/v1/nodes/n2/proxy/runningpods/")
    assert code == 0
    assert "sleeper" in out
