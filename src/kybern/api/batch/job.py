"""Job, batch/v1; job_validation.py has the rules of its spec, job_status_validation.py those of its status.

Source: API reference, Job v1 batch.
"""

from __future__ import annotations

from collections.abc import Mapping

from kybern.api import durations, validation
from kybern.api.batch.job_status_validation import is_true, validate_status
from kybern.api.batch.job_validation import (
    LABELS,
    generated_labels,
    validate_generated_selector,
    validate_job,
    validate_job_update,
)
from kybern.api.cells import CONTAINERS, at, selector
from kybern.api.core import pod_warnings
from kybern.api.core.podspec import default_pod_template
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource
from kybern.api.types import Object
from kybern.process.clock import clock, parse_time

MAX_INT32 = 2**31 - 1
_STATES = ("Complete", "Failed", "", "Suspended", "FailureTarget", "SuccessCriteriaMet")
_MANY, _WIDE = 100_000, 10_000
_TOO_MANY = (
    "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4, Kubernetes "
    "might not be able to track completedIndexes when a big number of indexes fail"
)


def _state(obj: Object) -> str:
    for type in _STATES:
        if not type and obj["metadata"].get("deletionTimestamp"):
            return "Terminating"
        if type and is_true(obj, type):
            return type
    return "Running"


def _completions(obj: Object) -> str:
    done, wanted = at(obj, "status", "succeeded") or 0, at(obj, "spec", "completions")
    if wanted is not None:
        return f"{done}/{wanted}"
    parallelism = at(obj, "spec", "parallelism") or 0
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def _duration(obj: Object) -> str:
    started, done = at(obj, "status", "startTime"), at(obj, "status", "completionTime")
    if not started:
        return ""
    return durations.human((parse_time(done) if done else clock.time()) - parse_time(started))


class Job(Resource):
    group, kind, plural = "batch", "Job", "jobs"
    categories = ("all",)
    has_status = True
    orphans_by_default = True
    columns = (
        Column("Status", "string", _state, "Status of the job."),
        Column("Completions", "string", _completions),
        Column("Duration", "string", _duration, "Time required to complete the job."),
        AGE,
        *CONTAINERS,
        Column("Selector", "string", lambda o: selector(at(o, "spec", "selector")), "", 1),
    )
    selectable_fields = ("status.successful",)

    def selectable(self, obj: Object) -> Mapping[str, str]:
        return {"status.successful": str(at(obj, "status", "succeeded") or 0)}

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        template = spec.setdefault("template", {})
        default_pod_template(template)
        if spec.get("completions") is None and spec.get("parallelism") is None:
            spec["completions"] = 1
        spec.setdefault("parallelism", 1)
        spec.setdefault("backoffLimit", 6 if spec.get("backoffLimitPerIndex") is None else MAX_INT32)
        if template["metadata"].get("labels") and not obj["metadata"].get("labels"):
            obj["metadata"]["labels"] = dict(template["metadata"]["labels"])
        spec.setdefault("completionMode", "NonIndexed")
        spec.setdefault("suspend", False)
        spec.setdefault("manualSelector", False)
        default_failure_policy(spec)
        spec.setdefault(
            "podReplacementPolicy", "TerminatingOrFailed" if spec.get("podFailurePolicy") is None else "Failed"
        )

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        pod_warnings.tell(prep, obj, old)

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {}
        spec, meta = obj["spec"], obj["metadata"]
        if not spec.get("manualSelector"):
            own = generated_labels(meta)
            template = spec["template"]["metadata"]
            template["labels"] = {**own, **(template.get("labels") or {})}
            wanted = spec["selector"] = spec.get("selector") or {}
            wanted["matchLabels"] = {LABELS.uid: meta["uid"], **(wanted.get("matchLabels") or {})}
            meta["labels"] = meta.get("labels") or dict(template["labels"])
        prep.warnings += validation.pod_name_warnings(obj)
        pod_warnings.tell(prep, obj)
        if (
            spec.get("completionMode") == "Indexed"
            and (spec.get("completions") or 0) > _MANY
            and (spec.get("parallelism") or 0) > _WIDE
        ):
            prep.warnings.append(_TOO_MANY)

    def validate(self, obj: Object, errors: Errors) -> None:
        validate_generated_selector(obj, errors)
        validate_job(obj, errors)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        validate_job_update(obj, old, errors)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        validate_status(obj, old, errors)


def default_failure_policy(spec: Object) -> None:
    """A condition without a status is asked to be True."""
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            pattern["status"] = pattern.get("status") or "True"
