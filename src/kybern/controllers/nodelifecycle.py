"""Nodes that stop answering: their conditions become Unknown, they are tainted, their pods are marked not ready.

What to conclude is decided in node_health.py; evicting the pods is taint_eviction.py's.
Source: https://kubernetes.io/docs/concepts/architecture/nodes/#node-controller
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from dataclasses import replace
from typing import Any

from kybern.api.errors import Conflict, NotFound
from kybern.api.types import Object
from kybern.client.workqueue import TokenBucket
from kybern.controllers import conditions, node_health, pods
from kybern.controllers.controller import Context, Controller, periodically
from kybern.controllers.node_health import NOT_READY, UNREACHABLE, Seen, Zone
from kybern.process.clock import clock

_LEASES = "kube-node-lease"


class NodeLifecycleController(Controller):
    """The work queue's keys are node names: their taints by condition. Health is watched by a loop."""

    name = "node-lifecycle-controller"
    aliases = ("nodelifecycle",)
    workers = 8

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.nodes = self.informer("v1", "nodes", namespaced=False)
        self.leases = self.informer("coordination.k8s.io/v1", "leases")
        self.pods = pods.index(self.informer("v1", "pods"))
        self._nodes = self.client.resource("v1", "nodes", namespaced=False)
        self._pods = self.client.resource("v1", "pods")
        self._recorder = context.recorder("node-controller")
        self._seen: dict[str, Seen] = {}
        self._buckets: dict[str, tuple[float, TokenBucket]] = {}
        self._admitted: set[str] = set()
        self._blind = False
        self.nodes.on_change(self._node_changed)

    def background(self) -> Iterable[Coroutine[Any, Any, None]]:
        return [periodically(self.options.node_monitor_period, self.monitor, self.name)]

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            assert old is not None
            self._forget(old)
            return
        name = new["metadata"]["name"]
        taints = node_health.no_schedule_taints(new)
        if old is None or taints != (new["spec"].get("taints") or []) or node_health.missing_labels(new):
            self.queue.add(name)

    async def reconcile(self, key: str) -> float | None:
        node = self.nodes.get(key)
        if node is None:
            return None
        await self._put_taints(node, node_health.no_schedule_taints(node))
        if labels := node_health.missing_labels(node):
            try:
                await self._nodes.patch(key, {"metadata": {"labels": labels}})
            except NotFound:
                return None
        return None

    async def monitor(self) -> None:
        """One pass over all nodes."""
        zones: dict[str, Zone] = {}
        judged: list[tuple[Object, str]] = []
        for found in self.nodes.list():
            node = await self._judge(found)
            state = node_health.readiness(node)
            judged.append((node, state))
            if state == "Unknown":
                await self._mark_pods(node, silent_since_now=node_health.readiness(found) == "True")
            zone = zones.setdefault(node_health.zone_of(node), Zone())
            if state == "True":
                zone.ready += 1
            else:
                zone.unready += 1
        # If nothing answers anywhere, the fault is more likely ours than the nodes'.
        blind = bool(zones) and all(zone.fully_disrupted for zone in zones.values())
        if self._blind and not blind:
            # Now that we see again, every node gets the whole grace period to show itself.
            self._seen = {name: replace(seen, at=clock.time()) for name, seen in self._seen.items()}
        self._blind = blind
        for node, state in judged:
            await self._evict_or_not(node, state, zones[node_health.zone_of(node)], blind)

    async def _judge(self, node: Object) -> Object:
        """The node, with its status rewritten if it has been silent for too long."""
        name = node["metadata"]["name"]
        now = clock.time()
        if name not in self._seen:
            said = f"Node {name} event: Registered Node {name} in Controller"
            self._recorder.event(_reference(node), "Normal", "RegisteredNode", said)
        lease = self.leases.get(f"{_LEASES}/{name}")
        seen = self._seen[name] = node_health.observe(self._seen.get(name), node, lease, now)
        posted = conditions.find(node.get("status"), "Ready") is not None
        grace = self.options.node_monitor_grace_period if posted else self.options.node_startup_grace_period
        if now - seen.at <= grace:
            return node
        status = node_health.status_of_silent(node)
        if status == node.get("status"):
            return node
        try:
            return await self._nodes.update_status({**node, "status": status})
        except (Conflict, NotFound):
            # Changed or gone meanwhile: the next pass sees it as it is.
            return node

    async def _evict_or_not(self, node: Object, state: str, zone: Zone, blind: bool) -> None:
        """Taint the node so that its pods are evicted, as fast as its zone allows; or take the taint away."""
        name = node["metadata"]["name"]
        key = {"False": NOT_READY, "Unknown": UNREACHABLE}.get(state)
        if key is None or blind:
            self._admitted.discard(name)
            key = None
        elif name not in self._admitted and not node_health.is_evicting(node):
            if not self._may_evict(node_health.zone_of(node), zone):
                return
            self._admitted.add(name)
        await self._put_taints(node, node_health.no_execute_taints(node, key))

    def _may_evict(self, name: str, zone: Zone) -> bool:
        rate = node_health.eviction_rate(
            zone,
            normal=self.options.node_eviction_rate,
            secondary=self.options.secondary_node_eviction_rate,
            threshold=self.options.unhealthy_zone_threshold,
            large=self.options.large_cluster_size_threshold,
        )
        if not rate:
            return False
        held = self._buckets.get(name)
        if held is None or held[0] != rate:
            held = self._buckets[name] = (rate, TokenBucket(rate, 1))
        return held[1].take()

    async def _mark_pods(self, node: Object, *, silent_since_now: bool) -> None:
        """A node that nobody hears of has no ready pods. One that says itself that it isn't ready reports its pods."""
        name = node["metadata"]["name"]
        if silent_since_now:
            self._recorder.event(_reference(node), "Normal", "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        for pod in self.pods.by_index("node", name):
            condition = conditions.find(pod.get("status"), "Ready")
            if condition is None or condition["status"] != "True":
                continue
            change = {"type": "Ready", "status": "False", "lastTransitionTime": clock.stamp()}
            meta = pod["metadata"]
            self._recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")
            try:
                body = {"metadata": {"uid": meta["uid"]}, "status": {"conditions": [change]}}
                await self._pods.patch(meta["name"], body, meta["namespace"], type="strategic", subresource="status")
            except (NotFound, Conflict):
                continue

    async def _put_taints(self, node: Object, taints: list[Object]) -> None:
        if taints == (node["spec"].get("taints") or []):
            return
        meta = node["metadata"]
        # A merge patch that carries the version: taints are a list that others write too.
        change = {"metadata": {"resourceVersion": meta["resourceVersion"]}, "spec": {"taints": taints or None}}
        try:
            await self._nodes.patch(meta["name"], change)
        except NotFound:
            return
        except Conflict:
            self.queue.add_rate_limited(meta["name"])

    def _forget(self, node: Object) -> None:
        name = node["metadata"]["name"]
        self._seen.pop(name, None)
        self._admitted.discard(name)
        said = f"Node {name} event: Removing Node {name} from Controller"
        self._recorder.event(_reference(node), "Normal", "RemovingNode", said)


def _reference(node: Object) -> Object:
    """What events about the node refer to."""
    name = node["metadata"]["name"]
    return {"kind": "Node", "name": name, "uid": node["metadata"]["uid"], "apiVersion": "v1"}
