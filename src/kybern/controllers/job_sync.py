"""What a pass over a Job sees and decides: pure functions over a picture of it, of which only `status` changes.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/; KEP-2307 (counting by finalizer), KEP-3850
(backoff per index), KEP-3998 (success policy), KEP-3939 (replacement of terminating pods)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from kybern.api.batch.indexes import IndexSet
from kybern.api.types import Object
from kybern.controllers import conditions, pods
from kybern.controllers import job_pods as own
from kybern.controllers.job_backoff import Record, wait_of_index
from kybern.process.clock import clock, parse_time

MAX_UNCOUNTED = 500
"""Pods counted in one pass, so that the status stays small."""
_BURST = 500


class Picture:
    """A Job with its pods as one pass sees them. `released`: uids of pods whose finalizer was taken away although the
    cache doesn't show it yet."""

    def __init__(self, job: Object, found: Iterable[Object], released: Iterable[str] = ()) -> None:
        self.job, self.spec = job, job["spec"]
        self.status: Object = dict(job.get("status") or {})
        uncounted = self.status.get("uncountedTerminatedPods") or {}
        self.uncounted = {key: list(uncounted.get(key) or ()) for key in ("succeeded", "failed")}
        gone = set(released)
        self.pods = sorted(found, key=lambda pod: (own.index_of(pod), pod["metadata"]["name"]))
        self.tracked = [pod for pod in self.pods if own.has_finalizer(pod) and _uid(pod) not in gone]
        self.active = [pod for pod in self.pods if pods.is_active(pod)]
        self.terminating = sum(map(own.is_terminating, self.pods))
        self.indexed = own.is_indexed(job)
        self.completions: int | None = self.spec.get("completions")
        seen = {*self.uncounted["succeeded"], *self.uncounted["failed"]}
        fresh = [pod for pod in self.tracked if _uid(pod) not in seen and self._has_place(pod)]
        self.new_succeeded = [pod for pod in fresh if pods.phase(pod) == "Succeeded"]
        self.new_failed = [pod for pod in fresh if own.is_failed(job, pod)]
        self.failed = self._count("failed", (pod for pod in self.new_failed if own.match_policy(job, pod).counts))
        self.succeeded = self._count("succeeded", self.new_succeeded)
        self._see_indexes()

    def _has_place(self, pod: Object) -> bool:
        return not self.indexed or own.valid_index(self.job, pod) >= 0

    def _count(self, key: str, fresh: Iterable[Object]) -> int:
        return int(self.status.get(key) or 0) + len(self.uncounted[key]) + sum(1 for _ in fresh)

    def _see_indexes(self) -> None:
        self.known_indexes = self.succeeded_indexes = IndexSet()
        self.failed_indexes: IndexSet | None = None
        self.delayed: dict[int, Object] = {}
        if not self.indexed:
            return
        limit = self.completions or 0
        self.known_indexes = IndexSet.parse(self.status.get("completedIndexes") or "", limit)
        done = (pod for pod in self.tracked if pods.phase(pod) == "Succeeded" and self._has_place(pod))
        self.succeeded_indexes = self.known_indexes | own.indexes_of(done)
        self.succeeded = len(self.succeeded_indexes)
        if self.spec.get("backoffLimitPerIndex") is None:
            return
        lost = (pod for pod in self.tracked if self._has_place(pod) and own.fails_index(self.job, pod))
        known = IndexSet.parse(self.status.get("failedIndexes") or "", limit)
        # One that succeeded all the same has not failed.
        named = (index for pod in lost if (index := own.index_of(pod)) not in self.succeeded_indexes)
        self.failed_indexes = known | IndexSet.of(named)
        self._delay()

    def _delay(self) -> None:
        """The last failed pod of an index stays until another has its failure count."""
        running = own.indexes_of(self.active)
        for pod in self.tracked:
            index = own.index_of(pod)
            if not self._has_place(pod) or not own.is_failed(self.job, pod):
                continue
            if index in running or index in self.succeeded_indexes or index in (self.failed_indexes or ()):
                continue
            other = self.delayed.get(index)
            if other is None or _age(other) <= _age(pod):
                self.delayed[index] = pod

    @property
    def suspended(self) -> bool:
        return bool(self.spec.get("suspend"))


