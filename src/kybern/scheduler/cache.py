"""Which pod counts on which node: what the API says, plus what was decided and is not confirmed yet (assumed pods)."""

from __future__ import annotations

import logging

from kybern.api.types import Object, key_of
from kybern.scheduler.framework import ClusterEvent
from kybern.scheduler.pod import PodInfo
from kybern.scheduler.snapshot import NodeTable, taints_of

log = logging.getLogger(__name__)

ASSUMED_TTL = 900.0
"""Seconds after its binding succeeded that an assumed pod counts without being confirmed."""

_COUNTED = ("containers", "initContainers", "overhead", "resources")
"""What of a pod's spec the table counts."""


class Cache:
    """Keeps the node table true. Pods of nodes not (yet, or no longer) known are remembered beside it."""

    def __init__(self) -> None:
        self.table = NodeTable()
        self._placed: dict[str, tuple[PodInfo, str]] = {}
        """Pod key -> pod, node name; in the table if the node is."""
        self._strays: dict[str, dict[str, PodInfo]] = {}
        """Unknown node -> its pods."""
        self._assumed: dict[str, float | None] = {}
        """Pod key -> when to give up on it; None while its binding goes on."""
        self._nodes: dict[str, Object] = {}

    # Nodes.

    def set_node(self, node: Object) -> list[ClusterEvent]:
        """Take over a node; gives what about it may interest waiting pods. Heartbeats give nothing."""
        name = node["metadata"]["name"]
        old = self._nodes.get(name)
        self._nodes[name] = node
        events = _node_events(old, node)
        if events or _images(old) != _images(node):
            row = self.table.set_node(node)
            for pod in self._strays.pop(name, {}).values():
                self.table.add_pod(row, pod)
        return events

    def remove_node(self, name: str) -> None:
        """Forget a node. Its pods stay known until they are deleted."""
        row = self.table.row_of.get(name)
        if row is not None:
            self._strays[name] = dict(self.table.pods[row])
            self.table.remove_node(name)
        self._nodes.pop(name, None)

    # Pods.

    def set_pod(self, obj: Object) -> None:
        """A pod that has a node, according to the API; confirms an assumed one."""
        key, node = key_of(obj), obj["spec"]["nodeName"]
        self._assumed.pop(key, None)
        pod, counted_on = self._placed.get(key, (None, ""))
        if pod and counted_on == node and all(pod.spec.get(part) == obj["spec"].get(part) for part in _COUNTED):
            self._put(pod.renewed(obj), node)
        else:
            self._place(PodInfo(obj), node)

    def remove_pod(self, key: str) -> bool:
        """A pod was deleted or ended. True if it counted somewhere."""
        self._assumed.pop(key, None)
        return self._take_off(key)

    def assume(self, pod: PodInfo, node: str) -> None:
        """Count the pod on the node as if it were bound."""
        self._assumed[pod.key] = None
        self._place(pod, node)

    def bound(self, key: str, now: float) -> None:
        """The binding of an assumed pod succeeded; the watch will confirm it."""
        if key in self._assumed:
            self._assumed[key] = now + ASSUMED_TTL

    def forget(self, key: str) -> bool:
        """Take back an assumed pod. False if the API has confirmed it meanwhile."""
        if key not in self._assumed:
            return False
        del self._assumed[key]
        return self._take_off(key)

    def is_assumed(self, key: str) -> bool:
        """Whether the pod is counted, but not confirmed."""
        return key in self._assumed

    def expire(self, now: float) -> None:
        """Forget assumed pods that nobody confirmed."""
        for key in [key for key, until in self._assumed.items() if until is not None and until <= now]:
            log.warning("pod=%s was bound but never seen so; no longer counted", key)
            self.forget(key)

    def _place(self, pod: PodInfo, node: str) -> None:
        self._take_off(pod.key)
        row = self.table.row_of.get(node)
        if row is not None:
            self.table.add_pod(row, pod)
        self._put(pod, node)

    def _put(self, pod: PodInfo, node: str) -> None:
        """Remember a pod that is counted, or whose node isn't known."""
        self._placed[pod.key] = (pod, node)
        row = self.table.row_of.get(node)
        where = self._strays.setdefault(node, {}) if row is None else self.table.pods[row]
        where[pod.key] = pod

    def _take_off(self, key: str) -> bool:
        placed = self._placed.pop(key, None)
        if placed is None:
            return False
        pod, node = placed
        row = self.table.row_of.get(node)
        if row is None:
            self._strays[node].pop(key, None)
        else:
            self.table.remove_pod(row, pod)
        return True


def _node_events(old: Object | None, new: Object) -> list[ClusterEvent]:
    if old is None:
        return [ClusterEvent.NODE_ADD]
    events = []
    if (old.get("status") or {}).get("allocatable") != (new.get("status") or {}).get("allocatable"):
        events.append(ClusterEvent.NODE_ALLOCATABLE)
    if old["metadata"].get("labels") != new["metadata"].get("labels"):
        events.append(ClusterEvent.NODE_LABEL)
    before, after = old.get("spec") or {}, new.get("spec") or {}
    if taints_of(before) != taints_of(after) or before.get("unschedulable") != after.get("unschedulable"):
        events.append(ClusterEvent.NODE_TAINT)
    return events


def _images(node: Object | None) -> object:
    return ((node or {}).get("status") or {}).get("images")
