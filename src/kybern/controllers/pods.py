"""What controllers ask about pods: are they alive, ready, available; which of them to delete first."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from functools import cmp_to_key

from kybern.api.types import Object
from kybern.client.informer import Informer
from kybern.controllers import conditions
from kybern.controllers.owners import controller_reference, is_deleting, owner_index
from kybern.process.clock import clock, parse_time

_COST = "controller.kubernetes.io/pod-deletion-cost"
_COST_FORM = re.compile(r"0|[1-9][0-9]*|-[0-9]+")
_COST_MAX = 2**31 - 1
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

    def compare(one: Object, other: Object) -> int:
        placed = on_node.get(one["spec"].get("nodeName", ""), 0), on_node.get(other["spec"].get("nodeName", ""), 0)
        return _compare(one, other, placed, now)

    return sorted(candidates, key=cmp_to_key(compare))[:count]


def seconds_to_available(pod: Object, min_ready_seconds: int) -> float | None:
    """How long until a ready pod counts as available; None where it does already, or time alone won't do it."""
    since = ready_since(pod)
    if not since or is_available(pod, min_ready_seconds):
        return None
    return max(0.0, since + min_ready_seconds - clock.time())


def _compare(one: Object, other: Object, neighbours: tuple[int, int], now: float) -> int:
    """Negative where `one` goes first. Not a sort key: ages decide by magnitude where they differ at all."""
    if decided := _sign(_rank(one), _rank(other)) or neighbours[1] - neighbours[0]:
        return decided
    if is_ready(one) and (decided := _by_age(one, other, ready_since, now)):
        return decided
    if decided := _sign(_restarts(other), _restarts(one)):
        return decided
    return _by_age(one, other, _created, now)


def _rank(pod: Object) -> tuple[int, ...]:
    return (
        1 if pod["spec"].get("nodeName") else 0,
        _PHASE_ORDER.get(phase(pod), 0),
        1 if is_ready(pod) else 0,
        _cost(pod["metadata"]),
    )


def _sign(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    return (one > other) - (one < other)


def _by_age(one: Object, other: Object, since: Callable[[Object], float], now: float) -> int:
    """The younger first; those of the same magnitude in no order that means anything, so that scaling down does not
    always hit the same generation. 0 where the times are equal. A time that isn't known counts as the youngest."""
    mine, its = since(one), since(other)
    if mine == its:
        return 0
    if not mine or not its:
        return -1 if not mine else 1
    magnitudes = _magnitude(now - mine) - _magnitude(now - its)
    return magnitudes or (-1 if one["metadata"].get("uid", "") < other["metadata"].get("uid", "") else 1)


def _created(pod: Object) -> float:
    created = pod["metadata"].get("creationTimestamp")
    return parse_time(created) if created else 0.0


def _cost(meta: Object) -> int:
    text = (meta.get("annotations") or {}).get(_COST, "0")
    cost = int(text) if _COST_FORM.fullmatch(text) else 0
    return cost if -_COST_MAX - 1 <= cost <= _COST_MAX else 0


def _restarts(pod: Object) -> tuple[int, int]:
    """The most of any container, and of any sidecar."""
    status = pod.get("status") or {}
    sidecars = {one["name"] for one in pod["spec"].get("initContainers") or () if one.get("restartPolicy") == "Always"}
    beside = [one for one in status.get("initContainerStatuses") or () if one.get("name") in sidecars]
    counts = [
        max((one.get("restartCount", 0) for one in listed), default=0)
        for listed in (status.get("containerStatuses") or (), beside)
    ]
    return counts[0], counts[1]


def _magnitude(seconds: float) -> int:
    """The logarithm of an age in nanoseconds."""
    return int(math.log2(seconds * 1e9)) if seconds > 0 else -1