def _uid(pod: Object) -> str:
    return str(pod["metadata"]["uid"])


def _age(pod: Object) -> tuple[int, float]:
    return own.all_failures(pod), own.finish_time(pod)


# When it is over.


def condition(type: str, reason: str, message: str, status: str = "True") -> Object:
    """A Job's condition, as of now."""
    made = conditions.make(type, status, reason, message)
    return {"type": type, "status": status, "lastProbeTime": made["lastTransitionTime"], **made}


def verdict(picture: Picture) -> Object | None:
    """SuccessCriteriaMet or FailureTarget, if the Job is to end now whatever its pods do; what was decided stays."""
    for type in ("SuccessCriteriaMet", "FailureTarget"):
        found = conditions.find(picture.status, type)
        if found is not None and found["status"] == "True":
            return found
    for pod in picture.pods:
        if own.is_failed(picture.job, pod):
            match = own.match_policy(picture.job, pod)
            if match.action == "FailJob":
                return condition("FailureTarget", "PodFailurePolicy", match.message)
    if picture.failed > picture.spec["backoffLimit"] or _restarts_exceed(picture):
        said = "Job has reached the specified backoff limit"
        return condition("FailureTarget", "BackoffLimitExceeded", said)
    if seconds_to_deadline(picture) == 0:
        return condition("FailureTarget", "DeadlineExceeded", "Job was active longer than specified deadline")
    return _verdict_on_indexes(picture) if picture.indexed else None


def _verdict_on_indexes(picture: Picture) -> Object | None:
    failed, limit = len(picture.failed_indexes or ()), picture.spec.get("maxFailedIndexes")
    if limit is not None and failed > limit:
        said = "Job has exceeded the specified maximal number of failed indexes"
        return condition("FailureTarget", "MaxFailedIndexesExceeded", said)
    if failed and failed + len(picture.succeeded_indexes) >= (picture.completions or 0):
        return condition("FailureTarget", "FailedIndexes", "Job has failed indexes")
    for number, rule in enumerate((picture.spec.get("successPolicy") or {}).get("rules") or ()):
        if _meets(rule, picture):
            return condition("SuccessCriteriaMet", "SuccessPolicy", f"Matched rules at index {number}")
    return None


def _meets(rule: Object, picture: Picture) -> bool:
    done, count = picture.succeeded_indexes, rule.get("succeededCount")
    if not len(done):
        return False
    if rule.get("succeededIndexes") is None:
        return count is not None and len(done) >= count
    wanted = IndexSet.parse(rule["succeededIndexes"], picture.completions or 0)
    return done.common(wanted) >= (len(wanted) if count is None else count)


def _restarts_exceed(picture: Picture) -> bool:
    """Containers that are restarted in place count as failures of their own."""
    if picture.spec["template"]["spec"].get("restartPolicy") != "OnFailure":
        return False
    statuses = (pod["status"] for pod in picture.pods if pods.phase(pod) in ("Running", "Pending"))
    total = sum(
        one.get("restartCount", 0)
        for status in statuses
        for key in ("initContainerStatuses", "containerStatuses")
        for one in status.get(key) or ()
    )
    limit = picture.spec["backoffLimit"]
    return bool(total >= limit if limit else total > 0)


def seconds_to_deadline(picture: Picture) -> float | None:
    """Seconds until activeDeadlineSeconds are over; None without such a deadline."""
    limit, started = picture.spec.get("activeDeadlineSeconds"), picture.status.get("startTime")
    if limit is None or not started or picture.suspended:
        return None
    return max(0.0, parse_time(started) + float(limit) - clock.time())


