"""Rejects cordoned nodes, unless the pod tolerates the taint that stands for being cordoned."""

from __future__ import annotations

import orjson

from kybern.scheduler.framework import ClusterEvent, CycleState, Mask, Plugin, Rejections, Rows, count_all
from kybern.scheduler.plugins.tolerations import tolerated
from kybern.scheduler.pod import PodInfo
from kybern.scheduler.snapshot import NodeTable

_TAINT = ("node.kubernetes.io/unschedulable", "", "NoSchedule")


class NodeUnschedulable(Plugin):
    name = "NodeUnschedulable"
    events = {ClusterEvent.NODE_ADD: None, ClusterEvent.NODE_TAINT: None, ClusterEvent.POD_UPDATE: None}

    def sign(self, pod: PodInfo) -> bytes:
        return orjson.dumps(pod.spec.get("tolerations"))

    def filter(self, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Mask:
        fits: Mask = ~nodes.unschedulable[rows]
        if not fits.all() and tolerated(pod.spec.get("tolerations") or (), _TAINT):
            fits[:] = True
        return fits

    def explain(self, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Rejections:
        return count_all("node(s) were unschedulable", rows)
