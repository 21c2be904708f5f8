"""Nodes that fall silent, and what becomes of their pods."""

import pytest

from kybern.controllers import conditions
from kybern.controllers.node_health import NOT_READY, UNREACHABLE
from kybern.controllers.options import Options
from kybern.process.clock import clock
from kybern.testing import builders
from kybern.testing.cluster import InProcessCluster

ZONE = "topology.kubernetes.io/zone"
HOLD = {"metadata": {"finalizers": ["example.com/hold"]}}


class Stage:
    """A cluster whose nodes are judged only when the test says so, at the time it says."""

    def __init__(self, cluster, monkeypatch):
        self.cluster, self._patch = cluster, monkeypatch
        every = {one.name: one for one in cluster.manager.controllers}
        self.judge = every["node-lifecycle-controller"]

    async def pass_after(self, seconds, *silent):
        """So much later, all but `silent` having given a sign of life, look at all nodes."""
        now = clock.now_fn
        self._patch.setattr(clock, "now_fn", lambda: now() + seconds)
        kubelets = self.cluster.kubelets
        nodes = await self.cluster.resource("v1", "nodes").list()
        kubelets.nodes = {one["metadata"]["name"] for one in nodes.items} - set(silent)
        await kubelets.renew_leases()
        for name in kubelets.nodes:
            await kubelets.set_ready(name, ready=True)
        await self.seen()
        await self.judge.monitor()
        await self.seen()

    async def seen(self):
        """Until the judge's cache shows what the server has."""
        cluster = self.cluster

        async def current():
            for informer, api_version, plural in (
                (self.judge.nodes, "v1", "nodes"),
                (self.judge.leases, "coordination.k8s.io/v1", "leases"),
            ):
                held = {one["metadata"]["uid"]: one["metadata"]["resourceVersion"] for one in informer.list()}
                there = (await cluster.resource(api_version, plural).list()).items
                if held != {one["metadata"]["uid"]: one["metadata"]["resourceVersion"] for one in there}:
                    return False
            return True

        await cluster.until(current)

    async def taints(self, effect="NoExecute"):
        """Node -> the keys of its taints with this effect."""
        nodes = (await self.cluster.resource("v1", "nodes").list()).items
        return {
            one["metadata"]["name"]: keys
            for one in nodes
            if (keys := [taint["key"] for taint in one["spec"].get("taints") or () if taint["effect"] == effect])
        }


@pytest.fixture
async def stage(monkeypatch):
    # Evictions follow at once, so that only the state of the zone can hold them back.
    options = Options(node_monitor_period=1e6, node_eviction_rate=1e6, cluster_cidr="10.244.0.0/16")
    async with InProcessCluster(nodes=0, options=options) as cluster:
        for zone, count in (("a", 4), ("b", 2)):
            for number in range(count):
                await cluster.kubelets.add_node(builders.node(f"{zone}{number}", **{ZONE: zone}))
        made = Stage(cluster, monkeypatch)
        await made.pass_after(0)
        yield made


async def condition(cluster, name, type="Ready"):
    return conditions.find((await cluster.resource("v1", "nodes").get(name))["status"], type)


async def test_one_silent_node_is_unknown_and_tainted_until_it_speaks(stage):
    await stage.pass_after(60, "a0")
    ready = await condition(stage.cluster, "a0")
    assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
    assert ready["message"] == "Kubelet stopped posting node status."
    assert (await condition(stage.cluster, "a1"))["status"] == "True"
    assert await stage.taints() == {"a0": [UNREACHABLE]}
    await stage.pass_after(10)
    assert await stage.taints() == {}
    assert (await condition(stage.cluster, "a0"))["status"] == "True"


async def test_within_the_grace_period_nothing_is_concluded(stage):
    await stage.pass_after(49, "a0")
    assert (await condition(stage.cluster, "a0"))["status"] == "True"
    assert await stage.taints() == {}


async def test_a_node_that_says_it_is_not_ready_is_tainted_so(stage):
    await stage.pass_after(60, "a0")
    await stage.cluster.kubelets.set_ready("a0", ready=False)
    await stage.seen()
    await stage.judge.monitor()
    assert await stage.taints() == {"a0": [NOT_READY]}


