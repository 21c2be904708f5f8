"""When a CronJob is due. Pure functions of its spec, its status and the time.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ ("CronJob limitations")
"""

from __future__ import annotations

from typing import NamedTuple

from kybern.api.batch.schedule import Schedule, ScheduleError, parse
from kybern.api.types import Object
from kybern.process.clock import parse_time

MANY = 100
"""Missed times above which one is told to look at the clock."""
_SLACK = 0.1
"""Seconds later than scheduled, so that clocks which differ a little don't miss it."""


class Recent(NamedTuple):
    """What a schedule says of the time until now."""

    earliest: float
    """Times before are settled."""
    latest: float | None
    """The last time that is due; None if none is."""
    missed: int
    """About how many times have passed, that one included, if more than one."""


def schedule_of(cron_job: Object) -> Schedule:
    """Raises ScheduleError."""
    return parse(cron_job["spec"]["schedule"], cron_job["spec"].get("timeZone") or "")


def recent(cron_job: Object, schedule: Schedule, now: float, *, within_deadline: bool = True) -> Recent:
    """The last time the CronJob should have started a Job. `within_deadline`: times before startingDeadlineSeconds
    don't count. Raises ScheduleError for a schedule without times."""
    last = (cron_job.get("status") or {}).get("lastScheduleTime")
    earliest = parse_time(last or cron_job["metadata"]["creationTimestamp"])
    deadline = cron_job["spec"].get("startingDeadlineSeconds")
    if within_deadline and deadline is not None:
        earliest = max(earliest, now - deadline)
    first = schedule.next(earliest)
    second = schedule.next(first) if first is not None else None
    if first is None or second is None:
        raise ScheduleError("time difference between two schedules is less than 1 second")
    if now < first:
        return Recent(earliest, None, 0)
    if now < second:
        return Recent(earliest, first, 0)
    between = second - first
    missed = int((now - first) // between) + 1
    # Close to now, without walking through all of them; one interval back, as they may differ.
    time = schedule.next(first + (missed - 2) * between)
    latest = None
    while time is not None and time <= now:
        latest, time = time, schedule.next(time)
    return Recent(earliest, latest, missed)


def seconds_to_next(cron_job: Object, schedule: Schedule, now: float) -> float | None:
    """Seconds until the next time after those that are due."""
    try:
        found = recent(cron_job, schedule, now, within_deadline=False)
    except ScheduleError:
        return None
    base = found.latest if found.latest is not None else now if found.missed else found.earliest
    following = schedule.next(base)
    return None if following is None else max(0.0, following + _SLACK - now)


def job_name(cron_job: Object, scheduled: float) -> str:
    """The same for the same time, so that no time is run twice."""
    return f"{cron_job['metadata']['name']}-{int(scheduled) // 60}"
