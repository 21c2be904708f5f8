"""Nodes as the cloud knows them: initialised, refreshed, tainted, deleted."""

from __future__ import annotations

import pytest

from kybern.api.errors import NotFound
from kybern.cloud import node_lifecycle, taints
from kybern.cloud.node import PROVIDED_IP, preferred, stale_labels
from kybern.cloud.provider import CloudError, Metadata
from kybern.process.clock import clock, format_time
from kybern.testing import builders
from tests.unit.cloud.fake import FakeZones

NODE, LIFECYCLE = "cloud-node", "cloud-node-lifecycle"
UNINITIALIZED = {"key": taints.UNINITIALIZED, "value": "true", "effect": "NoSchedule"}
SHUTDOWN = {"key": taints.SHUTDOWN, "effect": "NoSchedule"}
INNER, OUTER = {"type": "InternalIP", "address": "10.0.0.5"}, {"type": "ExternalIP", "address": "203.0.113.5"}
HOSTNAME = {"type": "Hostname", "address": "n1"}
MACHINE = Metadata("fake://1", [INNER, OUTER], "large", "z1", "r1", {"example.com/rack": "7", "a.k8s.io/b": "no"})


async def add_node(here, *, tainted=True, ready=None, annotations=None, **spec):
    """A node as its kubelet registers it."""
    node = builders.node("n1")
    node["metadata"]["annotations"] = annotations or {}
    node["spec"] = {"taints": [UNINITIALIZED] if tainted else [], **spec}
    await here.nodes.create(node)
    status = {"addresses": [HOSTNAME]}
    if ready:
        status["conditions"] = [{"type": "Ready", "status": ready}]
    return await here.nodes.patch("n1", {"status": status}, subresource="status")


def marks(node):
    """Its taints but the one that every new node gets."""
    return [one for one in node["spec"].get("taints") or () if one["key"] != "node.kubernetes.io/not-ready"]


def keys(node):
    return [taint["key"] for taint in marks(node)]


async def initialised(here):
    async def done():
        found = await here.nodes.get("n1")
        return None if taints.UNINITIALIZED in keys(found) else found

    return await here.until(done)


async def test_a_new_node_gets_what_the_cloud_knows_and_loses_the_taint(here):
    here.cloud.instances.machines["n1"] = MACHINE
    other = {"key": "example.com/keep", "effect": "NoExecute"}
    await add_node(here, taints=[UNINITIALIZED, other])
    async with here.manager(NODE):
        node = await initialised(here)
        assert keys(node) == ["example.com/keep"]
        assert node["spec"]["providerID"] == "fake://1"
        assert node["status"]["addresses"] == [INNER, OUTER, HOSTNAME]
        own = builders.node("n1")["metadata"]["labels"]
        assert {name: value for name, value in node["metadata"]["labels"].items() if name not in own} == {
            "beta.kubernetes.io/instance-type": "large",
            "node.kubernetes.io/instance-type": "large",
            "failure-domain.beta.kubernetes.io/zone": "z1",
            "topology.kubernetes.io/zone": "z1",
            "failure-domain.beta.kubernetes.io/region": "r1",
            "topology.kubernetes.io/region": "r1",
            "example.com/rack": "7",
        }
        assert here.cloud.open == 1

        async def told():
            return await here.events("n1")

        (event,) = await here.until(told)
    assert (event["reason"], event["message"]) == ("Synced", "Node synced successfully")
    assert event["source"]["component"] == "cloud-node-controller"
    assert here.cloud.open == 0


async def test_the_cloud_replaces_no_provider_id_and_zones_fill_in(here):
    here.cloud.instances.machines["n1"] = Metadata("fake://1", [INNER])
    here.cloud.zones = FakeZones()
    await add_node(here, providerID="fake://given")
    async with here.manager(NODE):
        node = await initialised(here)
    assert node["spec"]["providerID"] == "fake://given"
    labels = node["metadata"]["labels"]
    assert (labels["topology.kubernetes.io/zone"], labels["topology.kubernetes.io/region"]) == ("z2", "r2")


async def test_addresses_are_looked_at_again(here):
    here.cloud.instances.machines["n1"] = MACHINE
    await add_node(here)
    async with here.manager(NODE):
        await initialised(here)
        moved = {"type": "ExternalIP", "address": "203.0.113.99"}
        here.cloud.instances.machines["n1"] = Metadata("fake://1", [INNER, moved])

        async def refreshed():
            return (await here.nodes.get("n1"))["status"]["addresses"] == [INNER, moved, HOSTNAME]

        await here.until(refreshed)


async def test_a_node_with_an_address_that_is_not_its_machine_s_stays_tainted(here):
    here.cloud.instances.machines["n1"] = MACHINE
    await add_node(here, annotations={PROVIDED_IP: "10.0.0.6"})
    async with here.manager(NODE) as manager:
        (controller,) = manager.controllers

        async def refused():
            return controller.queue.failures("n1") >= 2

        await here.until(refused)
        assert taints.UNINITIALIZED in keys(await here.nodes.get("n1"))
        await here.nodes.patch("n1", {"metadata": {"annotations": {PROVIDED_IP: "10.0.0.5"}}})
        await initialised(here)


