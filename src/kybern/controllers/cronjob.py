"""CronJobs: a Job each time their schedule says so.

When that is, is decided in cronjob_schedule.py. Schedules without a time zone are in UTC.
Source: https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/
"""

from __future__ import annotations

import email.utils
from collections.abc import Iterable
from datetime import datetime

from kybern.api.batch.job_status_validation import is_finished, is_true
from kybern.api.batch.schedule import Schedule, ScheduleError, time_zone
from kybern.api.errors import AlreadyExists, APIError, NotFound
from kybern.api.types import Object, key_of
from kybern.controllers.controller import Context, Controller, Failure
from kybern.controllers.cronjob_schedule import MANY, job_name, recent, schedule_of, seconds_to_next
from kybern.controllers.owners import controller_of, controller_reference, controller_uid, is_deleting, owner_index
from kybern.controllers.podcontrol import namespace_ends
from kybern.process.clock import clock, format_time, parse_time

SCHEDULED = "batch.kubernetes.io/cronjob-scheduled-timestamp"


class CronJobController(Controller):
    name = "cronjob-controller"
    aliases = ("cronjob",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.cron_jobs = self.informer("batch/v1", "cronjobs")
        self.jobs = self.informer("batch/v1", "jobs")
        self.jobs.add_index("owner", owner_index)
        self._cron_jobs = self.client.resource("batch/v1", "cronjobs")
        self._jobs = self.client.resource("batch/v1", "jobs")
        self._recorder = context.recorder(self.name)
        self.cron_jobs.on_change(self._changed)
        self.watch(self.jobs, self._owner_of)

    async def reconcile(self, key: str) -> float | None:
        cron_job = self.cron_jobs.get(key)
        if cron_job is None:
            return None
        jobs = self.jobs.by_index("owner", cron_job["metadata"]["uid"])
        # What follows changes this copy only.
        cron_job = {**cron_job, "status": dict(cron_job.get("status") or {})}
        before = {**cron_job["status"]}
        try:
            await self._see_jobs(cron_job, jobs)
            again = None if is_deleting(cron_job) else await self._start_if_due(cron_job)
            await self._forget_old(cron_job, jobs)
        finally:
            # Also after an error, or what was done is done again.
            await self._write_status(cron_job, before)
        return again

    # What leads to a CronJob.

    def _changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            return
        if old is not None and any(old["spec"].get(name) != new["spec"].get(name) for name in ("schedule", "timeZone")):
            # The new schedule counts from now on: what it would have meant before is not made up for.
            try:
                wait = seconds_to_next(new, schedule_of(new), clock.time())
            except ScheduleError:
                wait = 0.0
            if wait is not None:
                self.queue.add_after(key_of(new), wait)
            return
        self.queue.add(key_of(new))

    def _owner_of(self, job: Object) -> Iterable[str]:
        ref = controller_of(job)
        return [f"{job['metadata']['namespace']}/{ref['name']}"] if ref and ref["kind"] == "CronJob" else []

    # The Jobs that are there.

    async def _see_jobs(self, cron_job: Object, jobs: Iterable[Object]) -> None:
        status = cron_job["status"]
        known = {ref["uid"] for ref in status.get("active") or ()}
        children = set()
        for job in jobs:
            meta = job["metadata"]
            children.add(meta["uid"])
            if not is_finished(job):
                if meta["uid"] not in known:
                    said = f"Saw a job that the controller did not create or forgot: {meta['name']}"
                    self._recorder.event(cron_job, "Warning", "UnexpectedJob", said)
                continue
            if meta["uid"] in known:
                _drop_active(cron_job, meta["uid"])
                result = "Complete" if is_true(job, "Complete") else "Failed"
                said = f"Saw completed job: {meta['name']}, condition: {result}"
                self._recorder.event(cron_job, "Normal", "SawCompletedJob", said)
            done = (job.get("status") or {}).get("completionTime")
            if is_true(job, "Complete") and done and done > (status.get("lastSuccessfulTime") or ""):
                status["lastSuccessfulTime"] = done
        for ref in status.get("active") or ():
            if ref["uid"] not in children and await self._is_gone(ref):
                said = f"Active job went missing: {ref['name']}"
                self._recorder.event(cron_job, "Normal", "MissingJob", said)
                _drop_active(cron_job, ref["uid"])

    async def _is_gone(self, ref: Object) -> bool:
        """Whether it is; the cache may be late."""
        try:
            await self._jobs.get(ref["name"], ref["namespace"])
        except NotFound:
            return True
        return False

    async def _forget_old(self, cron_job: Object, jobs: Iterable[Object]) -> None:
        """Delete the oldest of the finished Jobs beyond the limits."""
        ended = [job for job in jobs if is_finished(job)]
        for type, field in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
            limit = cron_job["spec"].get(field)
            if limit is None:
                continue
            found = sorted((job for job in ended if is_true(job, type)), key=_start_order)
            for job in found[: max(0, len(found) - limit)]:
                await self._delete(cron_job, job)

    async def _delete(self, cron_job: Object, job: Object) -> bool:
        meta = job["metadata"]
        try:
            await self._jobs.delete(meta["name"], meta["namespace"], propagation_policy="Background", uid=meta["uid"])
        except NotFound:
            _drop_active(cron_job, meta["uid"])
            return True
        except APIError as error:
            self._recorder.event(cron_job, "Warning", "FailedDelete", f"Deleted job: {error}")
            return False
        _drop_active(cron_job, meta["uid"])
        self._recorder.event(cron_job, "Normal", "SuccessfulDelete", f"Deleted job {meta['name']}")
        return True

    # The next Job.

    async def _start_if_due(self, cron_job: Object) -> float | None:
        """Start a Job if it is time. Gives the seconds until the next time."""
        schedule = self._schedule(cron_job)
        if schedule is None or cron_job["spec"].get("suspend"):
            return None
        now, spec = clock.time(), cron_job["spec"]
        try:
            due = recent(cron_job, schedule, now)
        except ScheduleError as error:
            said = f"invalid schedule: {spec['schedule']} : {error}"
            self._recorder.event(cron_job, "Warning", "InvalidSchedule", said)
            return None
        if due.latest is None:
            return seconds_to_next(cron_job, schedule, now)
        if due.missed > MANY:
            said = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            self._recorder.event(cron_job, "Warning", "TooManyMissedTimes", said)
        if await self._may_start(cron_job, due.latest, now):
            await self._start(cron_job, due.latest)
        return seconds_to_next(cron_job, schedule, now)

    def _schedule(self, cron_job: Object) -> Schedule | None:
        spec = cron_job["spec"]
        try:
            return schedule_of(cron_job)
        except ScheduleError as error:
            if spec.get("timeZone") and str(error) == f"unknown time zone {spec['timeZone']}":
                said = f'invalid timeZone: "{spec["timeZone"]}": {error}'
                self._recorder.event(cron_job, "Warning", "UnknownTimeZone", said)
            else:
                said = f'unparseable schedule: "{spec["schedule"]}" : {error}'
                self._recorder.event(cron_job, "Warning", "UnparseableSchedule", said)
            return None

    async def _may_start(self, cron_job: Object, scheduled: float, now: float) -> bool:
        """Whether nothing speaks against it; with the policy Replace, earlier Jobs go first."""
        spec, status = cron_job["spec"], cron_job["status"]
        active = status.get("active") or []
        deadline = spec.get("startingDeadlineSeconds")
        if deadline is not None and scheduled + deadline < now:
            said = (
                f"Missed scheduled time to start a job: {email.utils.formatdate(scheduled).replace('-0000', '+0000')}"
            )
            self._recorder.event(cron_job, "Warning", "MissSchedule", said)
            return False
        last = status.get("lastScheduleTime")
        if (last and parse_time(last) == scheduled) or job_name(cron_job, scheduled) in [one["name"] for one in active]:
            return False
        if spec["concurrencyPolicy"] == "Forbid" and active:
            said = "Not starting job because prior execution is running and concurrency policy is Forbid"
            self._recorder.event(cron_job, "Normal", "JobAlreadyActive", said)
            return False
        if spec["concurrencyPolicy"] == "Replace":
            for ref in active:
                meta = {name: ref[name] for name in ("name", "namespace", "uid")}
                if not await self._delete(cron_job, {"metadata": meta}):
                    raise Failure(f"could not replace job {ref['namespace']}/{ref['name']}")
        return True

    async def _start(self, cron_job: Object, scheduled: float) -> None:
        made = new_job(cron_job, scheduled)
        try:
            job = await self._jobs.create(made)
            name = job["metadata"]["name"]
            self._recorder.event(cron_job, "Normal", "SuccessfulCreate", f"Created job {name}")
        except AlreadyExists:
            # Made in an earlier pass, which then could not write its status; or somebody else's.
            job = await self._jobs.get(made["metadata"]["name"], made["metadata"]["namespace"])
            if controller_uid(job) != cron_job["metadata"]["uid"]:
                return
        except APIError as error:
            if not namespace_ends(error):
                self._recorder.event(cron_job, "Warning", "FailedCreate", f"Error creating job: {error}")
            raise
        meta, status = job["metadata"], cron_job["status"]
        ref = {"kind": "Job", "apiVersion": "batch/v1"}
        ref |= {name: meta[name] for name in ("namespace", "name", "uid", "resourceVersion")}
        if meta["uid"] not in [one["uid"] for one in status.get("active") or ()]:
            status["active"] = [*(status.get("active") or ()), ref]
        status["lastScheduleTime"] = format_time(scheduled)

    async def _write_status(self, cron_job: Object, before: Object) -> None:
        if cron_job["status"] == before:
            return
        try:
            await self._cron_jobs.update_status(cron_job)
        except NotFound:
            return


def new_job(cron_job: Object, scheduled: float) -> Object:
    """The Job of a scheduled time (epoch seconds)."""
    template = cron_job["spec"]["jobTemplate"]
    given, meta = template.get("metadata") or {}, cron_job["metadata"]
    zone = time_zone(cron_job["spec"].get("timeZone") or "UTC")
    stamp = datetime.fromtimestamp(scheduled, zone).isoformat().replace("+00:00", "Z")
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(cron_job, scheduled),
            "namespace": meta["namespace"],
            "labels": given.get("labels") or {},
            "annotations": {**(given.get("annotations") or {}), SCHEDULED: stamp},
            "ownerReferences": [controller_reference(cron_job)],
        },
        "spec": template["spec"],
    }


def _drop_active(cron_job: Object, uid: str) -> None:
    status = cron_job["status"]
    left = [ref for ref in status.get("active") or () if ref["uid"] != uid]
    if left:
        status["active"] = left
    else:
        status.pop("active", None)


def _start_order(job: Object) -> tuple[bool, str, str]:
    """The oldest first; those that never started last."""
    started = (job.get("status") or {}).get("startTime")
    return started is None, started or "", job["metadata"]["name"]
