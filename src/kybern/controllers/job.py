"""Jobs: pods that are run until enough of them succeed.

What a pass decides is in job_sync.py, how pods are made and judged in job_pods.py; here is what acts.
Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from kybern.api.batch.job_status_validation import is_finished
from kybern.api.errors import APIError, NotFound
from kybern.api.selectors import NOTHING, Selector, from_object
from kybern.api.types import Object, key_of
from kybern.controllers import conditions, pods
from kybern.controllers import job_pods as own
from kybern.controllers import job_sync as sync
from kybern.controllers.controller import Context
from kybern.controllers.job_backoff import Record
from kybern.controllers.job_sync import Picture
from kybern.controllers.owners import controller_of, is_deleting
from kybern.controllers.podowner import PodOwner
from kybern.process.clock import clock

MANAGER = "kubernetes.io/job-controller"
_ORPHAN = "orphan:"
"""Keys of pods whose Job is gone or finished start so."""


class JobController(PodOwner):
    name = "job-controller"
    aliases = ("job",)
    api_version, kind, plural = "batch/v1", "Job", "jobs"
    finalizers = (own.FINALIZER,)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._released: dict[str, set[str]] = {}
        self._records: dict[str, Record] = {}
        self.sets.on_change(self._job_changed)
        self.pods.on_change(self._track_changed)

    def selector(self, owner: Object) -> Selector:
        """Jobs of other managers have no pods of ours."""
        return from_object(owner["spec"]["selector"]) if _is_ours(owner) else NOTHING

    async def reconcile(self, key: str) -> float | None:
        if key.startswith(_ORPHAN):
            await self._release_orphan(key.removeprefix(_ORPHAN))
            return None
        job = self.sets.get(key)
        if job is None or is_finished(job):
            self._forget(key)
            return None
        if not _is_ours(job):
            return None
        settled = self.expectations.satisfied(key)
        found = await self.claimed(job, lambda pod: True)
        picture = Picture(job, found, self._released.get(key, ()))
        if not picture.status.get("startTime") and not picture.suspended:
            picture.status["startTime"] = clock.stamp()
        record = self._records.get(key, Record()).after(picture.new_succeeded, picture.new_failed)
        finished, again, failure = await self._act(picture, record, settled=settled)
        await self._track(key, picture, record, finished)
        if failure is not None:
            raise failure
        return again

    # What leads to a Job, or to a pod without one.

    def _job_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None and old is not None:
            for pod in self.pods.by_index("owner", old["metadata"]["uid"]):
                self._note_orphan(pod)

    def _track_changed(self, old: Object | None, new: Object | None) -> None:
        """See finalizers go, and those that stay although nobody will count the pod."""
        pod = new or old
        assert pod is not None
        if new is None or not own.has_finalizer(new):
            for uids in self._released.values():
                uids.discard(pod["metadata"]["uid"])
        elif (job := self._job_of(new)) is None or (is_finished(job) and _is_ours(job)):
            self._note_orphan(new)

    def _job_of(self, pod: Object) -> Object | None:
        ref = controller_of(pod)
        if ref is None or ref["kind"] != self.kind or ref["apiVersion"] != self.api_version:
            return None
        job = self.sets.get(f"{pod['metadata']['namespace']}/{ref['name']}")
        return job if job and job["metadata"]["uid"] == ref["uid"] else None

    def _note_orphan(self, pod: Object) -> None:
        if own.has_finalizer(pod):
            self.queue.add(f"{_ORPHAN}{key_of(pod)}")

    async def _release_orphan(self, key: str) -> None:
        pod = self.pods.get(key)
        if pod is None or not own.has_finalizer(pod):
            return
        if ref := controller_of(pod):
            if ref["kind"] != self.kind or ref["apiVersion"] != self.api_version:
                return
            try:
                # The cache may be late.
                job = await self.resource.get(ref["name"], pod["metadata"]["namespace"])
            except NotFound:
                job = None
            if job is not None and job["metadata"]["uid"] == ref["uid"] and not (is_finished(job) and _is_ours(job)):
                return
        elif any(self.selector(job).matches(pod["metadata"].get("labels")) for job in self._unfinished(pod)):
            # It is about to be taken in.
            return
        await self._take_finalizer(pod)

    def _unfinished(self, pod: Object) -> Iterable[Object]:
        jobs = self.sets.by_index("namespace", pod["metadata"]["namespace"])
        return [job for job in jobs if not is_finished(job) and not is_deleting(job)]

    def _forget(self, key: str) -> None:
        self.expectations.forget(key)
        self._released.pop(key, None)
        self._records.pop(key, None)

    # Starting and deleting pods.

    async def _act(
        self, picture: Picture, record: Record, *, settled: bool
    ) -> tuple[Object | None, float | None, APIError | None]:
        """Start and delete pods. Gives the condition the Job is to end with, seconds until more is to be done, and
        what went wrong."""
        active, ready = len(picture.active), sum(map(pods.is_ready, picture.active))
        managed = settled and not is_deleting(picture.job)
        finished = verdict = sync.verdict(picture)
        again = None
        if verdict is not None:
            gone, failure = await self._delete(picture, picture.active)
            if len(gone) != active or not settled:
                # There may be pods left that are not seen yet: it ends in a later pass.
                finished = None
        else:
            plan = sync.manage(picture, record) if managed else sync.Plan()
            again = sync.sooner(plan.again, sync.seconds_to_deadline(picture))
            await self._release(picture, plan.delete)
            gone, failure = await self._delete(picture, plan.delete)
            if plan.create:
                made, failure = await self._create(picture, plan.create)
                active += made
            if sync.is_complete(picture, active - len(gone)):
                said = "Reached expected number of succeeded pods"
                finished = sync.condition("SuccessCriteriaMet", "CompletionsReached", said)
            elif managed and (reason := sync.note_suspension(picture)):
                self.recorder.event(picture.job, "Normal", reason, f"Job {reason.lower()}")
        ready -= sum(map(pods.is_ready, gone))
        sync.show_counts(picture, active - len(gone), ready, picture.terminating + len(gone))
        return finished, again, failure

    async def _create(self, picture: Picture, indexes: Sequence[int | None]) -> tuple[int, APIError | None]:
        bodies = [
            own.new_pod(picture.job, index, picture.delayed.get(-1 if index is None else index)) for index in indexes
        ]
        try:
            await self.control.create(picture.job, bodies)
        except APIError as error:
            # How many were made is seen in the next pass.
            return 0, error
        return len(bodies), None

    async def _delete(self, picture: Picture, surplus: Sequence[Object]) -> tuple[list[Object], APIError | None]:
        if not surplus:
            return [], None
        try:
            await self.control.delete(picture.job, surplus)
        except APIError as error:
            return [], error
        return list(surplus), None

    async def _release(self, picture: Picture, surplus: Sequence[Object]) -> None:
        """Pods that are one too many don't count as failed: their finalizer goes first."""
        key = key_of(picture.job)
        await asyncio.gather(*(self._take_tracked(key, pod) for pod in surplus if own.has_finalizer(pod)))

    # Counting.

    async def _track(self, key: str, picture: Picture, record: Record, finished: Object | None) -> None:
        """Count the pods that have finished, take their finalizers, and end the Job."""
        tracked = {pod["metadata"]["uid"]: pod for pod in picture.tracked}
        sync.settle(picture, tracked)
        tally = sync.tally(picture, finished)
        if finished is not None:
            conditions.put(picture.status, finished)
        job = await self._write_status(picture.job, picture.status)
        self._records[key] = record
        results = await asyncio.gather(*(self._take_tracked(key, pod) for pod in tally.release), return_exceptions=True)
        for pod, result in zip(tally.release, results, strict=True):
            if result is None:
                tracked.pop(pod["metadata"]["uid"])
        sync.settle(picture, tracked)
        failures = [result for result in results if result is not None]
        final = None
        over = finished is not None and not tally.capped and not failures
        if over and finished is not None and not any(picture.uncounted.values()) and not picture.status["terminating"]:
            final = sync.finish(picture, finished)
        await self._write_status(job, picture.status)
        if final is not None:
            self._tell_end(job, picture, final)
        for failure in failures:
            raise failure

    async def _take_tracked(self, key: str, pod: Object) -> None:
        """Take a pod's finalizer, and remember that until the cache shows it."""
        uids = self._released.setdefault(key, set())
        uids.add(pod["metadata"]["uid"])
        try:
            await self._take_finalizer(pod)
        except BaseException:
            uids.discard(pod["metadata"]["uid"])
            raise

    async def _take_finalizer(self, pod: Object) -> None:
        meta = pod["metadata"]
        change = {"metadata": {"uid": meta["uid"], "$deleteFromPrimitiveList/finalizers": [own.FINALIZER]}}
        try:
            await self.pod_resource.patch(meta["name"], change, meta["namespace"], type="strategic")
        except NotFound:
            return

    async def _write_status(self, job: Object, status: Object) -> Object:
        if status == (job.get("status") or {}):
            return job
        return await self.resource.update_status({**job, "status": dict(status)})

    def _tell_end(self, job: Object, picture: Picture, final: Object) -> None:
        if final["type"] == "Failed":
            self.recorder.event(job, "Warning", final["reason"], final["message"])
            return
        if picture.completions is not None and picture.status.get("succeeded", 0) > picture.completions:
            said = "Too many succeeded pods running after completion count reached"
            self.recorder.event(job, "Warning", "TooManySucceededPods", said)
        self.recorder.event(job, "Normal", "Completed", "Job completed")


def _is_ours(job: Object) -> bool:
    """Whether this controller is to look after the Job."""
    return job["spec"].get("managedBy") in (None, MANAGER)
