"""Routes to nodes' pods: decided purely, made in the cloud, told in the nodes."""

from __future__ import annotations

from kybern.cloud.provider import Route
from kybern.cloud.route import plan
from kybern.testing import builders

ROUTE = "route"
RANGE = ("10.244.0.0/16",)
ADDRESS = [{"type": "InternalIP", "address": "192.0.2.1"}]


def node(name, *cidrs, addresses=()):
    return {"metadata": {"name": name}, "spec": {"podCIDRs": list(cidrs)}, "status": {"addresses": list(addresses)}}


def decided(nodes, routes, cidrs=RANGE):
    made = plan(nodes, routes, cidrs)
    return [(one.target, one.cidr) for one in made.delete], [(one.target, one.cidr) for one in made.create]


def test_each_range_of_each_node_gets_a_route():
    nodes = [node("n1", "10.244.0.0/24", "fd00::/64"), node("n2", "10.244.1.0/24"), node("n3")]
    there = [Route("n1", "10.244.0.0/24")]
    assert decided(nodes, there) == ([], [("n1", "fd00::/64"), ("n2", "10.244.1.0/24")])


def test_only_stale_routes_in_the_cluster_s_ranges_go():
    nodes = [node("n1", "10.244.0.0/24")]
    there = [
        Route("n1", "10.244.0.0/24"),
        Route("n1", "10.244.9.0/24"),
        Route("gone", "10.244.1.0/24"),
        Route("", "10.244.2.0/24"),
        Route("gone", "10.245.0.0/24"),
        Route("gone", "fd00::/64"),
        Route("gone", "nonsense"),
    ]
    stale = [("n1", "10.244.9.0/24"), ("gone", "10.244.1.0/24"), ("", "10.244.2.0/24")]
    assert decided(nodes, there) == (stale, [])
    assert decided(nodes, there, (*RANGE, "fd00::/48"))[0] == [*stale, ("gone", "fd00::/64")]


def test_a_route_that_leads_nowhere_is_made_anew():
    nodes = [node("n1", "10.244.0.0/24")]
    there = [Route("n1", "10.244.0.0/24", blackhole=True)]
    assert decided(nodes, there) == ([("n1", "10.244.0.0/24")], [("n1", "10.244.0.0/24")])


def test_a_route_by_addresses_follows_them():
    nodes = [node("n1", "10.244.0.0/24", addresses=ADDRESS)]
    assert decided(nodes, [Route("n1", "10.244.0.0/24", addresses=ADDRESS)]) == ([], [])
    old = [Route("n1", "10.244.0.0/24", addresses=[{"type": "InternalIP", "address": "192.0.2.9"}])]
    assert decided(nodes, old) == ([("n1", "10.244.0.0/24")], [("n1", "10.244.0.0/24")])


async def condition(here, name):
    found = (await here.nodes.get(name))["status"].get("conditions") or []
    return next(((c["status"], c["reason"]) for c in found if c["type"] == "NetworkUnavailable"), None)


def noted(here, name, *wanted):
    async def so():
        return await condition(here, name) == wanted

    return here.until(so)


async def add_node(here, name, cidr):
    await here.nodes.create({**builders.node(name), "spec": {"podCIDR": cidr, "podCIDRs": [cidr]}})


async def test_nodes_say_whether_they_have_routes(here):
    routes = here.cloud.routes
    routes.refused.add("n2")
    await add_node(here, "n1", "10.244.0.0/24")
    async with here.manager(ROUTE, cluster_name="blue"):
        await noted(here, "n1", "False", "RouteCreated")
        await add_node(here, "n2", "10.244.1.0/24")
        await noted(here, "n2", "True", "NoRouteCreated")

        async def told():
            return [one for one in await here.events("n2") if one["reason"] == "FailedToCreateRoute"]

        (event, *_) = await here.until(told)
        assert event["message"].startswith("Could not create route ")
        assert event["message"].endswith(": the table is full")
        routes.refused.clear()
        await noted(here, "n2", "False", "RouteCreated")
        assert [(one.target, one.cidr) for one in routes.table] == [
            ("n1", "10.244.0.0/24"), ("n2", "10.244.1.0/24")
        ]  # fmt: skip
        uid = (await here.nodes.get("n1"))["metadata"]["uid"]
        assert routes.table[0].name == f"blue-{uid}"
        await here.nodes.delete("n1")

        async def gone():
            return [one.target for one in routes.table] == ["n2"]

        await here.until(gone)


async def test_routes_are_only_made_where_nodes_have_ranges_of_the_cluster(here):
    async with here.manager(allocate_node_cidrs=False) as manager:
        assert sorted(one.name for one in manager.controllers) == [
            "cloud-node-controller", "cloud-node-lifecycle-controller", "service-lb-controller",
        ]  # fmt: skip
