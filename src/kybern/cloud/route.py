"""A route in the cloud's network to each node's pods; those of nodes that are gone are deleted.

What to do is decided by `plan`. Nodes' NetworkUnavailable condition says whether their routes are there.
Source: "Cloud Controller Manager", route controller.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from kybern.api.errors import APIError
from kybern.api.types import Object
from kybern.cloud.controller import Context, Controller, find_condition
from kybern.cloud.options import Options
from kybern.cloud.provider import CloudError, Route
from kybern.process.clock import clock

log = logging.getLogger(__name__)

_AT_ONCE = 200
"""Requests to the cloud at the same time."""
_ALL = "routes"


@dataclass(slots=True)
class Plan:
    """What to delete first, and what to create then."""

    delete: list[Route] = field(default_factory=list)
    create: list[Route] = field(default_factory=list)


def plan(nodes: Iterable[Object], routes: list[Route], cluster_cidrs: Iterable[str]) -> Plan:
    """Routes outside of the cluster's ranges are nobody's business here."""
    ranges = [ipaddress.ip_network(cidr) for cidr in cluster_cidrs]
    made = Plan()
    there = {(route.target, route.cidr): route for route in routes}
    wanted: set[tuple[str, str]] = set()
    for node in nodes:
        name, addresses = node["metadata"]["name"], (node.get("status") or {}).get("addresses") or []
        for cidr in pod_cidrs(node):
            found = there.get((name, cidr))
            if found and not found.blackhole and _leads_to(found, addresses):
                wanted.add((name, cidr))
            else:
                made.create.append(Route(name, cidr, addresses=addresses))
    made.delete = [route for route in routes if (route.target, route.cidr) not in wanted and _is_ours(route, ranges)]
    return made


def pod_cidrs(node: Object) -> list[str]:
    return list(node["spec"].get("podCIDRs") or ())


def _leads_to(route: Route, addresses: list[Object]) -> bool:
    if route.addresses is None:
        return True
    return sorted(map(str, map(_pair, route.addresses))) == sorted(map(str, map(_pair, addresses)))


def _pair(address: Object) -> tuple[str, str]:
    return address["type"], address["address"]


def _is_ours(route: Route, ranges: list[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    try:
        cidr = ipaddress.ip_network(route.cidr, strict=False)
    except ValueError:
        log.warning("route %s leads to %r, which is no range of addresses; left alone", route.name, route.cidr)
        return False
    return any(one.version == cidr.version and (cidr[0] in one or cidr[-1] in one) for one in ranges)


class NodeRouteController(Controller):
    """One key stands for all routes."""

    name = "node-route-controller"
    aliases = ("route",)
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        assert self.options.cloud.routes is not None
        self._routes = self.options.cloud.routes
        self.nodes = self.informer("v1", "nodes", namespaced=False)
        self._nodes = self.client.resource("v1", "nodes", namespaced=False)
        self._recorder = context.recorder("route_controller")
        self._limit = asyncio.Semaphore(_AT_ONCE)
        self.nodes.on_change(self._node_changed)
        self.queue.add(_ALL)

    @classmethod
    def wanted(cls, options: Options) -> bool:
        if not options.allocate_node_cidrs or not options.configure_cloud_routes:
            log.info("%s doesn't run: it takes --allocate-node-cidrs and --configure-cloud-routes", cls.name)
            return False
        if options.cloud.routes is None:
            log.warning("--configure-cloud-routes is set, but the cloud provider has no routes")
        return options.cloud.routes is not None

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        """Upstream waits for the next round; a new node needn't."""
        if old is None or new is None or _facts(old) != _facts(new):
            self.queue.add(_ALL)

    async def reconcile(self, key: str) -> float | None:
        try:
            await self._reconcile()
        except CloudError as error:
            log.warning("%s: %s", self.name, error)
        return self.options.route_reconciliation_period

    async def _reconcile(self) -> None:
        routes = await self._routes.list(self.options.cluster_name)
        nodes = [node for node in self.nodes.list() if pod_cidrs(node)]
        made = plan(nodes, routes, self.options.cluster_cidrs)
        await asyncio.gather(*(self._delete(route) for route in made.delete))
        uids = {node["metadata"]["name"]: node["metadata"]["uid"] for node in nodes}
        done = await asyncio.gather(*(self._create(uids[route.target], route) for route in made.create))
        failed = {route.target for route, created in zip(made.create, done, strict=True) if not created}
        await asyncio.gather(*(self._note(node, node["metadata"]["name"] not in failed) for node in nodes))

    async def _delete(self, route: Route) -> None:
        async with self._limit:
            try:
                await self._routes.delete(self.options.cluster_name, route)
                log.info("deleted route %s to %s", route.name, route.cidr)
            except CloudError as error:
                log.warning("route %s to %s could not be deleted: %s", route.name, route.cidr, error)

    async def _create(self, uid: str, route: Route) -> bool:
        """Whether it is there now."""
        loop = asyncio.get_running_loop()
        async with self._limit:
            started = loop.time()
            try:
                await self._routes.create(self.options.cluster_name, uid, route)
            except CloudError as error:
                after = f"{(loop.time() - started) * 1000:.0f}ms"
                said = f"Could not create route {uid} {route.cidr} for node {route.target} after {after}: {error}"
                reference = {"kind": "Node", "name": route.target, "uid": route.target}
                self._recorder.event(reference, "Warning", "FailedToCreateRoute", said)
                log.warning("%s", said)
                return False
        log.info("created route to %s of node %s", route.cidr, route.target)
        return True

    async def _note(self, node: Object, created: bool) -> None:
        """Write NetworkUnavailable, if it says otherwise now."""
        status = "False" if created else "True"
        before = find_condition(node, "NetworkUnavailable")
        if before and before["status"] == status:
            return
        now = clock.stamp()
        condition = {
            "type": "NetworkUnavailable",
            "status": status,
            "reason": "RouteCreated" if created else "NoRouteCreated",
            "message": f"RouteController {'created' if created else 'failed to create'} a route",
            "lastTransitionTime": now,
            "lastHeartbeatTime": now,
        }
        name = node["metadata"]["name"]
        try:
            body = {"status": {"conditions": [condition]}}
            await self._nodes.patch(name, body, type="strategic", subresource="status")
        except APIError as error:
            log.warning("network condition of node %s: %s", name, error)


def _facts(node: Object) -> tuple[list[str], list[Object]]:
    """What a node's routes depend on."""
    return pod_cidrs(node), (node.get("status") or {}).get("addresses") or []
