"""Load balancers: what a user sees of them in a Service, and what the cloud is told."""

from __future__ import annotations

import pytest

from kybern.api.errors import NotFound
from kybern.cloud import balancing
from kybern.cloud.balancing import FINALIZER
from kybern.cloud.provider import CloudError, ImplementedElsewhere
from kybern.testing import builders

ONLY = "service"


def balanced(name="web", **spec):
    return builders.service(name, type="LoadBalancer", **spec)


async def ensured(here, name="web"):
    async def served():
        found = await here.services.get(name, "default")
        return found if found["status"]["loadBalancer"].get("ingress") else None

    return await here.until(served)


async def add_node(here, name, **labels):
    node = builders.node(name)
    node["metadata"]["labels"].update(labels)
    return await here.nodes.create(node)


async def test_a_service_gets_a_balancer_and_keeps_it_until_it_is_deleted(here):
    await add_node(here, "n1")
    async with here.manager(ONLY):
        created = await here.cluster.create(balanced())
        service = await ensured(here)
        assert service["metadata"]["finalizers"] == [FINALIZER]
        assert service["status"]["loadBalancer"]["ingress"] == [{"ip": "203.0.113.7", "ipMode": "VIP"}]
        assert here.cloud.load_balancers.there == {created["metadata"]["uid"]: ["n1"]}
        await here.services.delete("web", "default")

        async def gone():
            try:
                await here.services.get("web", "default")
            except NotFound:
                return True

        await here.until(gone)
        assert here.cloud.load_balancers.there == {}
        assert here.cloud.load_balancers.calls == ["ensure", "delete"]

        async def told():
            return {"DeletedLoadBalancer"} <= set(await here.reasons("web"))

        await here.until(told)
        events = await here.events("web")
    assert {event["reason"]: event["message"] for event in events} == {
        "EnsuringLoadBalancer": "Ensuring load balancer",
        "EnsuredLoadBalancer": "Ensured load balancer",
        "DeletingLoadBalancer": "Deleting load balancer",
        "DeletedLoadBalancer": "Deleted load balancer",
    }
    assert {event["source"]["component"] for event in events} == {"service-controller"}
    # What the Service held is free again, although its last writer wrote its status only.
    address = created["spec"]["clusterIP"]
    again = await here.cluster.create(builders.service("other", clusterIP=address))
    assert again["spec"]["clusterIP"] == address


async def test_a_service_of_another_type_loses_its_balancer(here):
    async with here.manager(ONLY):
        await here.cluster.create(balanced())
        await ensured(here)
        await here.services.patch("web", {"spec": {"type": "ClusterIP"}}, "default")

        async def cleaned():
            found = await here.services.get("web", "default")
            return not found["metadata"].get("finalizers") and found["status"]["loadBalancer"] == {}

        await here.until(cleaned)
        assert here.cloud.load_balancers.there == {}

        async def told():
            return [one["message"] for one in await here.events("web") if one["reason"] == "Type"]

        assert await here.until(told) == ["LoadBalancer -> ClusterIP"]


async def test_others_are_left_alone(here):
    async with here.manager(ONLY):
        await here.cluster.create(balanced("classy", loadBalancerClass="example.com/own"))
        await here.cluster.create(builders.service("plain"))
        await here.cluster.create(balanced())
        await ensured(here)
        for name in ("classy", "plain"):
            found = await here.services.get(name, "default")
            assert not found["metadata"].get("finalizers")
            assert await here.reasons(name) == []
    assert here.cloud.load_balancers.calls == ["ensure"]


async def test_changes_of_the_service_reach_the_cloud(here):
    balancers = here.cloud.load_balancers
    async with here.manager(ONLY):
        await here.cluster.create(balanced(loadBalancerSourceRanges=["192.0.2.0/24"]))
        await ensured(here)
        assert balancers.specs["web"]["loadBalancerSourceRanges"] == ["192.0.2.0/24"]
        await here.services.patch("web", {"metadata": {"labels": {"a": "b"}}}, "default")
        balancers.ingress = [{"hostname": "web.example.com"}]
        change = {"spec": {"loadBalancerSourceRanges": ["192.0.2.0/24", "10.0.0.0/8"]}}
        await here.services.patch("web", change, "default")

        async def moved():
            found = await here.services.get("web", "default")
            return found["status"]["loadBalancer"]["ingress"] == [{"hostname": "web.example.com"}]

        await here.until(moved)

        async def told():
            return [one["message"] for one in await here.events("web") if one["reason"] == "LoadBalancerSourceRanges"]

        assert await here.until(told) == ["[192.0.2.0/24] -> [192.0.2.0/24 10.0.0.0/8]"]
    # A label concerns no balancer.
    assert balancers.calls == ["ensure", "ensure"]


