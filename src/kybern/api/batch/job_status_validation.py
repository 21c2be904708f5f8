"""Rules of a Job's status: what is finished stays so, and says why. Each rule counts only where its fields change, so
that what was wrong before doesn't stop other writes.

Source: KEP-4368 (managedBy), "Job status validation"; the texts are upstream's.
"""

from __future__ import annotations

from kybern.api import validation
from kybern.api.batch import indexes
from kybern.api.cells import at
from kybern.api.field import OMITTED, Errors
from kybern.api.types import Object
from kybern.process.clock import parse_time

_PATH = "status"
_COUNTS = ("active", "succeeded", "failed", "ready", "terminating")


def is_true(obj: Object, type: str) -> bool:
    """Whether a condition of the Job is True."""
    conditions = at(obj, "status", "conditions") or ()
    return any(one.get("type") == type and one.get("status") == "True" for one in conditions)


def is_finished(obj: Object) -> bool:
    """Complete or Failed."""
    return is_true(obj, "Complete") or is_true(obj, "Failed")


def validate_status(obj: Object, old: Object, errors: Errors) -> None:
    """A write through the status subresource."""
    validation.all_not_negative(obj.get("status") or {}, _PATH, _COUNTS, errors)
    _check_uncounted(obj, errors)
    change = _Change(obj, old)
    _check_conditions(change, errors)
    _check_times(change, errors)
    _check_counts(change, errors)
    _check_indexes(change, errors)


class _Change:
    """A Job's status before and after."""

    def __init__(self, obj: Object, old: Object) -> None:
        self.obj, self.old = obj, old
        self.status: Object = obj.get("status") or {}
        self.before: Object = old.get("status") or {}

    def of(self, *keys: str) -> bool:
        """Whether a field changes, or whether a condition (capitalised) becomes or stops being True."""
        return any(
            is_true(self.obj, key) != is_true(self.old, key)
            if key[0].isupper()
            else (self.status.get(key) or None) != (self.before.get(key) or None)
            for key in keys
        )

    @property
    def finishes(self) -> bool:
        return is_finished(self.obj) != is_finished(self.old)


def _check_uncounted(obj: Object, errors: Errors) -> None:
    seen: set[str] = set()
    for key in ("succeeded", "failed"):
        for index, uid in enumerate(at(obj, "status", "uncountedTerminatedPods", key) or ()):
            path = f"{_PATH}.uncountedTerminatedPods.{key}[{index}]"
            if not uid:
                errors.invalid(path, uid, "must not be empty")
            elif uid in seen:
                errors.duplicate(path, uid)
            seen.add(uid)


def _check_conditions(change: _Change, errors: Errors) -> None:
    def refuse(detail: str) -> None:
        errors.invalid(f"{_PATH}.conditions", OMITTED, detail)

    def now(type: str) -> bool:
        return is_true(change.obj, type)

    if change.of("Complete", "Failed") and now("Complete") and now("Failed"):
        refuse("cannot set Complete=True and Failed=true conditions")
    if change.of("Complete", "FailureTarget") and now("Complete") and now("FailureTarget"):
        refuse("cannot set Complete=True and FailureTarget=true conditions")
    if change.of("Failed") and now("Failed") and not now("FailureTarget"):
        refuse("cannot set Failed=True condition without the FailureTarget=true condition")
    if change.of("Complete") and now("Complete") and not now("SuccessCriteriaMet"):
        refuse("cannot set Complete=True condition without the SuccessCriteriaMet=true condition")
    for type, said in (("Failed", "Failed"), ("FailureTarget", "FailureTarget")):
        if now("SuccessCriteriaMet") and now(type):
            refuse(f"cannot set SuccessCriteriaMet=True and {said}=true conditions")
    for type in ("Failed", "Complete", "FailureTarget"):
        if is_true(change.old, type) and not now(type):
            refuse(f"cannot disable the terminal {type}=True condition")
    if is_true(change.old, "SuccessCriteriaMet") and not now("SuccessCriteriaMet"):
        refuse("cannot disable the SuccessCriteriaMet=True condition")
    if is_true(change.old, "Complete") and change.of("SuccessCriteriaMet") and now("SuccessCriteriaMet"):
        refuse("cannot set SuccessCriteriaMet=True for Job already has Complete=true conditions")


