"""Rejects nodes without room for the pod's requests; scores by the profile's strategy (LeastAllocated by default).

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/resource-bin-packing/
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import numpy.typing as npt

from kybern.api.types import Object
from kybern.scheduler.framework import (
    ClusterEvent,
    CycleState,
    Handle,
    Mask,
    Plugin,
    Rejections,
    Rows,
    Scores,
)
from kybern.scheduler.plugins.resource_scores import Strategy, used_after
from kybern.scheduler.pod import PodInfo, amount, total_requests
from kybern.scheduler.snapshot import PODS, NodeTable


def signature(pod: PodInfo) -> Hashable:
    """What resource plugins look at in a pod."""
    return (tuple(sorted(pod.requests.items())), pod.nonzero.get("cpu"), pod.nonzero.get("memory"))


def _frees_something(pod: PodInfo, old: Object | None, new: Object | None) -> bool:
    """A pod that went away leaves at least its place."""
    return True


def _asks_for_less(pod: PodInfo, old: Object | None, new: Object | None) -> bool:
    if old is None or new is None:
        return True
    before, after = total_requests(old["spec"], {}), total_requests(new["spec"], {})
    return any(after.get(name, 0) < value for name, value in before.items() if name in pod.requests)


def _big_enough(pod: PodInfo, old: Object | None, new: Object | None) -> bool:
    allocatable = ((new or {}).get("status") or {}).get("allocatable") or {}
    return all(amount(name, allocatable.get(name, 0)) >= wanted for name, wanted in pod.requests.items())


class NodeResourcesFit(Plugin):
    name = "NodeResourcesFit"
    events = {
        ClusterEvent.POD_DELETE: _frees_something,
        ClusterEvent.POD_SCALE_DOWN: _asks_for_less,
        ClusterEvent.NODE_ADD: _big_enough,
        ClusterEvent.NODE_ALLOCATABLE: _big_enough,
        ClusterEvent.POD_UPDATE: _asks_for_less,
    }

    def __init__(self, handle: Handle, args: Object) -> None:
        super().__init__(handle, args)
        self._strategy = Strategy.of(args.get("scoringStrategy") or {})
        self._ignored = frozenset(args.get("ignoredResources") or ())
        self._ignored_groups = frozenset(args.get("ignoredResourceGroups") or ())

    def sign(self, pod: PodInfo) -> Hashable:
        return signature(pod)

    def filter(self, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Mask:
        columns, amounts = self._wanted(state, pod, nodes)
        fits: Mask = np.ones(len(rows), np.bool_)
        for column, wanted in zip(columns.tolist(), amounts.tolist(), strict=True):
            fits &= nodes.allocatable[:, column].take(rows) - nodes.requested[:, column].take(rows) >= wanted
        return fits

    def explain(self, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Rejections:
        columns, amounts = self._wanted(state, pod, nodes)
        at = rows[:, None], columns
        allocatable = nodes.allocatable[at]
        short = allocatable - nodes.requested[at] < amounts
        names = {column: name for name, column in nodes.resources.items()}
        reasons = {
            "Too many pods" if column == PODS else f"Insufficient {names[column]}": int(count)
            for column, count in zip(columns.tolist(), short.sum(axis=0), strict=True)
            if count
        }
        return Rejections(reasons, rows[~(short & (amounts > allocatable)).any(axis=1)])

    def score(self, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Scores:
        used = [used_after(pod, nodes, rows, resource, nonzero=True) for resource in self._strategy.resources]
        capacity = [nodes.capacity(resource, rows) for resource in self._strategy.resources]
        return self._strategy.score(pod, used, capacity)

    def _wanted(
        self, state: CycleState, pod: PodInfo, nodes: NodeTable
    ) -> tuple[Rows, npt.NDArray[np.int64]]:
        """Columns and amounts that must be there; nothing is asked of what the pod doesn't request."""
        found: tuple[Rows, npt.NDArray[np.int64]] | None = state.get(self.name)
        if found is None:
            wanted = {PODS: 1}
            for name, value in pod.requests.items():
                if value > 0 and name not in self._ignored and name.partition("/")[0] not in self._ignored_groups:
                    wanted[nodes.column(name)] = value
            found = np.array(list(wanted), np.intp), np.array(list(wanted.values()), np.int64)
            state[self.name] = found
        return found


