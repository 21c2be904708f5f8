"""Jobs from start to end, and what becomes of their pods."""

import pytest

from kybern.controllers.options import Options
from kybern.process.clock import clock
from kybern.testing import builders
from kybern.testing.cluster import InProcessCluster
from kybern.testing.kubelet import OUTCOME


@pytest.fixture
async def cluster():
    async with InProcessCluster(nodes=2, options=Options(node_monitor_grace_period=1e6)) as made:
        yield made


@pytest.fixture
def skip(monkeypatch):
    """Sets the time forward by so many seconds."""

    def forward(seconds):
        now = clock.now_fn
        monkeypatch.setattr(clock, "now_fn", lambda: now() + seconds)

    return forward


def job(name="work", outcome="Succeeded", **spec):
    template = builders.template({}, restartPolicy="Never")
    template["metadata"] = {"annotations": {OUTCOME: outcome} if outcome else {}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"template": template, **spec},
    }


async def get(cluster, name="work"):
    return await cluster.resource("batch/v1", "jobs").get(name, "default")


async def pods_of(cluster, name="work"):
    return (await cluster.resource("v1", "pods").list("default", label_selector=f"job-name={name}")).items


async def ended(cluster, name="work"):
    """The status, once it has the condition Complete or Failed; with that."""
    status = (await get(cluster, name)).get("status") or {}
    for one in status.get("conditions") or ():
        if one["type"] in ("Complete", "Failed") and one["status"] == "True":
            return status, one
    return None


async def active(cluster, count):
    status = (await get(cluster)).get("status") or {}
    return status.get("active", 0) == count and len(await pods_of(cluster)) == count


async def set_outcome(cluster, pod, outcome):
    meta = pod["metadata"]
    change = {"metadata": {"annotations": {OUTCOME: outcome}}}
    await cluster.resource("v1", "pods").patch(meta["name"], change, meta["namespace"])


async def test_enough_successes_complete_it(cluster):
    await cluster.create(job(completions=5, parallelism=2))
    status, condition = await cluster.until(lambda: ended(cluster))
    assert (condition["type"], condition["reason"], status["succeeded"]) == ("Complete", "CompletionsReached", 5)
    assert status["completionTime"] >= status["startTime"]
    found = await pods_of(cluster)
    assert len(found) == 5
    assert not any(pod["metadata"].get("finalizers") for pod in found)


async def test_every_index_runs_once(cluster):
    await cluster.create(job(completions=6, parallelism=4, completionMode="Indexed"))
    status, condition = await cluster.until(lambda: ended(cluster))
    assert (condition["type"], status["completedIndexes"], status["succeeded"]) == ("Complete", "0-5", 6)
    assert sorted(pod["spec"]["hostname"] for pod in await pods_of(cluster)) == [f"work-{n}" for n in range(6)]


async def test_failures_end_it_and_stop_the_others(cluster):
    await cluster.create(job(outcome="", backoffLimit=0, completions=3, parallelism=3))
    await cluster.until(lambda: active(cluster, 3))
    await set_outcome(cluster, (await pods_of(cluster))[0], "Failed")
    status, condition = await cluster.until(lambda: ended(cluster))
    assert (condition["type"], condition["reason"], status["failed"]) == ("Failed", "BackoffLimitExceeded", 3)
    assert status["terminating"] == 0
    assert len(await pods_of(cluster)) == 1


async def test_a_failed_pod_is_replaced_after_a_while(cluster, skip):
    await cluster.create(job(outcome="", backoffLimit=3))
    await cluster.until(lambda: active(cluster, 1))
    first = (await pods_of(cluster))[0]
    await set_outcome(cluster, first, "Failed")

    async def counted():
        status = (await get(cluster))["status"]
        return (status.get("failed"), status.get("active", 0)) == (1, 0)

    await cluster.until(counted)
    skip(11)
    await cluster.resource("batch/v1", "jobs").patch(
        "work", {"metadata": {"annotations": {"look": "again"}}}, "default"
    )

    async def replaced():
        status = (await get(cluster))["status"]
        return (status.get("failed"), status.get("active", 0)) == (1, 1)

    await cluster.until(replaced)
    second = next(pod for pod in await pods_of(cluster) if pod["metadata"]["uid"] != first["metadata"]["uid"])
    await set_outcome(cluster, second, "Succeeded")
    status, condition = await cluster.until(lambda: ended(cluster))
    assert (condition["type"], status["succeeded"], status["failed"]) == ("Complete", 1, 1)


async def test_indexes_that_fail_do_not_stop_others(cluster):
    await cluster.create(
        job(outcome="", completions=3, parallelism=3, completionMode="Indexed", backoffLimitPerIndex=0)
    )
    await cluster.until(lambda: active(cluster, 3))
    for pod in await pods_of(cluster):
        await set_outcome(cluster, pod, "Failed" if pod["spec"]["hostname"] == "work-1" else "Succeeded")
    status, condition = await cluster.until(lambda: ended(cluster))
    assert (condition["type"], condition["reason"]) == ("Failed", "FailedIndexes")
    assert (status["completedIndexes"], status["failedIndexes"], status["failed"]) == ("0,2", "1", 1)


