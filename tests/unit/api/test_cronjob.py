from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from kybern.api.batch.cronjob import CronJob
from kybern.api.batch.schedule import ScheduleError, parse
from kybern.api.field import Errors
from kybern.api.resource import Preparation
from kybern.api.types import Object
from kybern.testing import builders

KIND = CronJob()


def cron_job(job: Object | None = None, *, name: str = "c", **spec: Any) -> Object:
    template = {"template": builders.template({}, restartPolicy="Never"), **(job or {})}
    body = {"schedule": "* * * * *", "jobTemplate": {"spec": template}, **spec}
    made: Object = {"metadata": {"name": name, "namespace": "default"}, "spec": body}
    KIND.default(made)
    return made


def complaints(obj: Object, old: Object | None = None) -> list[str]:
    errors = Errors()
    if old is None:
        KIND.validate(obj, errors)
    else:
        KIND.validate_changed(obj, old, errors)
    return [str(error).removeprefix("spec.") for error in errors]


def test_defaults() -> None:
    spec = cron_job()["spec"]
    assert (spec["concurrencyPolicy"], spec["suspend"]) == ("Allow", False)
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (3, 1)
    assert "parallelism" not in spec["jobTemplate"]["spec"]
    assert spec["jobTemplate"]["spec"]["template"]["spec"]["dnsPolicy"] == "ClusterFirst"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (cron_job(), []),
        (cron_job(timeZone="Europe/Berlin", schedule="@hourly"), []),
        (cron_job(schedule=""), ["schedule: Required value"]),
        (
            cron_job(schedule="60 * * * *"),
            ['schedule: Invalid value: "60 * * * *": end of range (60) above maximum (59): 60'],
        ),
        (
            cron_job(schedule="TZ=UTC * * * * *"),
            [
                'schedule: Invalid value: "TZ=UTC * * * * *": '
                "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"
            ],
        ),
        (cron_job(timeZone="Mars/Base"), ['timeZone: Invalid value: "Mars/Base": unknown time zone Mars/Base']),
        (cron_job(timeZone="../etc"), ['timeZone: Invalid value: "../etc": unknown time zone ../etc']),
        (cron_job(timeZone=""), ['timeZone: Invalid value: "": timeZone must be nil or non-empty string']),
        (
            cron_job(timeZone="Local"),
            [
                'timeZone: Invalid value: "Local": '
                "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
            ],
        ),
        (
            cron_job(concurrencyPolicy="Maybe"),
            ['concurrencyPolicy: Unsupported value: "Maybe": supported values: "Allow", "Forbid", "Replace"'],
        ),
        (
            cron_job(startingDeadlineSeconds=-1),
            ["startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            cron_job({"selector": {}, "manualSelector": True}),
            [
                "jobTemplate.spec.selector: Invalid value: {}: `selector` will be auto-generated",
                'jobTemplate.spec.manualSelector: Unsupported value: true: supported values: "false", "nil"',
            ],
        ),
        (
            cron_job({"backoffLimit": -1}),
            ["jobTemplate.spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            cron_job(name="x" * 53),
            [f'metadata.name: Invalid value: "{"x" * 53}": must be no more than 52 characters'],
        ),
    ],
)  # fmt: skip
def test_rules(made: Object, said: list[str]) -> None:
    assert complaints(made) == said


def test_what_was_allowed_before_may_stay() -> None:
    old = cron_job(schedule="TZ=UTC * * * * *", name="x" * 53)
    assert complaints(cron_job(schedule="TZ=UTC 1 * * * *", name="x" * 53), old) == []
    both = cron_job(schedule="TZ=UTC 1 * * * *", timeZone="Asia/Tokyo")
    assert complaints(both, old) == [
        'schedule: Invalid value: "TZ=UTC 1 * * * *": cannot use both timeZone field and TZ or CRON_TZ in schedule'
    ]
    gone = cron_job(timeZone="Mars/Base")
    assert complaints(cron_job(timeZone="Mars/Base", suspend=True), gone) == []
    prep = Preparation()
    KIND.prepare_create(old, prep)
    assert prep.warnings[0].startswith('CRON_TZ or TZ used in "TZ=UTC * * * * *" is not officially supported')


def test_columns() -> None:
    made = {**cron_job(timeZone="Asia/Tokyo"), "status": {"active": [{}, {}]}}
    assert [column.cell(made) for column in KIND.columns[:5]] == ["* * * * *", "Asia/Tokyo", "False", 2, "<none>"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("@sometimes", "unrecognized descriptor: @sometimes"),
        ("@every soon", 'failed to parse duration @every soon: time: invalid duration "soon"'),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("* * * * 7", "end of range (7) above maximum (6): 7"),
        ("9-5 * * * *", "beginning of range (9) beyond end of range (5): 9-5"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("*/1/2 * * * *", "too many slashes: */1/2"),
        ("TZ=Mars/Base * * * * *", "provided bad location Mars/Base: unknown time zone Mars/Base"),
    ],
)
def test_what_is_no_schedule(text: str, said: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        parse(text)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("text", "zone", "after", "times"),
    [
        ("*/20 * * * *", "", "2026-01-01T00:05:00Z", ["2026-01-01T00:20:00Z", "2026-01-01T00:40:00Z"]),
        ("50/5 3 * * *", "", "2026-01-01T00:00:00Z", ["2026-01-01T03:50:00Z", "2026-01-01T03:55:00Z"]),
        ("0 0 ? JAN mon-TUE", "", "2026-01-01T00:00:00Z", ["2026-01-05T00:00:00Z", "2026-01-06T00:00:00Z"]),
        # Days of month and of week: either, if both are given.
        ("0 0 13 * fri", "", "2026-01-01T00:00:00Z", ["2026-01-02T00:00:00Z", "2026-01-09T00:00:00Z"]),
        ("0 0 13 * *", "", "2026-01-01T00:00:00Z", ["2026-01-13T00:00:00Z", "2026-02-13T00:00:00Z"]),
        ("@weekly", "", "2026-01-01T00:00:00Z", ["2026-01-04T00:00:00Z", "2026-01-11T00:00:00Z"]),
        ("@every 1h30m", "", "2026-01-01T00:00:10Z", ["2026-01-01T01:30:10Z", "2026-01-01T03:00:10Z"]),
        ("0 9 * * *", "Asia/Tokyo", "2026-01-01T00:30:00Z", ["2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"]),
        ("CRON_TZ=Asia/Tokyo 0 9 * * *", "", "2026-01-01T00:30:00Z", ["2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"]),
        # 2:30 is skipped on 29 March.
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", ["2026-03-30T00:30:00Z", "2026-03-31T00:30:00Z"]),
        ("0 0 31 2 *", "", "2026-01-01T00:00:00Z", [None]),
    ],
)  # fmt: skip
def test_times(text: str, zone: str, after: str, times: list[str | None]) -> None:
    schedule = parse(text, zone)
    time: float | None = datetime.fromisoformat(after).timestamp()
    for expected in times:
        assert time is not None
        time = schedule.next(time)
        assert time == (datetime.fromisoformat(expected).timestamp() if expected else None)
