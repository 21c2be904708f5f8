"""Workloads whose pods take their time, or never get ready."""

import asyncio

import pytest

from kybern.controllers import pods
from kybern.controllers.options import Options
from kybern.process.clock import clock
from kybern.testing import builders
from kybern.testing.cluster import InProcessCluster
from kybern.testing.kubelet import OUTCOME

REVISION = "deployment.kubernetes.io/revision"


@pytest.fixture
async def cluster():
    # Nodes that are never given up, so that the time may be set forward.
    options = Options(node_monitor_grace_period=1e6)
    async with InProcessCluster(nodes=2, options=options) as made:
        yield made


@pytest.fixture
def skip(monkeypatch):
    """Sets the time forward by so many seconds."""

    def forward(seconds):
        now = clock.now_fn
        monkeypatch.setattr(clock, "now_fn", lambda: now() + seconds)

    return forward


def change(image, **annotations):
    template = {"metadata": {"annotations": annotations}, "spec": {"containers": [{"name": "app", "image": image}]}}
    return {"spec": {"template": template}}


async def condition(cluster, type, name="web"):
    found = await cluster.resource("apps/v1", "deployments").get(name, "default")
    listed = (found.get("status") or {}).get("conditions") or ()
    return next((one for one in listed if one["type"] == type), None)


async def until_reason(cluster, reason, type="Progressing"):
    async def reached():
        found = await condition(cluster, type)
        return found if found and found["reason"] == reason else None

    return await cluster.until(reached)


async def sets_of(cluster):
    listed = (await cluster.resource("apps/v1", "replicasets").list("default")).items
    return sorted(listed, key=lambda one: int(one["metadata"]["annotations"][REVISION]))


async def test_a_rollout_that_gets_stuck_is_reported_and_can_be_undone(cluster, skip):
    deployments = cluster.resource("apps/v1", "deployments")
    await cluster.create(builders.deployment("web", replicas=4, image="app:1", progressDeadlineSeconds=600))
    await cluster.until(lambda: cluster.ready("web"))
    await until_reason(cluster, "NewReplicaSetAvailable")
    await deployments.patch("web", change("app:2", **{OUTCOME: "NotReady"}), "default", type="strategic")

    async def halfway():
        found = await sets_of(cluster)
        sizes = [(one["spec"]["replicas"], one["status"].get("readyReplicas", 0)) for one in found]
        return sizes == [(3, 3), (2, 0)]

    # One pod above the size, one missing: no more of the old ones go.
    await cluster.until(halfway)
    assert (await until_reason(cluster, "ReplicaSetUpdated"))["status"] == "True"

    async def too_late():
        # What was still to be noticed counts as progress at the time it is noticed.
        skip(700)
        await deployments.patch("web", {"metadata": {"annotations": {"look": clock.stamp()}}}, "default")
        await asyncio.sleep(0.2)
        found = await condition(cluster, "Progressing")
        return found if found["reason"] == "ProgressDeadlineExceeded" else None

    late = await cluster.until(too_late)
    new = (await sets_of(cluster))[1]["metadata"]["name"]
    assert (late["status"], late["message"]) == ("False", f'ReplicaSet "{new}" has timed out progressing.')
    assert (await condition(cluster, "Available"))["status"] == "True"

    await deployments.patch("web", change("app:1", **{OUTCOME: None}), "default", type="strategic")
    await cluster.until(lambda: cluster.ready("web"))
    assert (await until_reason(cluster, "NewReplicaSetAvailable"))["status"] == "True"
    stuck, again = await sets_of(cluster)
    assert again["metadata"]["annotations"][REVISION] == "3"
    assert again["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"
    assert (stuck["spec"]["replicas"], again["spec"]["replicas"]) == (0, 4)


async def test_a_paused_deployment_is_never_late(cluster, skip):
    deployments = cluster.resource("apps/v1", "deployments")
    made = builders.deployment("web", replicas=1, progressDeadlineSeconds=600, paused=True)
    await cluster.create(made)
    assert (await until_reason(cluster, "DeploymentPaused"))["status"] == "Unknown"
    skip(700)
    await deployments.patch("web", {"spec": {"paused": False}}, "default")
    await cluster.until(lambda: cluster.ready("web"))
    assert (await until_reason(cluster, "NewReplicaSetAvailable"))["status"] == "True"


async def test_pods_count_as_available_only_after_a_while(cluster):
    await cluster.create(builders.deployment("web", replicas=2, minReadySeconds=2))
    seen = []

    async def available():
        for found in await sets_of(cluster):
            status = found.get("status") or {}
            seen.append((status.get("readyReplicas", 0), status.get("availableReplicas", 0)))
        return await cluster.ready("web")

    await cluster.until(available)
    assert (2, 0) in seen


async def test_ready_pods_become_available_beside_one_that_never_is_ready(cluster):
    labels = {"app": "lone"}
    orphan = builders.pod("sick", labels=labels)
    orphan["metadata"]["annotations"] = {OUTCOME: "NotReady"}
    await cluster.create(orphan)
    spec = {"replicas": 2, "minReadySeconds": 2, "selector": {"matchLabels": labels}}
    await cluster.create(
        {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {"name": "rs", "namespace": "default"},
            "spec": {**spec, "template": builders.template(labels)},
        }
    )

    async def one_available():
        status = (await cluster.resource("apps/v1", "replicasets").get("rs", "default")).get("status") or {}
        return (status.get("replicas"), status.get("readyReplicas"), status.get("availableReplicas")) == (2, 1, 1)

    await cluster.until(one_available)


async def test_what_may_not_be_created_is_reported(cluster):
    await cluster.create(builders.deployment("web", replicas=3, pod_spec={"serviceAccountName": "nobody"}))
    found = await until_reason(cluster, "FailedCreate", "ReplicaFailure")
    assert found["status"] == "True"
    assert found["message"].endswith(
        'error looking up service account default/nobody: serviceaccount "nobody" not found'
    )
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody", "namespace": "default"}}
    await cluster.create(account)
    await cluster.until(lambda: cluster.ready("web"))
    assert await condition(cluster, "ReplicaFailure") is None


async def test_scaling_down_keeps_the_pods_that_cost_most(cluster):
    await cluster.create(builders.deployment("web", replicas=4))
    await cluster.until(lambda: cluster.ready("web"))
    endpoint = cluster.resource("v1", "pods")
    listed = (await endpoint.list("default")).items
    dear = {pod["metadata"]["name"] for pod in listed[1:3]}
    for name in dear:
        cost = {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "10"}}}
        await endpoint.patch(name, cost, "default")

    async def priced():
        known = cluster.manager.controllers[0].context.informers.running("v1", "pods").list("default")
        return sum("annotations" in pod["metadata"] for pod in known) == 2

    await cluster.until(priced)
    await cluster.resource("apps/v1", "deployments").patch("web", {"spec": {"replicas": 2}}, "default")

    async def smaller():
        return len([pod for pod in (await endpoint.list("default")).items if pods.is_active(pod)]) == 2

    await cluster.until(smaller)
    assert {pod["metadata"]["name"] for pod in (await endpoint.list("default")).items if pods.is_active(pod)} == dear
