"""CronJobs, with the time set forward, and Jobs that clean up after themselves."""

import pytest

from kybern.controllers.options import Options
from kybern.process.clock import clock
from kybern.testing import builders
from kybern.testing.cluster import InProcessCluster
from kybern.testing.kubelet import OUTCOME


@pytest.fixture
async def cluster():
    async with InProcessCluster(nodes=1, options=Options(node_monitor_grace_period=1e9)) as made:
        yield made


@pytest.fixture
def hours(cluster, monkeypatch):
    """Sets the time forward by so many hours, and has the CronJob looked at."""

    async def forward(number):
        now = clock.now_fn
        monkeypatch.setattr(clock, "now_fn", lambda: now() + number * 3600)
        change = {"metadata": {"annotations": {"look": clock.stamp()}}}
        await cluster.resource("batch/v1", "cronjobs").patch("tick", change, "default")

    return forward


def job_spec(outcome, **spec):
    template = builders.template({}, restartPolicy="Never")
    template["metadata"] = {"annotations": {OUTCOME: outcome} if outcome else {}}
    return {"template": template, **spec}


def cron_job(outcome="Succeeded", **spec):
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "tick", "namespace": "default"},
        "spec": {"schedule": "@hourly", "jobTemplate": {"spec": job_spec(outcome)}, **spec},
    }


async def names(cluster):
    return sorted(one["metadata"]["name"] for one in (await cluster.resource("batch/v1", "jobs").list("default")).items)


async def status(cluster):
    return (await cluster.resource("batch/v1", "cronjobs").get("tick", "default")).get("status") or {}


async def reasons(cluster):
    return {one["reason"] for one in (await cluster.resource("v1", "events").list("default")).items}


async def active(cluster, count):
    """The names of the Jobs, once so many are under way."""
    return len((await status(cluster)).get("active") or ()) == count and await names(cluster)


async def quiet(cluster, jobs):
    """Whether there are so many Jobs, all done and seen."""
    shown = await status(cluster)
    return len(await names(cluster)) == jobs and not shown.get("active") and shown.get("lastSuccessfulTime")


async def test_a_job_each_time_and_a_few_kept(cluster, hours):
    await cluster.create(cron_job(successfulJobsHistoryLimit=2))
    for count in (1, 2, 2):
        await hours(1)
        before = (await status(cluster)).get("lastScheduleTime")

        async def done(count=count, before=before):
            return (await status(cluster)).get("lastScheduleTime") != before and await quiet(cluster, count)

        await cluster.until(done)

    async def told():
        return {"SuccessfulCreate", "SawCompletedJob", "SuccessfulDelete"} <= await reasons(cluster)

    await cluster.until(told)


async def test_after_a_long_pause_only_the_last_time_counts(cluster, hours):
    await cluster.create(cron_job("", suspend=True))
    await hours(200)
    await cluster.resource("batch/v1", "cronjobs").patch("tick", {"spec": {"suspend": False}}, "default")
    assert len(await cluster.until(lambda: active(cluster, 1))) == 1

    async def told():
        return "TooManyMissedTimes" in await reasons(cluster)

    await cluster.until(told)


@pytest.mark.parametrize(("policy", "jobs", "running"), [("Allow", 2, 2), ("Forbid", 1, 1), ("Replace", 1, 1)])
async def test_what_happens_while_the_last_one_runs(cluster, hours, policy, jobs, running):
    await cluster.create(cron_job("", concurrencyPolicy=policy))
    await hours(1)
    first = await cluster.until(lambda: active(cluster, 1))
    await hours(1)
    if policy == "Forbid":

        async def told():
            return "JobAlreadyActive" in await reasons(cluster)

        await cluster.until(told)
        assert await names(cluster) == first
        return

    async def second():
        found = await names(cluster)
        return found != first and len(found) == jobs and await active(cluster, running)

    await cluster.until(second)


async def test_jobs_go_with_their_cron_job(cluster, hours):
    await cluster.create(cron_job(""))
    await hours(1)
    await cluster.until(lambda: active(cluster, 1))
    await cluster.resource("batch/v1", "cronjobs").delete("tick", "default")

    async def gone():
        return not await names(cluster) and not (await cluster.resource("v1", "pods").list("default")).items

    await cluster.until(gone)


async def test_a_finished_job_goes_by_itself(cluster):
    for name, ttl in (("soon", 0), ("late", 10_000)):
        meta = {"name": name, "namespace": "default"}
        spec = job_spec("Succeeded", ttlSecondsAfterFinished=ttl)
        await cluster.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec})

    async def one_left():
        found = (await cluster.resource("batch/v1", "jobs").list("default")).items
        return [one["metadata"]["name"] for one in found if one.get("status", {}).get("completionTime")] == [
            "late"
        ] and (len(found) == 1)

    await cluster.until(one_left)
    pods = (await cluster.resource("v1", "pods").list("default")).items
    assert [pod["metadata"]["labels"]["job-name"] for pod in pods] == ["late"]
