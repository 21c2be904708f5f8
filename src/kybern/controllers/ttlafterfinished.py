"""Deletes finished Jobs, with their pods, so many seconds after their end as they ask for.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/
"""

from __future__ import annotations

from kybern.api.errors import NotFound
from kybern.api.types import Object, key_of
from kybern.controllers.controller import Context, Controller
from kybern.controllers.owners import is_deleting
from kybern.process.clock import clock, parse_time


class TTLAfterFinishedController(Controller):
    name = "ttl-after-finished-controller"
    aliases = ("ttl-after-finished",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.jobs = self.informer("batch/v1", "jobs")
        self._jobs = self.client.resource("batch/v1", "jobs")
        self.watch(self.jobs, lambda job: [key_of(job)] if seconds_left(job) is not None else [])

    async def reconcile(self, key: str) -> float | None:
        job = self.jobs.get(key)
        left = seconds_left(job) if job is not None else None
        if job is None or left is None or left > 0:
            return left
        meta = job["metadata"]
        try:
            # The cache may not show yet that more time was asked for.
            fresh = await self._jobs.get(meta["name"], meta["namespace"])
            left = seconds_left(fresh)
            if left is None or left > 0 or fresh["metadata"]["uid"] != meta["uid"]:
                return left
            await self._jobs.delete(
                meta["name"],
                meta["namespace"],
                propagation_policy="Foreground",
                uid=meta["uid"],
                resource_version=fresh["metadata"]["resourceVersion"],
            )
        except NotFound:
            return None
        return None


def seconds_left(job: Object) -> float | None:
    """Seconds until a finished Job is to be deleted; None for one that isn't finished or has no limit."""
    limit = job["spec"].get("ttlSecondsAfterFinished")
    if limit is None or is_deleting(job):
        return None
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return max(0.0, parse_time(condition["lastTransitionTime"]) + float(limit) - clock.time())
    return None
