"""The node's network agent: follows the Nodes, keeps the kernel's tables true to them, and says that the network is up.

At each change it looks at all Nodes and at all of our entries in the kernel and changes what differs; so it does every
few seconds, as the kernel itself drops routes when a link goes down. Sends: an annotation and one condition of its own
Node. Source: Kubernetes documentation, "Node Status" (NetworkUnavailable).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from kybern.api.errors import APIError
from kybern.api.types import Object
from kybern.client.informer import Informer
from kybern.client.rest import Client
from kybern.network import kernel
from kybern.network.kernel import KernelError
from kybern.network.routes import VTEP_MAC, Options, Peer, choose_link, peer_of, plan
from kybern.process.clock import clock, monotonic
from kybern.process.metrics import Gauge, Histogram

log = logging.getLogger(__name__)

_VERIFY_SECONDS, _RETRY_SECONDS = 10.0, 2.0
_PAUSE = 0.1
"""Seconds between two syncs: many Nodes often change together."""
_CONDITION = "NetworkUnavailable"
_REASON, _MESSAGE = "KybernNetworkIsUp", "Kybern keeps the routes to the pods of other nodes"
_ROUTES = Gauge("kybern_network_routes", "Routes to other nodes' pods that should be in the kernel")
_SECONDS = Histogram("kybern_network_sync_duration_seconds", "Time to bring the kernel's tables up to date")


def trim(node: Object) -> Object:
    """A Node's parts that the agent looks at: Nodes are large, and their caches are on every node."""
    meta, status = node["metadata"], node.get("status") or {}
    mac = (meta.get("annotations") or {}).get(VTEP_MAC)
    return {
        "metadata": {
            "name": meta["name"],
            "resourceVersion": meta.get("resourceVersion", ""),
            "annotations": {VTEP_MAC: mac} if mac else {},
        },
        "spec": {name: value for name, value in (node.get("spec") or {}).items() if name in ("podCIDR", "podCIDRs")},
        "status": {
            "addresses": status.get("addresses") or [],
            "conditions": [found for found in status.get("conditions") or [] if found["type"] == _CONDITION],
        },
    }


class Agent:
    """`run` it once the first list of `nodes` is in; that informer's transform is `trim`."""

    def __init__(self, name: str, client: Client, nodes: Informer, options: Options) -> None:
        self.name, self.options = name, options
        self._api = client.resource("v1", "nodes", namespaced=False)
        self._nodes = nodes
        self._wake = asyncio.Event()
        self._wrong: str | None = "not synced yet"
        self._lacking: tuple[str, ...] = ()
        self._told: frozenset[str] = frozenset()
        nodes.on_change(self._see)

    def wrong(self) -> str | None:
        """What keeps the node's network from being up, for /healthz."""
        return self._wrong

    async def run(self) -> None:
        """Sync until cancelled."""
        while True:
            self._wake.clear()
            try:
                self._wrong = await self.sync()
            except (LookupError, KernelError, APIError) as error:
                self._wrong = str(error)
            self._tell()
            await asyncio.sleep(_PAUSE)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_SECONDS if self._wrong else _VERIFY_SECONDS):
                    await self._wake.wait()

    async def sync(self) -> str | None:
        """Bring the kernel and our Node up to date; gives what is still missing. Raises LookupError, KernelError and
        APIError."""
        node, began = self._nodes.get(self.name), monotonic()
        own = peer_of(node) if node else Peer(self.name)
        if not node or not own.addresses or not own.cidrs:
            what = "address" if own.cidrs else "pod CIDR"
            return f"node {self.name} has no {what} yet" if node else f"there is no node {self.name} yet"
        peers = [peer_of(found) for found in self._nodes.list()]
        wanted = plan(own, peers, choose_link(kernel.links(), own, self.options.interface), self.options)
        self._lacking = wanted.lacking
        outcome = await asyncio.to_thread(kernel.apply, wanted)
        await self._announce(node, wanted.tunnel.mac if wanted.tunnel else None)
        await self._say_available(node)
        _ROUTES.set(len(wanted.tables.routes))
        _SECONDS.observe(monotonic() - began)
        if outcome.changed:
            routes, took = len(wanted.tables.routes), (monotonic() - began) * 1000
            log.info("synced routes=%d changed=%d in=%.1fms", routes, outcome.changed, took)
        return "; ".join(outcome.failed) or None

    def _see(self, old: Object | None, new: Object | None) -> None:
        if not old or not new or _content(old) != _content(new):
            self._wake.set()

    def _tell(self) -> None:
        """Log what is wrong or lacking, and was not before."""
        lines = frozenset((*self._lacking, *([self._wrong] if self._wrong else [])))
        for line in sorted(lines - self._told):
            log.warning("%s", line)
        self._told = lines

    async def _announce(self, node: Object, mac: str | None) -> None:
        """Have our Node say the MAC of our VXLAN device, or no longer."""
        if node["metadata"]["annotations"].get(VTEP_MAC) != mac:
            await self._api.patch(self.name, {"metadata": {"annotations": {VTEP_MAC: mac}}})

    async def _say_available(self, node: Object) -> None:
        for found in node["status"]["conditions"]:
            if (found["status"], found.get("reason")) == ("False", _REASON):
                return
        now = clock.stamp()
        condition = {
            "type": _CONDITION,
            "status": "False",
            "reason": _REASON,
            "message": _MESSAGE,
            "lastHeartbeatTime": now,
            "lastTransitionTime": now,
        }
        body = {"status": {"conditions": [condition]}}
        await self._api.patch(self.name, body, type="strategic", subresource="status")


def _content(node: Object) -> tuple[Object, Object, Object]:
    return node["metadata"]["annotations"], node["spec"], node["status"]
