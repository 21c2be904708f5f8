"""A whole cluster in this process: API server over a store in memory, controllers, scheduler, and nodes whose kubelet
is simulated. No root, no ports, no containers; any number of them side by side.

    async with InProcessCluster(nodes=2) as cluster:
        await cluster.create(deployment("web", replicas=3))
        await cluster.until(lambda: cluster.ready("web"))
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import yaml

from kybern.api.errors import NotFound
from kybern.api.scheme import Scheme, builtin
from kybern.api.types import Object
from kybern.apiserver import health, selfmade, tls
from kybern.apiserver.app import App
from kybern.apiserver.authn.base import authenticated
from kybern.apiserver.gates import GateOptions, Gates
from kybern.apiserver.registry import Registry
from kybern.apiserver.server import Server
from kybern.client.rest import Client, ResourceClient
from kybern.controllers.controller import Context
from kybern.controllers.manager import Manager
from kybern.controllers.options import Options
from kybern.process.clock import new_uid
from kybern.scheduler import profiles as scheduler_config
from kybern.scheduler.command import schedule
from kybern.store.memory import MemoryStore
from kybern.testing import builders
from kybern.testing.kubelet import SimulatedKubelets
from kybern.testing.transport import AppTransport, Tokens

_USERS = {
    "admin": ("kubernetes-admin", ("system:masters",)),
    "controllers": ("system:kube-controller-manager", ()),
    "scheduler": ("system:kube-scheduler", ()),
    "kubelets": ("system:simulated-kubelets", ("system:masters",)),
}
_ROOT_CA = "-----BEGIN CERTIFICATE-----\nthis cluster has no ports\n-----END CERTIFICATE-----\n"


class InProcessCluster:
    """`controllers` and `options` are the controller manager's; without `scheduler`, pods are bound by the test."""

    def __init__(
        self,
        *,
        nodes: int = 1,
        controllers: str = "*",
        options: Options | None = None,
        scheduler: bool = True,
    ) -> None:
        self._node_count = nodes
        self._controllers = controllers
        self._options = options or Options(
            cluster_cidr="10.244.0.0/16", allocate_node_cidrs=True, root_ca=_ROOT_CA, node_monitor_period=0.5
        )
        self._with_scheduler = scheduler
        self._tokens = {name: new_uid() for name in _USERS}
        self._tasks: list[asyncio.Task[Any]] = []
        self._cleanup = contextlib.AsyncExitStack()

    async def __aenter__(self) -> InProcessCluster:
        async with contextlib.AsyncExitStack() as stack:
            await self._start(stack)
            self._cleanup = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._cleanup.aclose()

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        self.store = MemoryStore()
        stack.push_async_callback(self.store.close)
        self.app = App(Registry(builtin(), self.store))
        stack.push_async_callback(self.app.registry.close)
        health.add_routes(self.app)
        users = {self._tokens[name]: authenticated(*user) for name, user in _USERS.items()}
        self.app.authenticators.append(Tokens(users))
        gates = Gates(self.app, GateOptions(enable_admission_plugins=("NodeRestriction",)))
        await gates.start()
        stack.push_async_callback(gates.stop)
        self.client = self.client_of("admin")
        context = Context(self.client_of("kubelets"), self._options)
        stack.push_async_callback(context.close)
        self.kubelets = SimulatedKubelets(context)
        self.manager = Manager(self.client_of("controllers"), self._options, self._controllers)
        stack.push_async_callback(self._stop_tasks)
        context.informers.start()
        self._run(self.kubelets.run())
        self._run(self.manager.run())
        if self._with_scheduler:
            self._run(schedule(self.client_of("scheduler"), scheduler_config.Configuration()))
        for number in range(self._node_count):
            await self.kubelets.add_node(builders.node(f"node-{number + 1}"))

    @property
    def scheme(self) -> Scheme:
        """The kinds the API server knows."""
        return self.app.registry.scheme

    def client_of(self, user: str) -> Client:
        """A client as admin, controllers, scheduler or kubelets."""
        return Client(AppTransport(self.app, self._tokens[user]), user_agent=f"in-process/{user}")

    def resource(self, api_version: str, plural: str) -> ResourceClient:
        """The admin's endpoint of a resource."""
        group, _, version = api_version.rpartition("/")
        known = self.scheme.resource(group, plural, version)
        return self.client.resource(api_version, plural, namespaced=known is None or known.namespaced)

    async def create(self, obj: Object) -> Object:
        """Create an object of any kind. Raises APIError, NotFound for kinds the server doesn't know."""
        kind = self.scheme.kind(obj["apiVersion"], obj["kind"])
        if kind is None:
            raise NotFound(f"the server has no kind {obj['kind']} in {obj['apiVersion']}")
        return await self.resource(obj["apiVersion"], kind.plural).create(obj)

    async def until(self, condition: Callable[[], Awaitable[Any]], timeout: float = 20.0) -> Any:
        """Wait until `condition` gives something true, and give that. NotFound counts as not yet. Raises
        TimeoutError, and what ended a component."""
        async with asyncio.timeout(timeout):
            while True:
                for task in self._tasks:
                    if task.done():
                        task.result()
                with contextlib.suppress(NotFound):
                    if found := await condition():
                        return found
                await asyncio.sleep(0.02)

    async def ready(self, name: str, namespace: str = "default") -> Object | None:
        """The Deployment, once all of it is new, available and nothing old is left."""
        found = await self.resource("apps/v1", "deployments").get(name, namespace)
        status, size = found.get("status") or {}, found["spec"]["replicas"]
        seen = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        counts = [status.get(field, 0) for field in ("replicas", "updatedReplicas", "availableReplicas")]
        return found if seen and counts == [size] * 3 else None

    async def serve(self, directory: Path | None = None) -> Path:
        """Listen on a random loopback port; gives the path of an admin kubeconfig."""
        if directory is None:
            directory = Path(self._cleanup.enter_context(tempfile.TemporaryDirectory(prefix="kybern-")))
        certificate, key = selfmade.serving_certificate(directory, ["127.0.0.1"])
        server = Server(self.app)
        port = await server.start("127.0.0.1", 0, tls.server_context(certificate, key, None))
        self._cleanup.push_async_callback(server.close, 0.5)
        path = directory / "kubeconfig"
        path.write_text(yaml.safe_dump(_kubeconfig(port, certificate, self._tokens["admin"])))
        return path

    def _run(self, work: Any) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _stop_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _kubeconfig(port: int, certificate: Path, token: str) -> Object:
    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(certificate)}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "in-process",
        "clusters": [{"name": "in-process", "cluster": cluster}],
        "users": [{"name": "admin", "user": {"token": token}}],
        "contexts": [{"name": "in-process", "context": {"cluster": "in-process", "user": "admin"}}],
    }
