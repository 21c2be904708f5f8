"""A cloud in memory, and a cluster in this process whose cloud it is."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from kybern.api.types import Object
from kybern.apiserver.authn.base import authenticated
from kybern.client.rest import Client
from kybern.cloud.manager import Manager
from kybern.cloud.options import Options
from kybern.cloud.provider import CloudError, Metadata, Provider, Route, Zone
from kybern.process.clock import new_uid
from kybern.testing.cluster import InProcessCluster
from kybern.testing.transport import AppTransport, Tokens

USER = "system:cloud-controller-manager"
ROLES = ("node-controller", "route-controller", "service-controller")
"""Upstream's roles that together are all the manager needs."""


class FakeInstances:
    """`machines`: node name -> Metadata, None to have the node left alone."""

    def __init__(self) -> None:
        self.machines: dict[str, Metadata | None] = {}
        self.off: set[str] = set()
        self.error: CloudError | None = None

    async def exists(self, node: Object) -> bool:
        self._fail()
        return node["metadata"]["name"] in self.machines

    async def is_shutdown(self, node: Object) -> bool:
        return node["metadata"]["name"] in self.off

    async def metadata(self, node: Object) -> Metadata | None:
        self._fail()
        name = node["metadata"]["name"]
        if name not in self.machines:
            raise CloudError("instance not found")
        return self.machines[name]

    def _fail(self) -> None:
        if self.error:
            raise self.error


class FakeBalancers:
    """`there`: a Service's uid -> the nodes' names and provider ids; `calls` in order; `errors` are raised first."""

    def __init__(self) -> None:
        self.there: dict[str, list[str]] = {}
        self.calls: list[str] = []
        self.errors: list[Exception] = []
        self.update_errors: list[Exception] = []
        self.specs: dict[str, Object] = {}
        self.ingress = [{"ip": "203.0.113.7"}]

    async def get(self, cluster: str, service: Object) -> Object | None:
        return {"ingress": self.ingress} if service["metadata"]["uid"] in self.there else None

    async def ensure(self, cluster: str, service: Object, nodes: list[Object]) -> Object:
        self.calls.append("ensure")
        if self.errors:
            raise self.errors.pop(0)
        self._put(service, nodes)
        return {"ingress": self.ingress}

    async def update(self, cluster: str, service: Object, nodes: list[Object]) -> None:
        self.calls.append("update")
        if self.update_errors:
            raise self.update_errors.pop(0)
        self._put(service, nodes)

    async def delete(self, cluster: str, service: Object) -> None:
        self.calls.append("delete")
        if self.errors:
            raise self.errors.pop(0)
        self.there.pop(service["metadata"]["uid"], None)

    def _put(self, service: Object, nodes: list[Object]) -> None:
        self.specs[service["metadata"]["name"]] = service["spec"]
        self.there[service["metadata"]["uid"]] = sorted(node["metadata"]["name"] for node in nodes)


class FakeRoutes:
    """`refused`: node names to which there can be no route."""

    def __init__(self) -> None:
        self.table: list[Route] = []
        self.refused: set[str] = set()

    async def list(self, cluster: str) -> list[Route]:
        return [*self.table]

    async def create(self, cluster: str, hint: str, route: Route) -> None:
        if route.target in self.refused:
            raise CloudError("the table is full")
        self.table.append(Route(route.target, route.cidr, f"{cluster}-{hint}"))

    async def delete(self, cluster: str, route: Route) -> None:
        self.table.remove(route)


class FakeZones:
    async def of(self, node: Object) -> Zone:
        return Zone("z2", "r2")


class FakeCloud(Provider):
    name = "fake"
    instances: FakeInstances
    load_balancers: FakeBalancers
    routes: FakeRoutes

    def __init__(self) -> None:
        self.instances = FakeInstances()
        self.load_balancers = FakeBalancers()
        self.routes = FakeRoutes()
        self.open = 0

    async def start(self, client: Client) -> None:
        self.open += 1

    async def close(self) -> None:
        self.open -= 1


class Setting:
    """The cluster, its cloud, and what tests ask of them."""

    def __init__(self, cluster: InProcessCluster, cloud: FakeCloud, client: Client) -> None:
        self.cluster, self.cloud, self.client = cluster, cloud, client
        self.nodes = cluster.resource("v1", "nodes")
        self.services = cluster.resource("v1", "services")

    async def until(self, condition: Callable[[], Awaitable[Any]]) -> Any:
        return await self.cluster.until(condition, 10)

    async def reasons(self, name: str) -> list[str]:
        """Of the events about an object, those of the manager's."""
        return [event["reason"] for event in await self.events(name)]

    async def events(self, name: str) -> list[Object]:
        listing = await self.cluster.resource("v1", "events").list()
        return [event for event in listing.items if event["involvedObject"]["name"] == name]

    @contextlib.asynccontextmanager
    async def manager(self, controllers: str = "*", **options: Any) -> AsyncIterator[Manager]:
        """The cloud controller manager, running, with all it needs to be allowed and no more."""
        defaults = {
            "cluster_cidrs": ("10.244.0.0/16",), "allocate_node_cidrs": True, "node_monitor_period": 0.05,
            "node_status_update_frequency": 0.05, "route_reconciliation_period": 0.1,
        }  # fmt: skip
        made = Manager(self.client, Options(self.cloud, **{**defaults, **options}), controllers)
        task = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


@contextlib.asynccontextmanager
async def setting() -> AsyncIterator[Setting]:
    async with InProcessCluster(nodes=0, controllers="", scheduler=False) as cluster:
        token = new_uid()
        cluster.app.authenticators.insert(0, Tokens({token: authenticated(USER)}))
        for role in ROLES:
            await cluster.create(
                {
                    "apiVersion": "rbac.authorization.k8s.io/v1",
                    "kind": "ClusterRoleBinding",
                    "metadata": {"name": f"cloud-{role}"},
                    "roleRef": {
                        "apiGroup": "rbac.authorization.k8s.io",
                        "kind": "ClusterRole",
                        "name": f"system:controller:{role}",
                    },
                    "subjects": [{"kind": "User", "name": USER, "apiGroup": "rbac.authorization.k8s.io"}],
                }
            )
        yield Setting(cluster, FakeCloud(), Client(AppTransport(cluster.app, token)))