async def test_a_node_that_the_cloud_does_not_know_waits(here):
    await add_node(here)
    async with here.manager(NODE) as manager:
        (controller,) = manager.controllers

        async def asked():
            return controller.queue.failures("n1")

        await here.until(asked)
        assert keys(await here.nodes.get("n1")) == [taints.UNINITIALIZED]
        here.cloud.instances.machines["n1"] = MACHINE
        await initialised(here)


async def test_stable_labels_follow_the_beta_ones(here):
    await add_node(here, tainted=False)
    async with here.manager(NODE):
        await here.nodes.patch("n1", {"metadata": {"labels": {"failure-domain.beta.kubernetes.io/zone": "z9"}}})

        async def followed():
            return (await here.nodes.get("n1"))["metadata"]["labels"].get("topology.kubernetes.io/zone") == "z9"

        await here.until(followed)


def test_labels_that_agree_are_not_stale():
    labels = {"beta.kubernetes.io/instance-type": "a", "node.kubernetes.io/instance-type": "b"}
    assert stale_labels({"metadata": {"labels": labels}}) == {"node.kubernetes.io/instance-type": "a"}
    labels["node.kubernetes.io/instance-type"] = "a"
    assert stale_labels({"metadata": {"labels": labels}}) == {}


def test_addresses_that_the_kubelet_was_told_come_first_and_alone():
    second = {"type": "InternalIP", "address": "10.0.0.9"}
    v6 = {"type": "InternalIP", "address": "fd00::5"}
    listed = [OUTER, second, INNER, v6, HOSTNAME]

    def chosen(text):
        return preferred({"metadata": {"annotations": {PROVIDED_IP: text} if text else {}}}, listed)

    assert chosen("") == listed
    assert chosen("10.0.0.5") == [INNER, OUTER, HOSTNAME]
    assert chosen("10.0.0.5,FD00:0::5") == [INNER, v6, OUTER, HOSTNAME]
    with pytest.raises(CloudError, match=r"matches ip: 192\.0\.2\.1"):
        chosen("192.0.2.1")


@pytest.mark.parametrize("ready", ["False", "Unknown", None])
async def test_a_node_without_a_machine_is_deleted(here, ready):
    await add_node(here, tainted=False, ready=ready)
    async with here.manager(LIFECYCLE):

        async def gone():
            try:
                await here.nodes.get("n1")
            except NotFound:
                return True

        await here.until(gone)

        async def told():
            return [one for one in await here.events("n1") if one["reason"] == "DeletingNode"]

        (event,) = await here.until(told)
    assert event["message"] == "Deleting node n1 because it does not exist in the cloud provider"
    assert event["source"]["component"] == "cloud-node-lifecycle-controller"


async def look(here, manager):
    """Let the controller go over all nodes once more."""
    (controller,) = manager.controllers

    async def filled():
        return controller.ready

    await here.until(filled)
    await controller.monitor()


async def test_a_ready_node_is_not_asked_about(here):
    await add_node(here, tainted=False, ready="True")
    async with here.manager(LIFECYCLE) as manager:
        await look(here, manager)
        assert await here.nodes.get("n1")


async def test_a_node_is_kept_while_the_cloud_gives_no_answer(here):
    await add_node(here, tainted=False, ready="Unknown")
    here.cloud.instances.error = CloudError("unreachable")
    async with here.manager(LIFECYCLE) as manager:
        await look(here, manager)
        assert await here.nodes.get("n1")


async def test_a_node_just_registered_is_given_time(here, monkeypatch):
    await add_node(here, ready="False")
    async with here.manager(LIFECYCLE) as manager:
        await look(here, manager)
        assert await here.nodes.get("n1")
        monkeypatch.setattr(node_lifecycle, "_PATIENCE", -10.0)

        async def gone():
            return not (await here.nodes.list()).items

        await here.until(gone)


def test_patience_is_for_nodes_without_a_provider_id():
    def node(age, **spec):
        meta = {"name": "n1", "creationTimestamp": format_time(clock.time() - age)}
        return {"metadata": meta, "spec": {"taints": [UNINITIALIZED], **spec}}

    assert node_lifecycle._is_new(node(30))
    assert not node_lifecycle._is_new(node(90))
    assert not node_lifecycle._is_new(node(30, providerID="fake://1"))
    assert not node_lifecycle._is_new(node(30, taints=[]))


async def test_a_machine_that_is_off_taints_its_node_until_it_is_ready(here):
    here.cloud.instances.machines["n1"] = MACHINE
    here.cloud.instances.off.add("n1")
    await add_node(here, tainted=False, ready="Unknown")
    async with here.manager(LIFECYCLE):

        async def tainted():
            return marks(await here.nodes.get("n1")) == [SHUTDOWN]

        await here.until(tainted)
        ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        await here.nodes.patch("n1", ready, subresource="status")

        async def clean():
            return not keys(await here.nodes.get("n1"))

        await here.until(clean)
