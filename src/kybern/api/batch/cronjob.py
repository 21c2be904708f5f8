"""CronJob, batch/v1. Source: API reference, CronJob v1 batch."""

from __future__ import annotations

import re

from kybern.api import durations, validation
from kybern.api.batch import schedule
from kybern.api.batch.job import default_failure_policy
from kybern.api.batch.job_validation import validate_job_spec
from kybern.api.cells import at, container_columns, selector, text
from kybern.api.core import pod_warnings
from kybern.api.core.podspec import default_pod_template
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource
from kybern.api.types import Object

_NAME_MAX = 63 - 11
"""Jobs are named after the CronJob, with a time of 11 characters."""
_ZONE_PART = re.compile(r"[A-Za-z.\-_0-9+]{1,14}", re.ASCII)
_POLICIES = ("Allow", "Forbid", "Replace")
_LIMITS = ("successfulJobsHistoryLimit", "failedJobsHistoryLimit")
_ZONE_TWICE = "cannot use both timeZone field and TZ or CRON_TZ in schedule"
_ZONE_INSIDE = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"


def _suspend(obj: Object) -> str:
    value = at(obj, "spec", "suspend")
    return "<unset>" if value is None else str(bool(value))


def _last(obj: Object) -> str:
    stamp = at(obj, "status", "lastScheduleTime")
    return durations.since(stamp) if stamp else "<none>"


_TEMPLATE = ("spec", "jobTemplate", "spec", "template")


class CronJob(Resource):
    group, kind, plural = "batch", "CronJob", "cronjobs"
    short_names = ("cj",)
    categories = ("all",)
    has_status = True
    columns = (
        Column("Schedule", "string", text("spec", "schedule")),
        Column("Timezone", "string", text("spec", "timeZone", default="<none>")),
        Column("Suspend", "boolean", _suspend),
        Column("Active", "integer", lambda o: len(at(o, "status", "active") or ())),
        Column("Last Schedule", "string", _last),
        AGE,
        *container_columns("spec", "jobTemplate", "spec", "template"),
        Column("Selector", "string", lambda o: selector(at(o, "spec", "jobTemplate", "spec", "selector")), "", 1),
    )

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        template = spec.setdefault("jobTemplate", {})
        template.setdefault("metadata", {})
        job = template.setdefault("spec", {})
        default_pod_template(job.setdefault("template", {}))
        default_failure_policy(job)
        spec["concurrencyPolicy"] = spec.get("concurrencyPolicy") or "Allow"
        spec.setdefault("suspend", False)
        spec.setdefault("successfulJobsHistoryLimit", 3)
        spec.setdefault("failedJobsHistoryLimit", 1)

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {}
        prep.warnings += validation.pod_name_warnings(obj)
        self._warn(obj, prep)
        pod_warnings.tell(prep, obj, path=_TEMPLATE)

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        pod_warnings.tell(prep, obj, old, path=_TEMPLATE)
        if prep.subresource != "status":
            self._warn(obj, prep)

    def _warn(self, obj: Object, prep: Preparation) -> None:
        if "TZ" in (at(obj, "spec", "schedule") or ""):
            prep.warnings.append(
                f'CRON_TZ or TZ used in "{obj["spec"]["schedule"]}" is not officially supported, see '
                "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
            )

    def validate(self, obj: Object, errors: Errors) -> None:
        name = obj["metadata"].get("name") or ""
        if len(name) > _NAME_MAX:
            errors.invalid("metadata.name", name, f"must be no more than {_NAME_MAX} characters")
        _check_zone(at(obj, "spec", "timeZone"), "spec.timeZone", errors)
        _check_spec(obj, errors, zone_inside=False)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        zone = at(obj, "spec", "timeZone")
        if zone != at(old, "spec", "timeZone"):
            _check_zone(zone, "spec.timeZone", errors)
        _check_spec(obj, errors, zone_inside="TZ" in old["spec"]["schedule"])


def _check_spec(obj: Object, errors: Errors, *, zone_inside: bool) -> None:
    """`zone_inside`: the schedule has named a time zone before, so it still may."""
    spec = obj["spec"]
    words = spec.get("schedule") or ""
    if not words:
        errors.required("spec.schedule")
    else:
        try:
            schedule.parse(words)
        except schedule.ScheduleError as error:
            errors.invalid("spec.schedule", words, str(error))
        if "TZ" in words and (not zone_inside or spec.get("timeZone") is not None):
            errors.invalid("spec.schedule", words, _ZONE_TWICE if zone_inside else _ZONE_INSIDE)
    validation.all_not_negative(spec, "spec", ("startingDeadlineSeconds", *_LIMITS), errors)
    validation.one_of(spec.get("concurrencyPolicy"), _POLICIES, "spec.concurrencyPolicy", errors)
    job = at(spec, "jobTemplate", "spec") or {}
    path = "spec.jobTemplate.spec"
    validate_job_spec(job, path, errors)
    if job.get("selector") is not None:
        errors.invalid(f"{path}.selector", job["selector"], "`selector` will be auto-generated")
    if job.get("manualSelector"):
        errors.unsupported(f"{path}.manualSelector", True, ("nil", "false"))


def _check_zone(zone: str | None, path: str, errors: Errors) -> None:
    if zone is None:
        return
    if not zone:
        errors.invalid(path, zone, "timeZone must be nil or non-empty string")
        return
    parts = zone.split("/")
    if any(part in (".", "..") or part.startswith("-") or not _ZONE_PART.fullmatch(part) for part in parts):
        errors.invalid(path, zone, f"unknown time zone {zone}")
        return
    if zone.lower() == "local":
        detail = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        errors.invalid(path, zone, detail)
        return
    try:
        schedule.time_zone(zone)
    except schedule.ScheduleError as error:
        errors.invalid(path, zone, str(error))