def _check_times(change: _Change, errors: Errors) -> None:
    started, done = change.status.get("startTime"), change.status.get("completionTime")
    complete = is_true(change.obj, "Complete")
    if change.of("Complete", "completionTime"):
        path = f"{_PATH}.completionTime"
        if done and not complete:
            errors.invalid(path, done, "cannot set completionTime when there is no Complete=True condition")
        if complete and not done:
            errors.required(path, "completionTime is required for Complete jobs")
    if change.of("startTime", "completionTime") and started and done and parse_time(done) < parse_time(started):
        errors.invalid(f"{_PATH}.completionTime", done, "completionTime cannot be set before startTime")
    if (change.finishes or change.of("startTime")) and is_finished(change.obj) and not started:
        errors.required(f"{_PATH}.startTime", "startTime is required for finished job")
    if done and change.before.get("completionTime") and change.of("completionTime"):
        errors.invalid(f"{_PATH}.completionTime", done, "completionTime cannot be mutated")
    resumed = is_true(change.old, "Suspended") and not is_true(change.obj, "Suspended")
    held = change.obj["spec"].get("suspend") or (resumed and started)
    if change.of("startTime") and change.before.get("startTime") and not held:
        errors.required(f"{_PATH}.startTime", "startTime cannot be removed for unsuspended job")


def _check_counts(change: _Change, errors: Errors) -> None:
    status, spec = change.status, change.obj["spec"]
    if is_finished(change.obj):
        for key in ("active", "terminating"):
            if (change.finishes or change.of(key)) and (status.get(key) or 0) > 0:
                errors.invalid(f"{_PATH}.{key}", status[key], f"{key}>0 is invalid for finished job")
        uncounted = status.get("uncountedTerminatedPods") or {}
        if (change.finishes or change.of("uncountedTerminatedPods")) and any(uncounted.values()):
            detail = "uncountedTerminatedPods needs to be empty for finished job"
            errors.invalid(f"{_PATH}.uncountedTerminatedPods", uncounted, detail)
    if change.of("ready", "active") and (status.get("ready") or 0) > (status.get("active") or 0):
        errors.invalid(f"{_PATH}.ready", status["ready"], "cannot set more ready pods than active")
    shrinks = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get("parallelism")
    for key in ("failed", *(() if shrinks else ("succeeded",))):
        if (status.get(key) or 0) < (change.before.get(key) or 0):
            errors.invalid(f"{_PATH}.{key}", status.get(key) or 0, f"cannot decrease the {key} counter")


def _check_indexes(change: _Change, errors: Errors) -> None:
    spec, limit = change.obj["spec"], change.obj["spec"].get("completions")
    completed, failed = change.status.get("completedIndexes") or "", change.status.get("failedIndexes")
    if change.of("completedIndexes"):
        path = f"{_PATH}.completedIndexes"
        if limit is not None and (problem := indexes.check(completed, limit)[1]):
            errors.invalid(path, completed, f"error parsing completedIndexes: {problem}")
        if completed and spec.get("completionMode") != "Indexed":
            errors.invalid(path, completed, "cannot set non-empty completedIndexes when non-indexed completion mode")
    path = f"{_PATH}.failedIndexes"
    if change.of("failedIndexes") and failed is not None:
        if spec.get("backoffLimitPerIndex") is None:
            errors.invalid(path, failed, "cannot set non-null failedIndexes when backoffLimitPerIndex is null")
        elif limit is not None and (problem := indexes.check(failed, limit)[1]):
            errors.invalid(path, failed, f"error parsing failedIndexes: {problem}")
    if change.of("failedIndexes", "completedIndexes") and failed and limit is not None:
        shared = indexes.overlap(completed, failed, limit)
        if shared is not None:
            errors.invalid(path, failed, f"failedIndexes and completedIndexes overlap at index: {shared}")
