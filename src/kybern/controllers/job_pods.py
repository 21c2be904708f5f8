"""What a Job asks about its pods, and how it makes them. Pure functions.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kybern.api.batch.indexes import IndexSet
from kybern.api.cells import at
from kybern.api.types import Object
from kybern.controllers import conditions, pods
from kybern.controllers.owners import is_deleting
from kybern.process.clock import parse_time

FINALIZER = "batch.kubernetes.io/job-tracking"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"
_VARIABLE = "JOB_COMPLETION_INDEX"
_PREFIX_MAX = 58


def is_indexed(job: Object) -> bool:
    return bool(job["spec"].get("completionMode") == "Indexed")


def replaces_failed_only(job: Object) -> bool:
    """Whether a pod counts as failed, and is replaced, only once it is in the phase Failed; not as soon as it is being
    deleted."""
    spec = job["spec"]
    return spec.get("podReplacementPolicy") == "Failed" or spec.get("podFailurePolicy") is not None


def has_finalizer(pod: Object) -> bool:
    return FINALIZER in (pod["metadata"].get("finalizers") or ())


def is_terminating(pod: Object) -> bool:
    """Being deleted and not finished yet."""
    return is_deleting(pod) and not pods.is_finished(pod)


def is_failed(job: Object, pod: Object) -> bool:
    """In the phase Failed, or lost: being deleted without having succeeded."""
    if pods.phase(pod) == "Failed":
        return True
    if replaces_failed_only(job):
        return False
    return is_deleting(pod) and pods.phase(pod) != "Succeeded"


def index_of(pod: Object) -> int:
    """The completion index; -1 if it has none."""
    text = (pod["metadata"].get("annotations") or {}).get(INDEX, "")
    return int(text) if text.isdigit() else -1


def valid_index(job: Object, pod: Object) -> int:
    """The completion index, -1 also where the Job has fewer completions."""
    index = index_of(pod)
    return index if index < (job["spec"].get("completions") or 0) else -1


def indexes_of(found: Iterable[Object]) -> IndexSet:
    return IndexSet.of(index for pod in found if (index := index_of(pod)) >= 0)


def finish_time(pod: Object) -> float:
    """When it finished (epoch seconds), as well as can be told."""
    status, meta = pod.get("status") or {}, pod["metadata"]
    ends = [at(one, "state", "terminated", "finishedAt") for one in status.get("containerStatuses") or ()]
    if ends and all(ends):
        return max(map(parse_time, ends))
    ready = conditions.find(status, "Ready")
    if ready and ready["status"] == "False" and ready.get("lastTransitionTime"):
        return parse_time(ready["lastTransitionTime"])
    if meta.get("deletionTimestamp"):
        return parse_time(meta["deletionTimestamp"]) - (meta.get("deletionGracePeriodSeconds") or 0)
    return parse_time(meta["creationTimestamp"])


# podFailurePolicy.


class Match(NamedTuple):
    """What the pod failure policy says of a failed pod."""

    action: str = ""
    """That of the rule that matched, "" if none did."""
    message: str = ""
    """Why the Job fails, for the action FailJob."""

    @property
    def counts(self) -> bool:
        """Whether the failure counts towards the limits."""
        return self.action != "Ignore"


def match_policy(job: Object, pod: Object) -> Match:
    """The first rule that matches counts."""
    name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    for number, rule in enumerate((job["spec"].get("podFailurePolicy") or {}).get("rules") or ()):
        action = rule["action"]
        rest = f"matching {action} rule at index {number}"
        if rule.get("onExitCodes") is not None:
            if container := _exited(pod, rule["onExitCodes"]):
                code = container["state"]["terminated"]["exitCode"]
                return Match(
                    action, f"Container {container['name']} for pod {name} failed with exit code {code} {rest}"
                )
        elif condition := _has_condition(pod, rule.get("onPodConditions") or ()):
            return Match(action, f"Pod {name} has condition {condition} {rest}")
    return Match()


def _exited(pod: Object, wanted: Object) -> Object | None:
    """The container that ended with a code as wanted. 0 never is."""
    status = pod.get("status") or {}
    for container in (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ())):
        if wanted.get("containerName") not in (None, container.get("name")):
            continue
        code = at(container, "state", "terminated", "exitCode")
        if code and (code in wanted["values"]) == (wanted["operator"] == "In"):
            found: Object = container
            return found
    return None


def _has_condition(pod: Object, patterns: Iterable[Object]) -> str:
    """The type of the condition that matches; "" if none does."""
    for pattern in patterns:
        condition = conditions.find(pod.get("status"), pattern["type"])
        if condition is not None and condition["status"] == pattern["status"]:
            return str(pattern["type"])
    return ""


# backoffLimitPerIndex: how often an index has failed is handed on from pod to pod.


def _annotated(pod: Object, key: str) -> int:
    text = (pod["metadata"].get("annotations") or {}).get(key, "")
    return int(text) if text.isdigit() else 0


def all_failures(pod: Object) -> int:
    """How often its index had failed before it, those failures included that don't count."""
    return _annotated(pod, FAILURES) + _annotated(pod, IGNORED_FAILURES)


def fails_index(job: Object, pod: Object) -> bool:
    """Whether the pod's failure is the last that its index may have."""
    limit = job["spec"].get("backoffLimitPerIndex")
    if limit is None or not is_failed(job, pod):
        return False
    match = match_policy(job, pod)
    return match.action == "FailIndex" or (match.counts and _annotated(pod, FAILURES) >= limit)


def _next_failures(job: Object, failed: Object | None) -> tuple[int, int]:
    """(that count, that don't) for the pod that comes after `failed`."""
    if failed is None:
        return 0, 0
    counted, ignored = _annotated(failed, FAILURES), _annotated(failed, IGNORED_FAILURES)
    return (counted + 1, ignored) if match_policy(job, failed).counts else (counted, ignored + 1)


# Making pods.


def new_pod(job: Object, index: int | None, failed: Object | None) -> Object:
    """A pod for the Job, of a completion index where it has them. `failed` is the pod it comes after."""
    pod = pods.from_template(job["spec"]["template"], job)
    meta = pod["metadata"]
    meta["finalizers"] = [*(one for one in meta.get("finalizers") or () if one != FINALIZER), FINALIZER]
    if index is None:
        return pod
    annotations = {**(meta.get("annotations") or {}), INDEX: str(index)}
    if job["spec"].get("backoffLimitPerIndex") is not None:
        counted, ignored = _next_failures(job, failed)
        annotations[FAILURES] = str(counted)
        if ignored:
            annotations[IGNORED_FAILURES] = str(ignored)
    name, tail = job["metadata"]["name"], f"-{index}-"
    meta |= {
        "annotations": annotations,
        "labels": {**(meta.get("labels") or {}), INDEX: str(index)},
        "generateName": f"{name[: _PREFIX_MAX - len(tail)]}{tail}",
    }
    pod["spec"] = {**_with_variable(pod["spec"]), "hostname": f"{name}-{index}"}
    return pod


def _with_variable(spec: Object) -> Object:
    """Every container learns the index, unless it has a variable of that name already."""
    field = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    made = dict(spec)
    for key in ("containers", "initContainers"):
        if spec.get(key):
            made[key] = [
                container
                if any(one["name"] == _VARIABLE for one in container.get("env") or ())
                else {**container, "env": [*(container.get("env") or ()), {"name": _VARIABLE, "valueFrom": field}]}
                for container in spec[key]
            ]
    return made
