"""A Deployment's status and conditions: pure functions.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#deployment-status
"""

from __future__ import annotations

from collections.abc import Sequence

from kybern.api.types import Object
from kybern.controllers import conditions
from kybern.controllers.deployment_rolling import available, max_unavailable, replicas, total
from kybern.process.clock import clock, parse_time

_NO_DEADLINE = 2**31 - 1


def has_deadline(deployment: Object) -> bool:
    """Whether a lack of progress is to be reported."""
    return deployment["spec"].get("progressDeadlineSeconds") not in (None, _NO_DEADLINE)


def calculate(deployment: Object, every: Sequence[Object], new: Object | None) -> Object:
    """The numbers, with the conditions as they were except Available."""
    before = deployment.get("status") or {}
    live = sum(available(one) for one in every)
    counts = {
        "replicas": sum(_count(one, "replicas") for one in every),
        "updatedReplicas": _count(new, "replicas") if new else 0,
        "readyReplicas": sum(_count(one, "readyReplicas") for one in every),
        "availableReplicas": live,
        "unavailableReplicas": max(0, total(every) - live),
    }
    status: Object = {"observedGeneration": deployment["metadata"].get("generation", 0)}
    status |= {name: value for name, value in counts.items() if value}
    if all("terminatingReplicas" in (one.get("status") or {}) for one in every):
        # Else the number isn't known yet.
        status["terminatingReplicas"] = sum(_count(one, "terminatingReplicas") for one in every)
    if "collisionCount" in before:
        status["collisionCount"] = before["collisionCount"]
    if before.get("conditions"):
        status["conditions"] = before["conditions"]
    if live >= replicas(deployment) - max_unavailable(deployment):
        text = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        text = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    conditions.put(status, condition("Available", *text))
    return status


def rollout(deployment: Object, every: Sequence[Object], new: Object | None) -> Object:
    """The status during and after a rollout: the numbers, progress, and failures of the ReplicaSets."""
    status = calculate(deployment, every, new)
    if not has_deadline(deployment):
        conditions.drop(status, "Progressing")
    current = conditions.find(deployment.get("status"), "Progressing")
    settled = (
        status.get("replicas", 0) == status.get("updatedReplicas", 0)
        and current is not None
        and current.get("reason") == "NewReplicaSetAvailable"
    )
    if has_deadline(deployment) and not settled:
        _put_progress(deployment, status, new, current)
    failure = _failure(every, new)
    if failure:
        conditions.put(status, failure)
    else:
        conditions.drop(status, "ReplicaFailure")
    return status


def is_complete(deployment: Object, status: Object) -> bool:
    """Everything is new, available, and the old is gone."""
    size = replicas(deployment)
    numbers = [status.get(name, 0) for name in ("updatedReplicas", "replicas", "availableReplicas")]
    observed = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    return numbers == [size] * 3 and observed


def is_progressing(deployment: Object, status: Object) -> bool:
    """Whether anything moved forward between the Deployment's status and this one."""
    before = deployment.get("status") or {}

    def old_pods(one: Object) -> int:
        return int(one.get("replicas", 0)) - int(one.get("updatedReplicas", 0))

    return (
        status.get("updatedReplicas", 0) > before.get("updatedReplicas", 0)
        or old_pods(status) < old_pods(before)
        or status.get("readyReplicas", 0) > before.get("readyReplicas", 0)
        or status.get("availableReplicas", 0) > before.get("availableReplicas", 0)
    )


def seconds_to_deadline(deployment: Object, status: Object) -> float | None:
    """When to look again so that a stuck rollout is noticed; None where there is nothing to wait for."""
    current = conditions.find(deployment.get("status"), "Progressing")
    if not has_deadline(deployment) or current is None:
        return None
    if is_complete(deployment, status) or current.get("reason") == "ProgressDeadlineExceeded":
        return None
    return max(1.0, _deadline(deployment, current) - clock.time() + 1)


def condition(type: str, status: str, reason: str, message: str) -> Object:
    """A Deployment's condition."""
    return conditions.make(type, status, reason, message, update_time=True)


def _put_progress(deployment: Object, status: Object, new: Object | None, current: Object | None) -> None:
    name = new["metadata"]["name"] if new else deployment["metadata"]["name"]
    subject = f'{"ReplicaSet" if new else "Deployment"} "{name}"'
    if is_complete(deployment, status):
        said = f"{subject} has successfully progressed."
        conditions.put(status, condition("Progressing", "True", "NewReplicaSetAvailable", said))
    elif is_progressing(deployment, status):
        moved = condition("Progressing", "True", "ReplicaSetUpdated", f"{subject} is progressing.")
        if current and current["status"] == "True":
            moved["lastTransitionTime"] = current["lastTransitionTime"]
        # Always replaced: its update time is what the deadline counts from.
        conditions.drop(status, "Progressing")
        conditions.put(status, moved)
    elif _timed_out(deployment, current):
        said = f"{subject} has timed out progressing."
        conditions.put(status, condition("Progressing", "False", "ProgressDeadlineExceeded", said))


def _timed_out(deployment: Object, current: Object | None) -> bool:
    if current is None or current.get("reason") == "NewReplicaSetAvailable":
        return False
    if current.get("reason") == "ProgressDeadlineExceeded":
        return True
    return _deadline(deployment, current) < clock.time()


def _deadline(deployment: Object, current: Object) -> float:
    since = current.get("lastUpdateTime") or current["lastTransitionTime"]
    return parse_time(since) + float(deployment["spec"]["progressDeadlineSeconds"])


def _failure(every: Sequence[Object], new: Object | None) -> Object | None:
    """The new ReplicaSet's failure to make pods, else any other's."""
    for one in [*([new] if new else []), *every]:
        if found := conditions.find(one.get("status"), "ReplicaFailure"):
            text = found["status"], found.get("reason", ""), found.get("message", "")
            since = found.get("lastTransitionTime") or clock.stamp()
            return condition("ReplicaFailure", *text) | {"lastTransitionTime": since, "lastUpdateTime": since}
    return None


def _count(replica_set: Object, field: str) -> int:
    return int((replica_set.get("status") or {}).get(field, 0))