async def test_all_balancers_follow_the_nodes(here):
    balancers = here.cloud.load_balancers
    excluded = "node.kubernetes.io/exclude-from-external-load-balancers"
    await add_node(here, "n1")
    await add_node(here, "out", **{excluded: ""})

    async def send_to(*names):
        async def all_do():
            return [*balancers.there.values()] == [list(names)] * 2

        await here.until(all_do)

    async with here.manager(ONLY):
        await here.cluster.create(balanced("one"))
        await here.cluster.create(balanced("two"))
        await send_to("n1")
        await add_node(here, "n2")
        await send_to("n1", "n2")
        await here.nodes.patch("out", {"metadata": {"labels": {excluded: "false"}}})
        await send_to("n1", "n2", "out")
        await here.nodes.delete("n1")
        await send_to("n2", "out")
        assert balancers.calls == ["ensure"] * 2 + ["update"] * 6

        async def told():
            return "UpdatedLoadBalancer" in await here.reasons("one")

        await here.until(told)


async def test_a_node_set_that_the_cloud_refuses_is_told_again_whole(here):
    balancers = here.cloud.load_balancers
    async with here.manager(ONLY):
        await here.cluster.create(balanced())
        await ensured(here)
        assert "UnAvailableLoadBalancer" in await here.until(lambda: here.reasons("web"))
        balancers.update_errors = [CloudError("busy")]
        await add_node(here, "n1")

        async def sent():
            return [*balancers.there.values()] == [["n1"]]

        await here.until(sent)

        async def told():
            return [one for one in await here.events("web") if one["reason"] == "UpdateLoadBalancerFailed"]

        (event,) = await here.until(told)
    assert balancers.calls == ["ensure", "update", "ensure"]
    assert event["message"] == (
        "Error updating load balancer with new hosts [n1] [node names limited, total number of nodes: 1], error: busy"
    )


@pytest.mark.parametrize("error", [CloudError("no quota"), CloudError("no quota", 0.01)])
async def test_failures_are_told_and_tried_again(here, error):
    here.cloud.load_balancers.errors = [error]
    async with here.manager(ONLY):
        await here.cluster.create(balanced())
        await ensured(here)

        async def told():
            return [one["message"] for one in await here.events("web") if one["reason"] == "SyncLoadBalancerFailed"]

        assert await here.until(told) == ["Error syncing load balancer: failed to ensure load balancer: no quota"]
    assert here.cloud.load_balancers.calls == ["ensure", "ensure"]


async def test_a_failing_service_waits_for_its_backoff(here, monkeypatch):
    monkeypatch.setattr("kybern.cloud.service._FIRST_RETRY", 1000.0)
    here.cloud.load_balancers.errors = [CloudError("no quota")]
    async with here.manager(ONLY):
        await here.cluster.create(balanced("bad"))
        await here.until(lambda: here.reasons("bad"))
        # The finalizer was written meanwhile; that is no reason to ask the cloud again.
        await here.cluster.create(balanced("good"))
        await ensured(here, "good")
        bad = await here.services.get("bad", "default")
    assert bad["metadata"]["finalizers"] == [FINALIZER]
    assert here.cloud.load_balancers.calls == ["ensure", "ensure"]


async def test_a_service_stays_while_its_balancer_can_not_be_deleted(here):
    balancers = here.cloud.load_balancers
    async with here.manager(ONLY):
        await here.cluster.create(balanced())
        await ensured(here)
        balancers.errors = [CloudError("in use")] * 3
        await here.services.delete("web", "default")

        async def told():
            return [one["message"] for one in await here.events("web") if one["reason"] == "SyncLoadBalancerFailed"]

        said = await here.until(told)
        assert said == ["Error syncing load balancer: failed to delete load balancer: in use"]

        async def gone():
            return not (await here.services.list("default", field_selector="metadata.name=web")).items

        await here.until(gone)
    assert balancers.calls == ["ensure", *["delete"] * 4]


