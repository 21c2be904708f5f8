"""Rejects nodes with taints the pod doesn't tolerate; prefers nodes with few PreferNoSchedule ones.

Nodes share few sets of taints, so each set is judged once and rows look their verdict up.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import orjson

from kybern.api.types import Object
from kybern.scheduler.framework import (
    SKIP,
    ClusterEvent,
    CycleState,
    Mask,
    Plugin,
    Rejections,
    Rows,
    Scores,
    Status,
    count_all,
    scale_to_max_reversed,
)
from kybern.scheduler.plugins.tolerations import tolerated
from kybern.scheduler.pod import PodInfo
from kybern.scheduler.snapshot import NodeTable, Taint, taints_of

_HARD = ("NoSchedule", "NoExecute")


def untolerated(pod: PodInfo, taints: tuple[Taint, ...]) -> Taint | None:
    """The first taint that keeps the pod away."""
    tolerations = pod.spec.get("tolerations") or ()
    return next((t for t in taints if t[2] in _HARD and not tolerated(tolerations, t)), None)


def _unwelcome(pod: PodInfo, taints: tuple[Taint, ...]) -> int:
    """How many PreferNoSchedule taints the pod doesn't tolerate."""
    tolerations = [t for t in pod.spec.get("tolerations") or () if t.get("effect") in (None, "", "PreferNoSchedule")]
    return sum(t[2] == "PreferNoSchedule" and not tolerated(tolerations, t) for t in taints)


def _node_may_fit(pod: PodInfo, old: Object | None, new: Object | None) -> bool:
    return new is not None and untolerated(pod, taints_of(new.get("spec") or {})) is None


class TaintToleration(Plugin):
    name = "TaintToleration"
    events = {
        ClusterEvent.NODE_ADD: _node_may_fit,
        ClusterEvent.NODE_TAINT: _node_may_fit,
        ClusterEvent.POD_UPDATE: None,
    }

    def sign(self, pod: PodInfo) -> bytes:
        return orjson.dumps(pod.spec.get("tolerations"))

    def filter(self, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Mask:
        verdicts = self._per_set(state, "filter", nodes, lambda taints: untolerated(pod, taints) is None)
        fits: Mask = verdicts.take(nodes.taint_set.take(rows)) != 0
        return fits

    def explain(self, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Rejections:
        return count_all("node(s) had untolerated taint(s)", rows)

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: NodeTable) -> Status | None:
        counts = self._per_set(state, "score", nodes, lambda taints: _unwelcome(pod, taints))
        return None if counts.any() else SKIP

    def score(self, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Scores:
        counts = self._per_set(state, "score", nodes, lambda taints: _unwelcome(pod, taints))
        return counts[nodes.taint_set[rows]]

    def normalise(self, scores: Scores) -> Scores:
        return scale_to_max_reversed(scores)

    def _per_set(
        self, state: CycleState, point: str, nodes: NodeTable, judge: Callable[[tuple[Taint, ...]], int]
    ) -> npt.NDArray[np.int64]:
        """`judge` of every taint set, remembered for the cycle."""
        found: npt.NDArray[np.int64] | None = state.get(self.name + point)
        if found is None or len(found) < len(nodes.taint_sets):
            found = np.array([judge(taints) for taints in nodes.taint_sets], np.int64)
            state[self.name + point] = found
        return found
