"""Prefers nodes whose resources would be used to equal parts: the smaller the deviation, the better."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import numpy.typing as npt

from kybern.api.types import Object
from kybern.scheduler.framework import MAX_SCORE, SKIP, CycleState, Handle, Plugin, Rows, Scores, Status
from kybern.scheduler.plugins.node_resources_fit import signature
from kybern.scheduler.plugins.resource_scores import used_after, weights_of
from kybern.scheduler.pod import PodInfo
from kybern.scheduler.snapshot import NodeTable


class NodeResourcesBalancedAllocation(Plugin):
    name = "NodeResourcesBalancedAllocation"

    def __init__(self, handle: Handle, args: Object) -> None:
        super().__init__(handle, args)
        self._resources = list(weights_of(args.get("resources")))

    def sign(self, pod: PodInfo) -> Hashable:
        return signature(pod)

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: NodeTable) -> Status | None:
        """A pod that asks for nothing changes no balance."""
        return None if any(pod.requests.get(resource) for resource in self._resources) else SKIP

    def score(self, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Scores:
        counted = [r for r in self._resources if "/" not in r or pod.requests.get(r)]
        fractions = np.zeros((len(counted), len(rows)))
        present = np.zeros((len(counted), len(rows)), np.bool_)
        for index, resource in enumerate(counted):
            capacity = nodes.capacity(resource, rows)
            used = used_after(pod, nodes, rows, resource, nonzero=False)
            fractions[index] = np.minimum(used / np.maximum(capacity, 1), 1.0)
            present[index] = capacity > 0
        return ((1 - _deviation(fractions, present)) * MAX_SCORE).astype(np.int64)


def _deviation(fractions: npt.NDArray[np.float64], present: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Standard deviation per column over the resources the node has."""
    if len(fractions) == 2 and present.all():
        half: npt.NDArray[np.float64] = np.abs(fractions[0] - fractions[1]) / 2
        return half
    count = np.maximum(present.sum(axis=0), 1)
    mean = np.where(present, fractions, 0.0).sum(axis=0) / count
    squares = np.where(present, (fractions - mean) ** 2, 0.0)
    deviation: npt.NDArray[np.float64] = np.sqrt(squares.sum(axis=0) / count)
    return deviation
