"""A kubelet's server over loopback, in front of a runtime without containers: what is typed is echoed."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest

from kybern.apiserver.kubelets import trusting
from kybern.kubelet.config import Config
from kybern.kubelet.paths import Paths
from kybern.kubelet.runtime._generated import cri_pb2 as cri
from kybern.kubelet.runtime.cache import RuntimeCache
from kybern.kubelet.runtime.client import RuntimeFailure
from kybern.kubelet.runtime.state import Container, PodState, Sandbox
from kybern.kubelet.server import Server
from kybern.streaming import http1
from tests.integration.streaming.kubelet import Kubelet as StreamingServer

POD = {
    "metadata": {"name": "p", "namespace": "default", "uid": "u1", "creationTimestamp": "2026-01-31T12:00:00Z"},
    "spec": {"containers": [{"name": "c"}, {"name": "late"}]},
    "status": {"phase": "Pending"},
}
STATUS = {
    "phase": "Running",
    "containerStatuses": [
        {"name": "c", "state": {"running": {"startedAt": "2026-01-31T12:00:01Z"}}, "containerID": "containerd://id1"},
        {"name": "late", "state": {"waiting": {"reason": "ContainerCreating"}}},
    ],
}


class Runtime:
    """Sends streams to a streaming server; `asked` holds the requests."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked: list[Any] = []
        self.stats: list[cri.ContainerStats] = []

    def _url(self, verb: str, request: Any) -> str:
        self.asked.append(request)
        flags = {"input": request.stdin, "output": request.stdout, "error": request.stderr, "tty": request.tty}
        query = [(name, "1") for name, wanted in flags.items() if wanted]
        return f"http://127.0.0.1:{self.port}/{verb}/token?{urlencode(query)}"

    async def exec_url(self, request: cri.ExecRequest) -> str:
        if list(request.cmd) == ["missing"]:
            raise RuntimeFailure("NOT_FOUND", "no such container")
        return self._url("exec", request) + "&" + urlencode([("command", word) for word in request.cmd])

    async def attach_url(self, request: cri.AttachRequest) -> str:
        return self._url("attach", request)

    async def port_forward_url(self, request: cri.PortForwardRequest) -> str:
        self.asked.append(request)
        return f"http://127.0.0.1:{self.port}/portForward/token"

    async def container_stats(self) -> list[cri.ContainerStats]:
        return self.stats


class Pods:
    """One pod's worker."""

    def __init__(self) -> None:
        self.workers = {"u1": SimpleNamespace(uid="u1", pod=POD, status=STATUS)}

    def all(self) -> list[dict]:
        return [worker.pod for worker in self.workers.values()]

    def find(self, namespace: str, name: str, uid: str = "") -> Any:
        return self.workers["u1"] if (namespace, name) == ("default", "p") and uid in ("", "u1") else None


class Node:
    """A running server, and all that is behind it."""

    def __init__(self, server: Server, kubelet: Any, tls: ssl.SSLContext) -> None:
        self.server, self.kubelet, self.tls = server, kubelet, tls
        self.runtime: Runtime = kubelet.host.runtime

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server.port}"

    async def ask(
        self, path: str, method: str = "GET", tls: ssl.SSLContext | None = None, **headers: str
    ) -> tuple[int, bytes]:
        answer = await http1.send(self.url + path, ssl=tls or self.tls, method=method, headers=list(headers.items()))
        return answer.status, await http1.whole_body(answer)


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    path.write_bytes(b"2026-01-31T12:00:00Z stdout F one\n2026-01-31T12:00:01Z stderr F two\n")
    return path


@pytest.fixture
def config(tmp_path: Path) -> Config:
    paths = Paths(tmp_path / "root", tmp_path / "logs", tmp_path / "links")
    return Config("n1", "n1", paths, address="127.0.0.1", port=0, healthz_port=0, cert_dir=tmp_path / "pki")


Starter = Callable[..., Any]


@pytest.fixture
async def start(config: Config, log_file: Path) -> AsyncIterator[Starter]:
    """Starts a server; keyword arguments change the configuration, `client` is the way to the API server."""
    async with contextlib.AsyncExitStack() as stack:

        async def starting(client: Any = None, **changes: Any) -> Node:
            for name, value in changes.items():
                setattr(config, name, value)
            streaming = StreamingServer()
            await streaming.start(None)  # type: ignore[arg-type]
            stack.push_async_callback(streaming.stop)
            runtime = Runtime(streaming.port)
            cache = RuntimeCache(runtime)  # type: ignore[arg-type]
            container = Container("id1", "c", "s1", "running", 0, 1.0, image="busybox", log_path=str(log_file))
            cache.pods["u1"] = PodState("u1", "p", "default", [Sandbox("s1", 0, True, 1.0)], [container])
            host = SimpleNamespace(config=config, cache=cache, runtime=runtime)
            kubelet = SimpleNamespace(pods=Pods(), host=host, client=client, wrong="")
            kubelet.healthy = lambda: kubelet.wrong
            server = Server(kubelet, config)
            await server.start()
            stack.push_async_callback(server.close)
            return Node(server, kubelet, trusting())

        yield starting


@pytest.fixture
async def node(start: Starter) -> Node:
    return await start()
