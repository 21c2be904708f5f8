"""Rejects nodes where a host port the pod wants is taken."""

from __future__ import annotations

import numpy as np

from kybern.api.types import Object
from kybern.scheduler.framework import ClusterEvent, CycleState, Mask, Plugin, Rejections, Rows, count_all
from kybern.scheduler.pod import HostPort, PodInfo, host_ports
from kybern.scheduler.snapshot import NodeTable

_ANY = "0.0.0.0"


def _clash(wanted: HostPort, taken: HostPort) -> bool:
    same = wanted[:2] == taken[:2]
    return same and (wanted[2] == taken[2] or _ANY in (wanted[2], taken[2]))


def _frees_a_port(pod: PodInfo, old: Object | None, new: Object | None) -> bool:
    if old is None:
        return True
    freed = host_ports(old["spec"])
    return any(_clash(wanted, taken) for wanted in pod.ports for taken in freed)


class NodePorts(Plugin):
    name = "NodePorts"
    events = {ClusterEvent.POD_DELETE: _frees_a_port, ClusterEvent.NODE_ADD: None}

    def sign(self, pod: PodInfo) -> tuple[HostPort, ...]:
        return pod.ports

    def filter(self, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Mask:
        taken = [row for row, addresses in self._in_use(pod, nodes) if addresses]
        return ~np.isin(rows, taken) if taken else rows >= 0

    def explain(self, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Rejections:
        return count_all("node(s) didn't have free ports for the requested pod ports", rows, resolvable=True)

    def _in_use(self, pod: PodInfo, nodes: NodeTable) -> list[tuple[int, bool]]:
        return [
            (row, any(_clash(wanted, (*wanted[:2], address)) for address in addresses))
            for wanted in pod.ports
            for row, addresses in nodes.ports.get(wanted[:2], {}).items()
        ]