async def test_a_balancer_goes_with_a_service_whose_finalizer_was_taken_off(here):
    async with here.manager(ONLY):
        await here.cluster.create(balanced())
        await ensured(here)
        await here.services.patch("web", {"metadata": {"finalizers": None}}, "default")
        await here.services.delete("web", "default")

        async def gone():
            return not here.cloud.load_balancers.there

        await here.until(gone)


async def test_a_new_manager_cleans_up_what_was_deleted_while_none_ran(here):
    async with here.manager(ONLY):
        await here.cluster.create(balanced())
        await ensured(here)
    await here.services.delete("web", "default")
    async with here.manager(ONLY):

        async def gone():
            return not here.cloud.load_balancers.there

        await here.until(gone)


async def test_what_is_implemented_elsewhere_is_not_reported_as_failed(here):
    here.cloud.load_balancers.errors = [ImplementedElsewhere()]
    async with here.manager(ONLY):
        await here.cluster.create(balanced("elsewhere"))
        await here.cluster.create(balanced("here"))
        await ensured(here, "here")
        found = await here.services.get("elsewhere", "default")
        assert found["status"]["loadBalancer"] == {}
        assert "SyncLoadBalancerFailed" not in await here.reasons("elsewhere")
    assert here.cloud.load_balancers.calls == ["ensure", "ensure"]


def service(**spec):
    meta = {"uid": "1", "annotations": spec.pop("annotations", None)}
    return {"metadata": meta, "spec": {"type": "LoadBalancer", "ports": [{"port": 80, "nodePort": 30080}], **spec}}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({}, {"type": "NodePort"}, ("Type", "LoadBalancer -> NodePort")),
        ({}, {"loadBalancerIP": "192.0.2.1"}, ("LoadbalancerIP", " -> 192.0.2.1")),
        ({"externalTrafficPolicy": "Cluster"}, {"externalTrafficPolicy": "Local"},
         ("ExternalTrafficPolicy", "Cluster -> Local")),
        ({}, {"healthCheckNodePort": 31000}, ("HealthCheckNodePort", "0 -> 31000")),
        ({}, {"externalIPs": ["192.0.2.1"]}, ("ExternalIP", "Count: 0 -> 1")),
        ({"externalIPs": ["192.0.2.1"]}, {"externalIPs": ["192.0.2.2"]}, ("ExternalIP", "Added: 192.0.2.2")),
        ({"ipFamilies": ["IPv4"]}, {"ipFamilies": ["IPv4", "IPv6"]}, ("IPFamilies", "Count: 1 -> 2")),
        ({}, {"sessionAffinity": "ClientIP"}, ("", "")),
        ({}, {"annotations": {"a": "b"}}, ("", "")),
        ({}, {"ports": [{"port": 80, "nodePort": 30081}]}, ("", "")),
        ({}, {"selector": {"app": "web"}}, None),
        ({"type": "NodePort"}, {"type": "ClusterIP"}, None),
    ],
)  # fmt: skip
def test_what_counts_as_a_change(before, after, told):
    assert balancing.change(service(**before), service(**after)) == told


def node(name="n1", labels=None, **spec):
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"


@pytest.mark.parametrize(
    ("candidate", "sent_to"),
    [
        (node(), True),
        (node(labels={EXCLUDE: ""}), False),
        (node(labels={EXCLUDE: "true"}), False),
        (node(labels={EXCLUDE: "false"}), True),
        (node(taints=[{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]), False),
        (node(taints=[{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]), True),
        ({"metadata": {"name": "n1", "deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {}}, False),
    ],
)
def test_which_nodes_are_sent_to(candidate, sent_to):
    assert bool(balancing.eligible([candidate])) is sent_to


def test_a_mark_of_the_autoscaler_moves_no_balancer():
    marked = node(taints=[{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}])
    assert not balancing.moves(node(), marked)
    assert balancing.moves(node(), node(providerID="fake://1"))
    assert balancing.moves(node(), None)
