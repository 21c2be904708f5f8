"""DaemonSets over nodes that come, go and change, and the way from one template to the next and back."""

import pytest

from kybern.controllers import pods
from kybern.controllers.options import Options
from kybern.controllers.owners import is_deleting
from kybern.testing import builders
from kybern.testing.cluster import InProcessCluster
from kybern.testing.kubelet import OUTCOME

LABELS = {"app": "agent"}


@pytest.fixture
async def cluster():
    async with InProcessCluster(nodes=3, options=Options(node_monitor_grace_period=1e6)) as made:
        yield made


def daemon_set(*, strategy=None, image="agent:1", annotations=None, **pod_spec):
    template = builders.template(LABELS, image=image, **pod_spec)
    template["metadata"]["annotations"] = annotations or {}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "agent", "namespace": "default"},
        "spec": {"selector": {"matchLabels": LABELS}, "template": template, "updateStrategy": strategy or {}},
    }


def image(name, **annotations):
    template = {"metadata": {"annotations": annotations}, "spec": {"containers": [{"name": "app", "image": name}]}}
    return {"spec": {"template": template}}


async def pods_of(cluster):
    return (await cluster.resource("v1", "pods").list("default", label_selector="app=agent")).items


async def placed(cluster):
    return sorted(pod["spec"].get("nodeName", "") for pod in await pods_of(cluster))


async def settled(cluster, count):
    """The DaemonSet, once it has so many pods, all new and available."""
    found = await cluster.resource("apps/v1", "daemonsets").get("agent", "default")
    status = found["status"]
    fields = ("desiredNumberScheduled", "currentNumberScheduled", "numberReady")
    counts = [status.get(field, 0) for field in (*fields, "updatedNumberScheduled", "numberAvailable")]
    seen = status.get("observedGeneration", 0) == found["metadata"]["generation"]
    return found if seen and counts == [count] * 5 and len(await placed(cluster)) == count else None


async def revisions(cluster):
    listed = (await cluster.resource("apps/v1", "controllerrevisions").list("default")).items
    return sorted(listed, key=lambda one: one["revision"])


async def test_it_follows_the_nodes(cluster):
    nodes = cluster.resource("v1", "nodes")
    await cluster.create(daemon_set(nodeSelector={"kubernetes.io/os": "linux"}))
    await cluster.until(lambda: settled(cluster, 3))
    assert await placed(cluster) == ["node-1", "node-2", "node-3"]
    await cluster.kubelets.add_node(builders.node("node-4"))
    await cluster.until(lambda: settled(cluster, 4))
    # A cordoned node keeps its daemon, and gets a new one.
    await nodes.patch("node-1", {"spec": {"unschedulable": True}})
    gone = next(pod for pod in await pods_of(cluster) if pod["spec"]["nodeName"] == "node-1")["metadata"]
    await cluster.resource("v1", "pods").delete(gone["name"], "default")

    async def replaced():
        return gone["uid"] not in [pod["metadata"]["uid"] for pod in await pods_of(cluster)]

    await cluster.until(replaced)
    await cluster.until(lambda: settled(cluster, 4))
    await nodes.patch("node-2", {"metadata": {"labels": {"kubernetes.io/os": "plan9"}}})
    await cluster.until(lambda: settled(cluster, 3))
    assert await placed(cluster) == ["node-1", "node-3", "node-4"]
    await nodes.patch("node-3", {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}})

    async def misplaced():
        status = (await cluster.resource("apps/v1", "daemonsets").get("agent", "default"))["status"]
        return (status["desiredNumberScheduled"], status["numberMisscheduled"]) == (2, 1)

    await cluster.until(misplaced)
    assert "node-3" in await placed(cluster)


