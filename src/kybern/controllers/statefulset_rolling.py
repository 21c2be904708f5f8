"""What a pass over a StatefulSet does: pure functions from its pods to steps, in order.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/ ("Deployment and Scaling Guarantees",
"Update strategies")
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from kybern.api.types import Object
from kybern.controllers import pods, revisions
from kybern.controllers.owners import is_deleting
from kybern.controllers.statefulset_identity import in_range, ordinal, size, start


@dataclass(slots=True)
class Steps:
    """What to do, in this order."""

    create: list[int] = field(default_factory=list)
    """Ordinals without a pod."""
    provide: list[Object] = field(default_factory=list)
    """Pods that wait, perhaps for claims that are missing."""
    tend: list[Object] = field(default_factory=list)
    """Living pods: their identity, storage and claims are to be as they should."""
    retain: list[Object] = field(default_factory=list)
    """Surplus pods, whose claims are to go or stay with them."""
    delete: list[Object] = field(default_factory=list)


def is_parallel(stateful_set: Object) -> bool:
    return bool(stateful_set["spec"].get("podManagementPolicy") == "Parallel")


def is_running(pod: Object) -> bool:
    """Running and ready."""
    return pods.phase(pod) == "Running" and pods.is_ready(pod)


def is_available(stateful_set: Object, pod: Object) -> bool:
    return is_running(pod) and pods.is_available(pod, stateful_set["spec"].get("minReadySeconds", 0))


def revision_of(pod: Object) -> str:
    """The name of the revision the pod was made from."""
    return str((pod["metadata"].get("labels") or {}).get(revisions.POD_LABEL, ""))


def uses_current(stateful_set: Object, number: int) -> bool:
    """Whether a pod of that ordinal is (re)made from the revision before the update."""
    strategy = stateful_set["spec"]["updateStrategy"]
    rolling = strategy.get("rollingUpdate")
    if rolling is not None:
        return number < start(stateful_set) + int(rolling.get("partition") or 0)
    done = int((stateful_set.get("status") or {}).get("currentReplicas", 0))
    return bool(strategy["type"] == "RollingUpdate") and number < start(stateful_set) + done


def max_unavailable(stateful_set: Object) -> int:
    """Pods that may be missing while updating; at least one."""
    rolling = stateful_set["spec"]["updateStrategy"].get("rollingUpdate") or {}
    value = rolling.get("maxUnavailable", 1)
    if isinstance(value, str):
        value = math.floor(int(value.rstrip("%")) * size(stateful_set) / 100)
    return max(1, int(value))


def plan(stateful_set: Object, found: Iterable[Object], update: str) -> Steps:
    """The next steps towards the asked-for number of pods of the revision named `update`."""
    own = sorted((pod for pod in found if ordinal(stateful_set, pod) >= 0), key=lambda pod: ordinal(stateful_set, pod))
    by_ordinal = {ordinal(stateful_set, pod): pod for pod in own}
    first = start(stateful_set)
    replicas = [by_ordinal.get(number) for number in range(first, first + size(stateful_set))]
    condemned = [pod for pod in reversed(own) if not in_range(stateful_set, pod)]
    steps = Steps()
    if is_parallel(stateful_set):
        _fill_all(replicas, first, steps)
        steps.retain = condemned
        steps.delete += [pod for pod in condemned if not is_deleting(pod)]
    elif _fill_one(stateful_set, replicas, first, steps) or _shrink_one(stateful_set, condemned, steps):
        return steps
    if stateful_set["spec"]["updateStrategy"]["type"] == "RollingUpdate":
        steps.delete += _outdated(stateful_set, replicas, update)
    return steps


def _fill_all(replicas: Sequence[Object | None], first: int, steps: Steps) -> None:
    """Every ordinal by itself."""
    for number, pod in enumerate(replicas, first):
        if pod is None:
            steps.create.append(number)
        elif pods.is_finished(pod):
            steps.delete += [] if is_deleting(pod) else [pod]
        else:
            steps.tend.append(pod)
            if pods.phase(pod) == "Pending":
                steps.provide.append(pod)


def _fill_one(stateful_set: Object, replicas: Sequence[Object | None], first: int, steps: Steps) -> bool:
    """One ordinal after the other; True if the set has to wait for one."""
    for number, pod in enumerate(replicas, first):
        if pod is None:
            steps.create.append(number)
            return True
        if pods.is_finished(pod):
            steps.delete += [] if is_deleting(pod) else [pod]
            return True
        if pods.phase(pod) == "Pending":
            steps.provide.append(pod)
        if is_deleting(pod) or not is_available(stateful_set, pod):
            return True
        steps.tend.append(pod)
    return False


def _shrink_one(stateful_set: Object, condemned: Sequence[Object], steps: Steps) -> bool:
    """The last pod goes first; one that isn't well goes only if it is the lowest such. True while there are any."""
    steps.retain = list(condemned)
    if not condemned:
        return False
    last = condemned[0]
    sick = [pod for pod in condemned if is_deleting(pod) or not is_running(pod)]
    if not is_deleting(last) and (is_available(stateful_set, last) or (sick and sick[-1] is last)):
        steps.delete.append(last)
    return True


def _outdated(stateful_set: Object, replicas: Sequence[Object | None], update: str) -> list[Object]:
    """Pods to replace by ones of the new revision, the last first, as many as may be missing."""
    rolling = stateful_set["spec"]["updateStrategy"].get("rollingUpdate") or {}
    fit = [pod is not None and not is_deleting(pod) and is_available(stateful_set, pod) for pod in replicas]
    pairs = list(zip(replicas, fit, strict=True))[rolling.get("partition") or 0 :]
    old = [
        (pod, fits)
        for pod, fits in reversed(pairs)
        if pod is not None and not is_deleting(pod) and not pods.is_finished(pod) and revision_of(pod) != update
    ]
    room = max(0, max_unavailable(stateful_set) - fit.count(False))
    if not is_parallel(stateful_set):
        return [pod for pod, _ in old[:room]]
    # What doesn't work anyway is replaced at once.
    return [pod for pod, fits in old if not fits] + [pod for pod, fits in old if fits][:room]


def new_status(stateful_set: Object, found: Iterable[Object], current: str, update: str) -> Object:
    """The status to show; `current` and `update` are names of revisions."""
    counts = dict.fromkeys(("replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"), 0)
    for pod in found:
        counts["replicas"] += 1
        counts["readyReplicas"] += is_running(pod)
        counts["availableReplicas"] += is_available(stateful_set, pod)
        if not is_deleting(pod):
            counts["currentReplicas"] += revision_of(pod) == current
            counts["updatedReplicas"] += revision_of(pod) == update
    wanted = size(stateful_set)
    if stateful_set["spec"]["updateStrategy"]["type"] == "RollingUpdate" and all(
        counts[name] == wanted for name in ("replicas", "readyReplicas", "updatedReplicas")
    ):
        current = update
        counts["currentReplicas"] = counts["updatedReplicas"]
    before = stateful_set.get("status") or {}
    status: Object = {"conditions": before["conditions"]} if before.get("conditions") else {}
    status |= {"observedGeneration": stateful_set["metadata"].get("generation", 0)}
    status |= {name: value for name, value in counts.items() if value or name in ("replicas", "availableReplicas")}
    status |= {"currentRevision": current, "updateRevision": update}
    return status | {"collisionCount": before.get("collisionCount", 0)}
