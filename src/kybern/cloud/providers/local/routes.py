"""Routes in this machine's own table, the nodes' router, so that it reaches pods directly.

They are this cloud's by their protocol number.
"""

from __future__ import annotations

from kybern.cloud import provider
from kybern.cloud.provider import CloudError, Route
from kybern.cloud.providers.local import host
from kybern.cloud.providers.local.machines import Machines

PROTOCOL = 76
"""In the range the kernel leaves to programs; the nodes' network agents have another."""


class Routes(provider.Routes):
    """Through the machines' addresses on the bridge."""

    def __init__(self, machines: Machines, bridge: str) -> None:
        self._machines, self._bridge = machines, bridge

    async def list(self, cluster: str) -> list[Route]:
        found = await host.ip(f"route show proto {PROTOCOL}") or []
        names = {machine.ip: machine.name for machine in self._machines.by_name().values()}
        return [Route(names.get(one.get("gateway", ""), ""), one["dst"], one["dst"]) for one in found]

    async def create(self, cluster: str, hint: str, route: Route) -> None:
        machine = self._machines.by_name().get(route.target)
        if machine is None:
            raise CloudError(f"there is no machine {route.target} here")
        await host.ip(f"route replace {route.cidr} via {machine.ip} dev {self._bridge} proto {PROTOCOL}")

    async def delete(self, cluster: str, route: Route) -> None:
        # A route to a machine that is gone may be in the way of one that was made just now: only ours goes.
        if any(route.cidr == one["dst"] for one in await host.ip(f"route show proto {PROTOCOL}") or ()):
            await host.ip(f"route del {route.cidr} proto {PROTOCOL}")
