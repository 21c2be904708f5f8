"""Only the node that `spec.nodeName` asks for. Pods that name one are bound already, so this matters to dry runs."""

from __future__ import annotations

from kybern.scheduler.framework import ClusterEvent, CycleState, Mask, Plugin, Rejections, Rows, count_all
from kybern.scheduler.pod import PodInfo
from kybern.scheduler.snapshot import NodeTable


class NodeName(Plugin):
    name = "NodeName"
    events = {ClusterEvent.NODE_ADD: None}

    def sign(self, pod: PodInfo) -> str:
        return pod.spec.get("nodeName") or ""

    def filter(self, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Mask:
        wanted = pod.spec.get("nodeName")
        return rows == nodes.row_of.get(wanted, -1) if wanted else rows >= 0

    def explain(self, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Rejections:
        return count_all("node(s) didn't match the requested node name", rows)