async def test_when_much_of_a_zone_is_silent_nothing_is_evicted_there(stage):
    await stage.pass_after(60, "a0", "a1", "a2", "b0")
    assert await stage.taints() == {"b0": [UNREACHABLE]}

    async def unschedulable():
        found = await stage.taints("NoSchedule")
        return set(found) == {"a0", "a1", "a2", "b0"}

    await stage.cluster.until(unschedulable)
    await stage.pass_after(10, "a0", "a1", "b0")
    assert set(await stage.taints()) == {"a0", "a1", "b0"}


async def test_a_whole_zone_may_be_evicted_while_another_lives(stage):
    await stage.pass_after(60, "a0", "a1", "a2", "a3")
    assert set(await stage.taints()) == {"a0", "a1", "a2", "a3"}


async def test_when_nothing_answers_anywhere_the_fault_is_ours(stage):
    await stage.pass_after(60, "b0")
    assert set(await stage.taints()) == {"b0"}
    everywhere = ["a0", "a1", "a2", "a3", "b0", "b1"]
    await stage.pass_after(60, *everywhere)
    assert await stage.taints() == {}
    await stage.pass_after(10, *everywhere)
    assert await stage.taints() == {}
    # The first that answers ends it.
    await stage.pass_after(10, *everywhere[1:])
    assert set(await stage.taints()) == {"b0", "b1"}


async def test_pods_of_a_silent_node_are_not_ready(stage):
    cluster = stage.cluster
    endpoint = cluster.resource("v1", "pods")
    await cluster.create(builders.pod("p", nodeName="a0"))

    async def ready():
        return conditions.find((await endpoint.get("p", "default"))["status"], "Ready")["status"]

    async def running():
        return (await endpoint.get("p", "default"))["status"]["phase"] == "Running" and await ready() == "True"

    await cluster.until(running)
    await endpoint.patch("p", HOLD, "default")
    await stage.pass_after(60, "a0")

    async def marked():
        return await ready() == "False"

    await cluster.until(marked)


@pytest.fixture
async def cluster():
    async with InProcessCluster(nodes=1, options=Options(node_monitor_grace_period=1e6)) as made:
        yield made


async def tainted(cluster, *taints):
    nodes = cluster.resource("v1", "nodes")
    await nodes.patch("node-1", {"spec": {"taints": [{"key": key, "effect": "NoExecute"} for key in taints]}})


async def staying(cluster, name, seconds):
    """A running pod that bears the taint `mine` for so long, and stays listed when it is deleted."""
    bears = {"key": "mine", "operator": "Exists", "effect": "NoExecute"}
    bears |= {} if seconds is None else {"tolerationSeconds": seconds}
    made = builders.pod(name, tolerations=[bears])
    made["metadata"]["finalizers"] = ["example.com/hold"]
    await cluster.create(made)

    async def running():
        return (await cluster.resource("v1", "pods").get(name, "default"))["status"]["phase"] == "Running"

    await cluster.until(running)


async def going(cluster, name):
    pod = await cluster.resource("v1", "pods").get(name, "default")
    return pod if pod["metadata"].get("deletionTimestamp") else None


async def test_pods_are_evicted_when_their_toleration_runs_out(cluster):
    for name, seconds in (("brief", 1), ("long", 300), ("ever", None)):
        await staying(cluster, name, seconds)
    await tainted(cluster, "mine")
    evicted = await cluster.until(lambda: going(cluster, "brief"))
    target = conditions.find(evicted["status"], "DisruptionTarget")
    assert (target["status"], target["reason"]) == ("True", "DeletionByTaintManager")
    assert target["message"] == "Taint manager: deleting due to NoExecute taint"
    assert not await going(cluster, "long")
    # A taint that nobody tolerates ends all waiting.
    await tainted(cluster, "mine", "other")
    await cluster.until(lambda: going(cluster, "long"))
    await cluster.until(lambda: going(cluster, "ever"))


async def test_a_taint_that_goes_in_time_evicts_nobody(cluster):
    await staying(cluster, "p", 300)
    eviction = next(one for one in cluster.manager.controllers if one.name == "taint-eviction-controller")
    await tainted(cluster, "mine")

    async def waiting():
        return "default/p" in eviction._since

    await cluster.until(waiting)
    await tainted(cluster)

    async def told():
        events = (await cluster.resource("v1", "events").list("default")).items
        return [one["message"] for one in events if one["reason"] == "TaintManagerEviction"]

    assert await cluster.until(told) == ["Cancelling deletion of Pod default/p"]
    assert not await going(cluster, "p")
