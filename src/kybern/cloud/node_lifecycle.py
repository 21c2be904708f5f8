"""Nodes whose machine is gone are deleted; those whose machine is switched off are tainted, until they are ready again.

Only nodes that aren't ready are asked about. Source: "Nodes" concept page, "Node controller".
"""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Iterable
from typing import Any

from kybern.api.errors import APIError, NotFound
from kybern.api.types import Object
from kybern.cloud import taints
from kybern.cloud.controller import Context, Controller, find_condition, node_reference, periodically
from kybern.cloud.options import Options
from kybern.cloud.provider import CloudError
from kybern.process.clock import clock, parse_time

log = logging.getLogger(__name__)

_PATIENCE = 60.0
"""Seconds a node may stay without a provider id before its absence from the cloud counts."""


class CloudNodeLifecycleController(Controller):
    """A loop over all nodes; there are no keys."""

    name = "cloud-node-lifecycle-controller"
    aliases = ("cloud-node-lifecycle",)
    workers = 0

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        assert self.options.cloud.instances is not None
        self._instances = self.options.cloud.instances
        self.nodes = self.informer("v1", "nodes", namespaced=False)
        self._nodes = self.client.resource("v1", "nodes", namespaced=False)
        self._recorder = context.recorder(self.name)

    @classmethod
    def wanted(cls, options: Options) -> bool:
        if options.cloud.instances is None:
            log.warning("%s doesn't run: the cloud provider has no instances", cls.name)
        return options.cloud.instances is not None

    def background(self) -> Iterable[Coroutine[Any, Any, None]]:
        return [periodically(self.options.node_monitor_period, self.monitor, self.name)]

    async def monitor(self) -> None:
        """One pass over all nodes."""
        for node in self.nodes.list():
            try:
                await self._look_at(node)
            except (CloudError, APIError) as error:
                log.warning("node %s: %s", node["metadata"]["name"], error)

    async def _look_at(self, node: Object) -> None:
        ready = find_condition(node, "Ready")
        if ready and ready["status"] == "True":
            if taints.has(node, taints.SHUTDOWN):
                await taints.write(self._nodes, node, taints.without(node, taints.SHUTDOWN))
        elif _is_new(node):
            log.debug("node %s is not initialised yet", node["metadata"]["name"])
        elif not await self._instances.exists(node):
            await self._delete(node)
        elif await self._instances.is_shutdown(node) and not taints.has(node, taints.SHUTDOWN):
            taint = {"key": taints.SHUTDOWN, "effect": "NoSchedule"}
            await taints.write(self._nodes, node, [*(node["spec"].get("taints") or ()), taint])

    async def _delete(self, node: Object) -> None:
        name = node["metadata"]["name"]
        said = f"Deleting node {name} because it does not exist in the cloud provider"
        self._recorder.event(node_reference(node), "Normal", "DeletingNode", said)
        try:
            # The uid keeps a machine of the same name that has just joined from being taken for the old one.
            await self._nodes.delete(name, uid=node["metadata"]["uid"])
        except NotFound:
            return
        except APIError as error:
            said = f"Failed deleting node {name}: {error}"
            self._recorder.event(node_reference(node), "Warning", "DeletingNodeFailed", said)
            raise


def _is_new(node: Object) -> bool:
    """Whether the cloud may not know the node yet, as it has just registered."""
    if node["spec"].get("providerID") or not taints.has(node, taints.UNINITIALIZED):
        return False
    return clock.time() - parse_time(node["metadata"]["creationTimestamp"]) < _PATIENCE
