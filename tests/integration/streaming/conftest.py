"""An API server that listens, one node with a kubelet without containers, and a few pods."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from kybern.api.resource import Resource, Subresource
from kybern.api.scheme import builtin
from kybern.apiserver.app import App
from kybern.apiserver.authz.base import AlwaysAllow
from kybern.apiserver.discovery import Discovery
from kybern.apiserver.registry import Registry
from kybern.apiserver.request import Request, Response
from kybern.apiserver.server import Server
from kybern.store import open_store
from tests.integration.streaming.kubelet import Kubelet, certificate


class Pod(Resource):
    """No more of a pod than these tests need."""

    kind, plural = "Pod", "pods"
    subresources = tuple(
        Subresource(name, f"Pod{name.title()}Options", verbs=("create", "get"))
        for name in ("log", "exec", "attach", "portforward", "proxy")
    )


class RecordingApp(App):
    """Remembers which protocols clients asked to upgrade to."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry, authorizers=[AlwaysAllow()])
        self.upgrades: list[str] = []

    async def handle(self, request: Request) -> Response:
        if upgrade := request.headers.get("upgrade"):
            self.upgrades.append(upgrade.lower())
        return await super().handle(request)


@dataclass
class Cluster:
    """Where the server listens, and the kubelet behind it."""

    app: RecordingApp
    port: int
    kubelet: Kubelet

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def put(self, plural: str, obj: dict) -> None:
        resource = self.app.registry.scheme.resource("", plural)
        group_version = {"kind": resource.kind, "apiVersion": "v1"}
        await self.app.registry.insert(resource, {**group_version, **obj})


def pod(name: str, *containers: str, node: str = "n1", init: tuple[str, ...] = ()) -> dict:
    return {
        "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {
            "nodeName": node,
            "containers": [{"name": container, "ports": [{"containerPort": 80}]} for container in containers],
            "initContainers": [{"name": container} for container in init],
        },
        "status": {"phase": "Running", "podIP": "127.0.0.1"},
    }


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory):
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def cluster(tls) -> AsyncIterator[Cluster]:
    async with contextlib.AsyncExitStack() as stack:
        kubelet = Kubelet()
        await kubelet.start(tls)
        stack.push_async_callback(kubelet.stop)
        scheme = builtin()
        scheme.add(Pod())
        store = await open_store("memory")
        stack.push_async_callback(store.close)
        app = RecordingApp(Registry(scheme, store))
        discovery = Discovery(scheme, "127.0.0.1:1")

        async def discover(_: App, request: Request) -> Response:
            return await discovery.serve(request)

        for path in ("/api", "/api/*", "/apis", "/apis/*"):
            app.route(path, discover)
        server = Server(app)
        port = await server.start("127.0.0.1", 0)
        stack.push_async_callback(server.close, 0.1)
        made = Cluster(app, port, kubelet)
        addresses = {"Hostname": "n1.invalid", "InternalIP": "127.0.0.1"}
        status = {
            "addresses": [{"type": kind, "address": address} for kind, address in addresses.items()],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port}},
        }
        await made.put("nodes", {"metadata": {"name": "n1", "uid": "n1"}, "status": status})
        await made.put("pods", pod("p", "c"))
        await made.put("pods", pod("two", "a", "b", init=("setup",)))
        await made.put("pods", pod("waiting", "c", node=""))
        await made.put("pods", pod("lost", "c", node="gone"))
        yield made
