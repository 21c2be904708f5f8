"""The kubelet's own last check of a pod bound to it: does it fit, is the node willing. Upstream's reasons and texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kybern.api import quantity
from kybern.api.types import Object
from kybern.kubelet import resources
from kybern.kubelet.sources.base import is_static


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a pod is refused; it becomes Failed with this reason."""

    reason: str
    message: str


def admit(
    pod: Object, others: list[Object], allocatable: Mapping[str, str], labels: Mapping[str, str]
) -> Rejection | None:
    """None if the pod may run. `others` are the pods that hold resources already."""
    limit = int(allocatable.get("pods", "110"))
    if len(others) + 1 > limit:
        return _out_of("pods", 1, len(others), limit)
    for name in ("cpu", "memory"):
        asked, free = resources.total(pod, name), quantity.milli(allocatable.get(name, "0"))
        used = sum(resources.total(other, name) for other in others)
        if asked and used + asked > free:
            scale = 1 if name == "cpu" else 1000
            return _out_of(name, asked // scale, used // scale, free // scale)
    selector = pod["spec"].get("nodeSelector") or {}
    if not is_static(pod) and any(labels.get(key) != value for key, value in selector.items()):
        text = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
        return Rejection("NodeAffinity", f"Pod was rejected: {text}")
    return None


def _out_of(resource: str, asked: int, used: int, capacity: int) -> Rejection:
    text = f"Node didn't have enough resource: {resource}, requested: {asked}, used: {used}, capacity: {capacity}"
    return Rejection(f"OutOf{resource}", f"Pod was rejected: {text}")