async def test_an_update_that_gets_stuck_and_is_undone(cluster):
    daemon_sets = cluster.resource("apps/v1", "daemonsets")
    await cluster.create(daemon_set())
    first = await cluster.until(lambda: settled(cluster, 3))
    assert first["metadata"]["annotations"]["deprecated.daemonset.template.generation"] == "1"
    await daemon_sets.patch("agent", image("agent:2", **{OUTCOME: "NotReady"}), "default", type="strategic")

    async def stuck():
        status = (await daemon_sets.get("agent", "default"))["status"]
        return (status.get("updatedNumberScheduled"), status.get("numberUnavailable")) == (1, 1)

    await cluster.until(stuck)
    images = sorted(pod["spec"]["containers"][0]["image"] for pod in await pods_of(cluster))
    assert images == ["agent:1", "agent:1", "agent:2"]
    old, new = await revisions(cluster)
    assert (old["revision"], new["revision"]) == (1, 2)
    # This is what `kubectl rollout undo` sends.
    await daemon_sets.patch("agent", old["data"], "default", type="strategic")
    undone = await cluster.until(lambda: settled(cluster, 3))
    assert undone["spec"]["template"] == first["spec"]["template"]
    names = [one["metadata"]["name"] for one in await revisions(cluster)]
    assert names == [new["metadata"]["name"], old["metadata"]["name"]]
    assert {pod["metadata"]["labels"]["pod-template-generation"] for pod in await pods_of(cluster)} <= {"1", "3"}


async def test_surging_never_lacks_a_pod(cluster):
    daemon_sets = cluster.resource("apps/v1", "daemonsets")
    await cluster.create(daemon_set(strategy={"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}))
    await cluster.until(lambda: settled(cluster, 3))
    pods_seen = cluster.manager.context.informers.informer("v1", "pods")
    served = []

    def count(old, new):
        ready = [pod for pod in pods_seen.list("default") if pods.is_ready(pod) and not is_deleting(pod)]
        served.append(len({pod["spec"]["nodeName"] for pod in ready}))

    pods_seen.on_change(count)
    await daemon_sets.patch("agent", image("agent:2"), "default", type="strategic")
    await cluster.until(lambda: settled(cluster, 3))
    assert {pod["spec"]["containers"][0]["image"] for pod in await pods_of(cluster)} == {"agent:2"}
    assert min(served[3:]) == 3


async def test_on_delete_waits_for_somebody_to_delete(cluster):
    daemon_sets = cluster.resource("apps/v1", "daemonsets")
    await cluster.create(daemon_set(strategy={"type": "OnDelete"}))
    await cluster.until(lambda: settled(cluster, 3))
    await daemon_sets.patch("agent", image("agent:2"), "default", type="strategic")

    async def noticed():
        status = (await daemon_sets.get("agent", "default"))["status"]
        return status["observedGeneration"] == 2 and "updatedNumberScheduled" not in status

    await cluster.until(noticed)
    await cluster.resource("v1", "pods").delete((await pods_of(cluster))[0]["metadata"]["name"], "default")

    async def one_new():
        return (await daemon_sets.get("agent", "default"))["status"].get("updatedNumberScheduled") == 1

    await cluster.until(one_new)


async def test_failed_pods_are_replaced_with_an_event(cluster):
    await cluster.create(daemon_set(annotations={OUTCOME: "Failed"}))

    async def told():
        events = (await cluster.resource("v1", "events").list("default")).items
        return [one for one in events if one["reason"] == "FailedDaemonPod"]

    event = (await cluster.until(told))[0]
    assert event["message"].startswith("Found failed daemon pod default/agent-")
    assert event["message"].endswith(", will try to kill it")
    await cluster.resource("apps/v1", "daemonsets").patch("agent", image("agent:1", **{OUTCOME: None}), "default",
                                                          type="strategic")  # fmt: skip
    await cluster.until(lambda: settled(cluster, 3))


async def test_only_so_many_revisions_are_kept(cluster):
    daemon_sets = cluster.resource("apps/v1", "daemonsets")
    made = daemon_set()
    made["spec"]["revisionHistoryLimit"] = 1
    await cluster.create(made)
    for number in (2, 3, 4):
        await cluster.until(lambda: settled(cluster, 3))
        await daemon_sets.patch("agent", image(f"agent:{number}"), "default", type="strategic")

    async def kept():
        return [one["revision"] for one in await revisions(cluster)] == [3, 4]

    await cluster.until(kept)
    # Everything goes with its owner.
    await daemon_sets.delete("agent", "default")

    async def gone():
        return not await revisions(cluster) and not await pods_of(cluster)

    await cluster.until(gone)