def sooner(*waits: float | None) -> float | None:
    """The shortest of several waits; None without any."""
    return min((one for one in waits if one is not None), default=None)


def is_complete(picture: Picture, active: int) -> bool:
    """Whether as many pods have succeeded as should, and none runs any more."""
    if active:
        return False
    return picture.succeeded > 0 if picture.completions is None else picture.succeeded >= picture.completions


def note_suspension(picture: Picture) -> str:
    """Put the condition Suspended right; gives the reason of the event to tell, "" if nothing changed."""
    current = conditions.find(picture.status, "Suspended")
    wanted = "True" if picture.suspended else "False"
    if (current or {"status": "False"})["status"] == wanted:
        return ""
    reason, said = ("JobSuspended", "Job suspended") if picture.suspended else ("JobResumed", "Job resumed")
    conditions.put(picture.status, condition("Suspended", reason, said, wanted))
    if not picture.suspended:
        # The deadline starts afresh.
        picture.status["startTime"] = clock.stamp()
    return "Suspended" if picture.suspended else "Resumed"


# Pods to start and to delete.


@dataclass(slots=True)
class Plan:
    """Either of the two in one pass, never both."""

    delete: list[Object] = field(default_factory=list)
    create: list[int | None] = field(default_factory=list)
    """Completion indexes, None where pods have none."""
    again: float | None = None
    """Seconds until more may be started."""


def manage(picture: Picture, record: Record) -> Plan:
    """How to get to as many active pods as there should be."""
    active = len(picture.active)
    if picture.suspended:
        return Plan(delete=picture.active[:_BURST])
    wanted = _wanted(picture, active)
    surplus = _surplus(picture, max(0, active - wanted))
    if surplus:
        return Plan(delete=surplus[:_BURST])
    leaving = picture.terminating if own.replaces_failed_only(picture.job) else 0
    missing = min(wanted - leaving - active, _BURST)
    if missing <= 0:
        return Plan()
    per_index = picture.spec.get("backoffLimitPerIndex") is not None
    if not per_index and (wait := record.wait()):
        return Plan(again=wait)
    if not picture.indexed:
        return Plan(create=[None] * missing)
    pending = _pending(picture, missing)
    if not per_index:
        return Plan(create=[*pending])
    waits = {index: wait_of_index(picture.delayed.get(index)) for index in pending}
    left = [wait for wait in waits.values() if wait]
    return Plan(create=[index for index, wait in waits.items() if not wait], again=min(left, default=None))


def _wanted(picture: Picture, active: int) -> int:
    parallelism = int(picture.spec.get("parallelism") or 0)
    if picture.completions is None:
        # After the first success the others are left to finish.
        return active if picture.succeeded else parallelism
    return max(0, min(picture.completions - picture.succeeded, parallelism))


def _surplus(picture: Picture, least: int) -> list[Object]:
    """At least so many of the active pods; of indexed ones also those whose index is none or another's too."""
    rest = picture.active
    doubles: list[Object] = []
    if picture.indexed:
        by_index: dict[int, list[Object]] = {}
        for pod in picture.active:
            by_index.setdefault(own.valid_index(picture.job, pod), []).append(pod)
        doubles = by_index.pop(-1, [])
        rest = []
        for found in by_index.values():
            worse = pods.to_delete(found, (), len(found) - 1) if len(found) > 1 else []
            doubles += worse
            rest += [pod for pod in found if pod not in worse]
    more = least - len(doubles)
    return doubles + (pods.to_delete(rest, (), more) if more > 0 else [])


def _pending(picture: Picture, count: int) -> list[int]:
    taken = picture.succeeded_indexes | own.indexes_of(picture.active)
    if own.replaces_failed_only(picture.job):
        taken = taken | own.indexes_of(filter(own.is_terminating, picture.pods))
    if picture.failed_indexes is not None:
        taken = taken | picture.failed_indexes
    return taken.without(count, picture.completions or 0)


