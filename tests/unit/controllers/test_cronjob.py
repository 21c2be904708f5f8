"""When a CronJob is due, what its Jobs look like, and when finished Jobs go."""

import pytest

from kybern.api.batch.schedule import ScheduleError
from kybern.controllers.cronjob import new_job
from kybern.controllers.cronjob_schedule import job_name, recent, schedule_of, seconds_to_next
from kybern.controllers.ttlafterfinished import seconds_left
from tests.unit.controllers.objects import NOW, ago

# NOW is 08:00 on a Friday, UTC.
MINUTE, HOUR = 60, 3600


def cron_job(schedule="0 * * * *", *, created=30 * MINUTE, last=None, **spec):
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "c", "namespace": "default", "uid": "c", "creationTimestamp": ago(created)},
        "spec": {"schedule": schedule, "jobTemplate": {"spec": {"template": {}}}, **spec},
        "status": {"lastScheduleTime": ago(last)} if last is not None else {},
    }


def seen(made, later=0, **options):
    found = recent(made, schedule_of(made), NOW + later, **options)
    return found.latest and found.latest - NOW, found.missed


@pytest.mark.parametrize(
    ("made", "later", "expected"),
    [
        (cron_job(), -60, (None, 0)),
        (cron_job(), 0, (0, 0)),
        (cron_job(), 30 * MINUTE, (0, 0)),
        (cron_job(last=0), 30 * MINUTE, (None, 0)),
        (cron_job(last=0), HOUR, (HOUR, 0)),
        (cron_job(last=3 * HOUR), 0, (0, 3)),
        (cron_job(created=200 * HOUR), 0, (0, 200)),
        (cron_job(last=3 * HOUR, startingDeadlineSeconds=90 * MINUTE), 0, (0, 2)),
        (cron_job(last=3 * HOUR, startingDeadlineSeconds=10), 30 * MINUTE, (None, 0)),
        # Not every interval is the same: there is none from Friday 14:30 to Monday 6:30.
        (cron_job("30 6-16/4 * * 1-5", last=2 * HOUR), 71 * HOUR, (70.5 * HOUR, 19)),
    ],
)
def test_the_last_time_that_is_due(made, later, expected):
    assert seen(made, later) == expected


def test_a_schedule_without_times():
    made = cron_job("0 0 31 2 *")
    with pytest.raises(ScheduleError):
        seen(made)
    assert seconds_to_next(made, schedule_of(made), NOW) is None


@pytest.mark.parametrize(
    ("made", "later", "wait"),
    [
        (cron_job(), -60, 60),
        (cron_job(last=0), 600, 3000),
        (cron_job(), 600, 3000),
        (cron_job(last=5 * HOUR), 600, 3000),
        (cron_job("@every 10m", last=60), 0, 540),
    ],
)
def test_how_long_to_wait(made, later, wait):
    assert seconds_to_next(made, schedule_of(made), NOW + later) == pytest.approx(wait + 0.1)


def test_its_jobs():
    made = cron_job(timeZone="Asia/Tokyo")
    made["spec"]["jobTemplate"]["metadata"] = {"labels": {"a": "b"}, "annotations": {"c": "d"}}
    job = new_job(made, NOW)
    meta = job["metadata"]
    assert meta["name"] == job_name(made, NOW + 59) == f"c-{int(NOW) // 60}"
    assert meta["labels"] == {"a": "b"}
    assert meta["annotations"] == {
        "c": "d",
        "batch.kubernetes.io/cronjob-scheduled-timestamp": "2027-01-15T17:00:00+09:00",
    }
    assert meta["ownerReferences"][0]["uid"] == "c"
    assert job["spec"] == {"template": {}}


def job(ttl, *, status="True", type="Complete", going=False):
    meta = {"deletionTimestamp": ago(0)} if going else {}
    condition = {"type": type, "status": status, "lastTransitionTime": ago(100)}
    return {"metadata": meta, "spec": {"ttlSecondsAfterFinished": ttl}, "status": {"conditions": [condition]}}


@pytest.mark.parametrize(
    ("made", "left"),
    [
        (job(150), 50),
        (job(100), 0),
        (job(0, type="Failed"), 0),
        (job(None), None),
        (job(0, status="False"), None),
        (job(0, type="Suspended"), None),
        (job(0, going=True), None),
    ],
)
def test_when_a_finished_job_goes(made, left):
    assert seconds_left(made) == left
