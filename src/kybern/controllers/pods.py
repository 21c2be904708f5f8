"""What controllers ask about pods: are they alive, ready, available; which of them to delete first."""

from __future__ import annotations

import math
from collections.abc import Iterable

from kybern.api.types import Object
from kybern.client.informer import Informer
from kybern.controllers import conditions
from kybern.controllers.owners import controller_reference, is_deleting, owner_index
from kybern.process.clock import clock, parse_time

_COST = "controller.kubernetes.io/pod-deletion-cost"
_PHASE_ORDER = {"Pending": 0, "": 0, "Unknown": 1, "Running": 2}


def index(pods: Informer) -> Informer:
    """Give the shared pod informer the indexes that controllers use: owner, namespace, node."""
    pods.add_index("owner", owner_index)
    pods.add_index("namespace", lambda pod: [pod["metadata"]["namespace"]])
    pods.add_index("node", lambda pod: [node] if (node := pod["spec"].get("nodeName")) else [])
    return pods


def phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase") or "")


def is_finished(pod: Object) -> bool:
    """Succeeded or Failed."""
    return phase(pod) in ("Succeeded", "Failed")


def is_active(pod: Object) -> bool:
    """Neither finished nor being deleted."""
    return not is_finished(pod) and not is_deleting(pod)


def is_ready(pod: Object) -> bool:
    condition = conditions.find(pod.get("status"), "Ready")
    return condition is not None and condition["status"] == "True"


def ready_since(pod: Object) -> float:
    """When it became ready (epoch seconds); 0 where it isn't or doesn't say."""
    condition = conditions.find(pod.get("status"), "Ready")
    if condition is None or condition["status"] != "True" or not condition.get("lastTransitionTime"):
        return 0.0
    return parse_time(condition["lastTransitionTime"])


def is_available(pod: Object, min_ready_seconds: int) -> bool:
    """Ready for at least so long."""
    if not is_ready(pod):
        return False
    return not min_ready_seconds or 0 < ready_since(pod) <= clock.time() - min_ready_seconds


def from_template(template: Object, owner: Object) -> Object:
    """A pod to create for `owner`, which becomes its controller."""
    meta = template.get("metadata") or {}
    made = {
        "generateName": f"{owner['metadata']['name']}-",
        "namespace": owner["metadata"]["namespace"],
        "ownerReferences": [controller_reference(owner)],
    }
    for name in ("labels", "annotations", "finalizers"):
        if meta.get(name):
            made[name] = meta[name]
    return {"kind": "Pod", "apiVersion": "v1", "metadata": made, "spec": template["spec"]}


def to_delete(candidates: list[Object], related: Iterable[Object], count: int) -> list[Object]:
    """The `count` pods whose loss costs least: not yet placed or running, not ready, of low deletion cost, on nodes
    with many `related` pods, lately ready, often restarted, young."""
    if count >= len(candidates):
        return candidates
    on_node: dict[str, int] = {}
    for pod in related:
        node = pod["spec"].get("nodeName", "")
        on_node[node] = on_node.get(node, 0) + 1
    now = clock.time()
    return sorted(candidates, key=lambda pod: _rank(pod, on_node.get(pod["spec"].get("nodeName", ""), 0), now))[:count]


def _rank(pod: Object, neighbours: int, now: float) -> tuple[float, ...]:
    meta = pod["metadata"]
    return (
        1 if pod["spec"].get("nodeName") else 0,
        _PHASE_ORDER.get(phase(pod), 1),
        1 if is_ready(pod) else 0,
        _cost(meta),
        -neighbours,
        _logarithmic(now - ready_since(pod)) if is_ready(pod) else 0,
        -_restarts(pod),
        _logarithmic(now - parse_time(meta["creationTimestamp"])),
    )


def _cost(meta: Object) -> int:
    try:
        return int((meta.get("annotations") or {}).get(_COST, "0"))
    except ValueError:
        return 0


def _restarts(pod: Object) -> int:
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return max((status.get("restartCount", 0) for status in statuses), default=0)


def _logarithmic(seconds: float) -> int:
    """Ages of the same magnitude count as equal, so that scaling down does not always hit the same generation."""
    return int(math.log2(seconds)) if seconds >= 1 else 0