# Counting. A finished pod is first noted as uncounted, then loses its finalizer, then is counted: so each counts once,
# whatever fails in between.


@dataclass(slots=True)
class Tally:
    """Pods whose finalizer may go."""

    release: list[Object] = field(default_factory=list)
    capped: bool = False
    """There are more; the next pass has them."""


def tally(picture: Picture, finished: Object | None) -> Tally:
    """Note the pods that have finished in the status. `finished`: the Job is about to end with that condition."""
    found, fresh_indexes = Tally(), []
    ends_badly = finished is not None and finished["type"] == "FailureTarget"
    for pod in picture.tracked:
        failed = own.is_failed(picture.job, pod)
        if not _may_go(picture, pod, finished, failed):
            continue
        found.release.append(pod)
        uid = _uid(pod)
        if pods.phase(pod) == "Succeeded" and uid not in picture.uncounted["failed"]:
            index = own.valid_index(picture.job, pod)
            if picture.indexed and index >= 0 and index not in picture.known_indexes:
                fresh_indexes.append(index)
            elif not picture.indexed and uid not in picture.uncounted["succeeded"]:
                picture.uncounted["succeeded"].append(uid)
        elif (
            (failed or ends_badly)
            and uid not in picture.uncounted["failed"]
            and (not picture.indexed or own.valid_index(picture.job, pod) >= 0)
            and own.match_policy(picture.job, pod).counts
        ):
            picture.uncounted["failed"].append(uid)
        if len(fresh_indexes) + sum(map(len, picture.uncounted.values())) >= MAX_UNCOUNTED:
            found.capped = True
            break
    show_uncounted(picture)
    if picture.indexed:
        # Those beyond the cap still have their finalizer, and so are found again.
        done = picture.known_indexes | IndexSet.of(fresh_indexes)
        _set(picture.status, "succeeded", len(done))
        _set(picture.status, "completedIndexes", str(done))
        if picture.failed_indexes is not None:
            picture.status["failedIndexes"] = str(picture.failed_indexes)
    return found


def _may_go(picture: Picture, pod: Object, finished: Object | None, failed: bool) -> bool:
    over = bool(picture.job["metadata"].get("deletionTimestamp")) or finished is not None
    if over or pods.phase(pod) == "Succeeded":
        return True
    return failed and picture.delayed.get(own.index_of(pod)) is not pod


def settle(picture: Picture, still_tracked: Iterable[str]) -> None:
    """Count the uncounted pods that have lost their finalizer. `still_tracked` are the uids of those that have it."""
    held = set(still_tracked)
    for key, uids in picture.uncounted.items():
        left = [uid for uid in uids if uid in held]
        _set(picture.status, key, int(picture.status.get(key) or 0) + len(uids) - len(left))
        picture.uncounted[key] = left
    show_uncounted(picture)


def show_uncounted(picture: Picture) -> None:
    """The uncounted pods in the status."""
    picture.status["uncountedTerminatedPods"] = {key: list(uids) for key, uids in picture.uncounted.items() if uids}


def finish(picture: Picture, finished: Object) -> Object:
    """End the Job: the condition Complete or Failed in its status, which is given back."""
    type = "Complete" if finished["type"] == "SuccessCriteriaMet" else "Failed"
    final = condition(type, finished["reason"], finished["message"])
    conditions.put(picture.status, final)
    if type == "Complete":
        picture.status["completionTime"] = final["lastTransitionTime"]
    return final


def _set(status: Object, key: str, value: Any) -> None:
    """A field that is left out where it is nothing."""
    if value:
        status[key] = value
    else:
        status.pop(key, None)


def show_counts(picture: Picture, active: int, ready: int, terminating: int) -> None:
    """The counts of pods in the status."""
    _set(picture.status, "active", active)
    picture.status |= {"ready": ready, "terminating": terminating}
