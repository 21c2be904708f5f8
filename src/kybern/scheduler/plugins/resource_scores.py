"""How full a node would be, as a score: the strategies of NodeResourcesFit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from kybern.api.types import Object
from kybern.process.daemon import OperatorError
from kybern.scheduler.framework import MAX_SCORE, Rows, Scores
from kybern.scheduler.pod import PodInfo
from kybern.scheduler.snapshot import NodeTable

_FULL = 100
_DEFAULT_RESOURCES = {"cpu": 1, "memory": 1}
_NONZERO = {"cpu": 0, "memory": 1}

Curve: TypeAlias = Callable[[Scores, Scores], Scores]
"""(used, capacity) -> 0 to MAX_SCORE; capacity is never zero."""


def used_after(pod: PodInfo, nodes: NodeTable, rows: Rows, resource: str, *, nonzero: bool) -> Scores:
    """What of the resource is requested on each row with the pod there."""
    used: Scores
    if nonzero and resource in _NONZERO:
        used = nodes.nonzero[:, _NONZERO[resource]].take(rows) + pod.nonzero.get(resource, 0)
    else:
        used = nodes.requested[:, nodes.column(resource)].take(rows) + pod.requests.get(resource, 0)
    return used


def _least(used: Scores, capacity: Scores) -> Scores:
    scores: Scores = np.where(used > capacity, 0, (capacity - used) * MAX_SCORE // capacity)
    return scores


def _most(used: Scores, capacity: Scores) -> Scores:
    scores: Scores = np.minimum(used, capacity) * MAX_SCORE // capacity
    return scores


def _ratio(shape: Sequence[Any]) -> Curve:
    """Straight lines between points of (utilization 0-100, score 0-10)."""
    x = np.array([point["utilization"] for point in shape], np.int64)
    y = np.array([point["score"] * MAX_SCORE // 10 for point in shape], np.int64)

    def curve(used: Scores, capacity: Scores) -> Scores:
        utilization = np.where(used > capacity, _FULL, used * _FULL // capacity)
        return np.trunc(np.interp(utilization, x, y)).astype(np.int64)

    return curve


@dataclass(slots=True)
class Strategy:
    """Weighted mean of a curve over resources."""

    resources: dict[str, int]
    """Resource -> weight."""
    curve: Curve
    skip_zero: bool = False
    """Whether resources with score zero are left out of the mean (RequestedToCapacityRatio)."""

    @classmethod
    def of(cls, args: Object) -> Strategy:
        """From a profile's `scoringStrategy`. Raises OperatorError."""
        resources = weights_of(args.get("resources"))
        match args.get("type") or "LeastAllocated":
            case "LeastAllocated":
                return cls(resources, _least)
            case "MostAllocated":
                return cls(resources, _most)
            case "RequestedToCapacityRatio":
                shape = (args.get("requestedToCapacityRatio") or {}).get("shape")
                if not shape:
                    raise OperatorError("scoringStrategy RequestedToCapacityRatio needs requestedToCapacityRatio.shape")
                return cls(resources, _ratio(shape), skip_zero=True)
            case other:
                raise OperatorError(
                    f'scoringStrategy.type "{other}" is unknown: use LeastAllocated, MostAllocated or '
                    "RequestedToCapacityRatio"
                )

    def score(self, pod: PodInfo, used: Sequence[Scores], capacity: Sequence[Scores]) -> Scores:
        """0 to MAX_SCORE per row. A resource counts only where the node has it (and, if extended, the pod wants it)."""
        total = np.zeros(len(used[0]), np.int64)
        weights = np.zeros(len(used[0]), np.int64)
        for (resource, weight), amounts, room in zip(self.resources.items(), used, capacity, strict=True):
            if "/" in resource and not pod.requests.get(resource):
                continue
            scores = self.curve(amounts, np.maximum(room, 1))
            counts = room > 0
            if self.skip_zero:
                counts &= scores > 0
            total += np.where(counts, scores, 0) * weight
            weights += counts * weight
        if self.skip_zero:
            return np.rint(total / np.maximum(weights, 1)).astype(np.int64)
        return total // np.maximum(weights, 1)


def weights_of(resources: Sequence[Object] | None) -> dict[str, int]:
    """`[{name, weight}]` as a dict; cpu and memory alike when not given."""
    return {r["name"]: int(r.get("weight") or 1) for r in resources} if resources else dict(_DEFAULT_RESOURCES)