async def test_a_success_policy_ends_it_early(cluster):
    policy = {"rules": [{"succeededIndexes": "1"}]}
    await cluster.create(job(outcome="", completions=3, parallelism=3, completionMode="Indexed", successPolicy=policy))
    await cluster.until(lambda: active(cluster, 3))
    leader = next(pod for pod in await pods_of(cluster) if pod["spec"]["hostname"] == "work-1")
    await set_outcome(cluster, leader, "Succeeded")
    status, condition = await cluster.until(lambda: ended(cluster))
    assert (condition["type"], condition["reason"], condition["message"]) == (
        "Complete",
        "SuccessPolicy",
        "Matched rules at index 0",
    )
    assert (status["succeeded"], status.get("failed", 0)) == (1, 0)


async def test_a_suspended_job_has_no_pods_until_it_is_resumed(cluster):
    jobs = cluster.resource("batch/v1", "jobs")
    await cluster.create(job(outcome="", parallelism=2, completions=2))
    await cluster.until(lambda: active(cluster, 2))
    await jobs.patch("work", {"spec": {"suspend": True}}, "default")
    await cluster.until(lambda: active(cluster, 0))
    status = (await get(cluster))["status"]
    assert status["conditions"][0]["reason"] == "JobSuspended"
    assert "failed" not in status
    # More for each pod, while there is none.
    template = {"spec": {"containers": [{"name": "app", "resources": {"requests": {"cpu": "2"}}}]}}
    await jobs.patch("work", {"spec": {"template": template}}, "default", type="strategic")
    await jobs.patch("work", {"spec": {"suspend": False}}, "default")
    await cluster.until(lambda: active(cluster, 2))
    assert (await pods_of(cluster))[0]["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "2"}


async def test_a_deadline(cluster):
    await cluster.create(job(outcome="", activeDeadlineSeconds=1))
    _, condition = await cluster.until(lambda: ended(cluster))
    assert (condition["type"], condition["reason"]) == ("Failed", "DeadlineExceeded")


async def test_jobs_of_others_are_left_alone(cluster):
    await cluster.create(job("theirs", managedBy="example.com/queue"))
    await cluster.create(job())
    await cluster.until(lambda: ended(cluster))
    assert not (await get(cluster, "theirs")).get("status")


@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan"])
async def test_deletion_holds_no_pod_back(cluster, policy):
    await cluster.create(job(outcome="", parallelism=2, completions=2))
    await cluster.until(lambda: active(cluster, 2))
    await cluster.resource("batch/v1", "jobs").delete("work", "default", propagation_policy=policy)
    if policy != "Orphan":

        async def gone():
            return not await pods_of(cluster)

        await cluster.until(gone)
        return

    async def free():
        found = await pods_of(cluster)
        return all(
            not pod["metadata"].get("finalizers") and not pod["metadata"].get("ownerReferences") for pod in found
        )

    await cluster.until(free)
    assert len(await pods_of(cluster)) == 2


async def test_a_namespace_goes_with_its_jobs(cluster):
    await cluster.create(builders.namespace("batch"))
    made = job(outcome="")
    made["metadata"]["namespace"] = "batch"

    async def created():
        return await cluster.resource("v1", "serviceaccounts").get("default", "batch")

    await cluster.until(created)
    await cluster.create(made)

    async def running():
        return (await cluster.resource("batch/v1", "jobs").get("work", "batch"))["status"].get("ready")

    await cluster.until(running)
    await cluster.resource("v1", "namespaces").delete("batch")

    async def gone():
        return "batch" not in [
            one["metadata"]["name"] for one in (await cluster.resource("v1", "namespaces").list()).items
        ]

    await cluster.until(gone)


async def test_grown_and_shrunk_together_with_its_completions(cluster):
    jobs = cluster.resource("batch/v1", "jobs")
    await cluster.create(job(outcome="", completions=2, parallelism=2, completionMode="Indexed"))
    await cluster.until(lambda: active(cluster, 2))
    await jobs.patch("work", {"spec": {"completions": 4, "parallelism": 4}}, "default")
    await cluster.until(lambda: active(cluster, 4))
    await jobs.patch("work", {"spec": {"completions": 1, "parallelism": 1}}, "default")
    await cluster.until(lambda: active(cluster, 1))
    await set_outcome(cluster, (await pods_of(cluster))[0], "Succeeded")
    status, condition = await cluster.until(lambda: ended(cluster))
    assert (condition["type"], status["completedIndexes"], status.get("failed", 0)) == ("Complete", "0", 0)
