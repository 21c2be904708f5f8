"""StatefulSets: one pod after the other, with storage that outlives it or not."""

import pytest

from kybern.controllers.options import Options
from kybern.testing import builders
from kybern.testing.cluster import InProcessCluster
from kybern.testing.kubelet import OUTCOME

LABELS = {"app": "db"}
CLAIM = {
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


@pytest.fixture
async def cluster():
    async with InProcessCluster(nodes=2, options=Options(node_monitor_grace_period=1e6)) as made:
        yield made


def stateful_set(replicas=3, *, image="db:1", **spec):
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": {"name": "db", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "serviceName": "db",
            "selector": {"matchLabels": LABELS},
            "template": builders.template(LABELS, image=image),
            "volumeClaimTemplates": [CLAIM],
            **spec,
        },
    }


def change(image, **annotations):
    template = {"metadata": {"annotations": annotations}, "spec": {"containers": [{"name": "app", "image": image}]}}
    return {"spec": {"template": template}}


async def images(cluster):
    listed = (await cluster.resource("v1", "pods").list("default", label_selector="app=db")).items
    return {pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"] for pod in listed}


async def claims(cluster):
    listed = (await cluster.resource("v1", "persistentvolumeclaims").list("default")).items
    return sorted(claim["metadata"]["name"] for claim in listed)


async def settled(cluster, count, image="db:1", start=0):
    found = await cluster.resource("apps/v1", "statefulsets").get("db", "default")
    status = found["status"]
    fields = ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas", "currentReplicas")
    counts = [status.get(field, 0) for field in fields]
    seen = status.get("observedGeneration", 0) == found["metadata"]["generation"]
    wanted = {f"db-{number}": image for number in range(start, start + count)}
    return found if seen and counts == [count] * 5 and await images(cluster) == wanted else None


async def test_pods_come_in_order_and_claims_stay(cluster):
    made, ready = [], []
    pods = cluster.manager.context.informers.informer("v1", "pods")

    def note(old, new):
        if old is None and new is not None:
            made.append(new["metadata"]["name"])
            ready.append(sum(one["status"]["phase"] == "Running" for one in pods.list("default")))

    pods.on_change(note)
    await cluster.create(stateful_set())
    await cluster.until(lambda: settled(cluster, 3))
    assert (made, ready) == (["db-0", "db-1", "db-2"], [0, 1, 2])
    sets = cluster.resource("apps/v1", "statefulsets")
    await sets.patch("db", {"spec": {"replicas": 1}}, "default", subresource="scale")
    await cluster.until(lambda: settled(cluster, 1))
    assert await claims(cluster) == ["data-db-0", "data-db-1", "data-db-2"]
    # A lost pod comes back as the one it was.
    await cluster.resource("v1", "pods").delete("db-0", "default")
    await cluster.until(lambda: settled(cluster, 1))


async def test_a_rollout_stops_at_the_partition_and_at_a_pod_that_is_not_ready(cluster):
    sets = cluster.resource("apps/v1", "statefulsets")
    await cluster.create(stateful_set(updateStrategy={"rollingUpdate": {"partition": 2}}))
    await cluster.until(lambda: settled(cluster, 3))
    await sets.patch("db", change("db:2"), "default", type="strategic")

    async def halfway():
        status = (await sets.get("db", "default"))["status"]
        return (status.get("updatedReplicas"), status.get("readyReplicas")) == (1, 3)

    await cluster.until(halfway)
    assert await images(cluster) == {"db-0": "db:1", "db-1": "db:1", "db-2": "db:2"}
    # Below the partition a lost pod is made from the revision it had.
    await cluster.resource("v1", "pods").delete("db-1", "default")
    await cluster.until(halfway)
    await sets.patch("db", {"spec": {"updateStrategy": {"rollingUpdate": {"partition": 0}}}}, "default")
    await cluster.until(lambda: settled(cluster, 3, "db:2"))
    await sets.patch("db", change("db:3", **{OUTCOME: "NotReady"}), "default", type="strategic")

    async def stuck():
        status = (await sets.get("db", "default"))["status"]
        return (status.get("updatedReplicas"), status.get("readyReplicas")) == (1, 2)

    await cluster.until(stuck)
    assert await images(cluster) == {"db-0": "db:2", "db-1": "db:2", "db-2": "db:3"}
    status = (await sets.get("db", "default"))["status"]
    assert status["currentRevision"] != status["updateRevision"]


async def test_in_parallel_with_claims_that_go(cluster):
    policy = {"whenScaled": "Delete", "whenDeleted": "Delete"}
    await cluster.create(
        stateful_set(podManagementPolicy="Parallel", persistentVolumeClaimRetentionPolicy=policy, ordinals={"start": 4})
    )
    await cluster.until(lambda: settled(cluster, 3, start=4))
    sets = cluster.resource("apps/v1", "statefulsets")
    await sets.patch("db", {"spec": {"replicas": 1}}, "default")
    await cluster.until(lambda: settled(cluster, 1, start=4))

    async def left(*names):
        return await claims(cluster) == list(names)

    await cluster.until(lambda: left("data-db-4"))
    await sets.patch("db", {"spec": {"replicas": 2}}, "default")
    await cluster.until(lambda: settled(cluster, 2, start=4))
    await cluster.until(lambda: left("data-db-4", "data-db-5"))
    await sets.delete("db", "default")
    await cluster.until(left)


async def test_on_delete(cluster):
    sets = cluster.resource("apps/v1", "statefulsets")
    await cluster.create(stateful_set(2, updateStrategy={"type": "OnDelete"}))
    await cluster.until(lambda: settled(cluster, 2))
    await sets.patch("db", change("db:2"), "default", type="strategic")

    async def noticed():
        status = (await sets.get("db", "default"))["status"]
        return status["observedGeneration"] == 2 and status["updateRevision"] != status["currentRevision"]

    await cluster.until(noticed)
    await cluster.resource("v1", "pods").delete("db-0", "default")

    async def one_new():
        return await images(cluster) == {"db-0": "db:2", "db-1": "db:1"}

    await cluster.until(one_new)


async def test_revisions_can_be_gone_back_to_and_are_forgotten(cluster):
    sets = cluster.resource("apps/v1", "statefulsets")
    revisions = cluster.resource("apps/v1", "controllerrevisions")

    async def numbers():
        return sorted(one["revision"] for one in (await revisions.list("default")).items)

    await cluster.create(stateful_set(1, revisionHistoryLimit=1))
    await cluster.until(lambda: settled(cluster, 1))
    for number in (2, 3):
        await sets.patch("db", change(f"db:{number}"), "default", type="strategic")
        await cluster.until(lambda number=number: settled(cluster, 1, f"db:{number}"))
    await sets.patch("db", {"metadata": {"labels": {"look": "again"}}}, "default")

    async def two():
        return await numbers() == [2, 3]

    await cluster.until(two)
    old = next(one for one in (await revisions.list("default")).items if one["revision"] == 2)
    await sets.patch("db", old["data"], "default", type="strategic")
    await cluster.until(lambda: settled(cluster, 1, "db:2"))
    assert await numbers() == [3, 4]
