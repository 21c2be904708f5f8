"""What each change that the API tells of does to the queue and the node table."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kybern.api.types import Object
from kybern.scheduler.evaluation import Unfit
from kybern.scheduler.report import condition_of
from tests.unit.scheduler.builders import World, node, pod

TAINT = {"key": "k", "value": "v", "effect": "NoSchedule"}


def changed(obj: Object, **spec: Any) -> Object:
    """A copy with other spec fields; None takes one away."""
    new = copy.deepcopy(obj)
    new["spec"].update(spec)
    new["spec"] = {name: value for name, value in new["spec"].items() if value is not None}
    return new


async def test_pod_bound_elsewhere_leaves_the_queue_and_counts() -> None:
    world = World(node("n1", cpu="1"))
    waiting = pod("p", requests={"cpu": "1"})
    world.wait(waiting)
    world.feed.pod_changed(waiting, changed(waiting, nodeName="n1"))
    assert world.place_of("p") == ""
    with pytest.raises(Unfit, match="Insufficient cpu"):
        world.choose(pod("q", requests={"cpu": "1"}))


async def test_pod_counts_where_the_api_says_not_where_it_was_assumed() -> None:
    world = World(node("n1", cpu="1"))
    waiting = pod("p", requests={"cpu": "1"})
    assert world.choose(waiting) == "n1"
    world.feed.node_changed(None, node("n2", cpu="1"))
    world.feed.pod_changed(waiting, changed(waiting, nodeName="n2"))
    assert world.choose(pod("q", requests={"cpu": "1"})) == "n1"
    with pytest.raises(Unfit):
        world.choose(pod("r", requests={"cpu": "1"}))


WAITERS = {
    "cpu": ({"requests": {"cpu": "6"}}, "NodeResourcesFit"),
    "taint": ({}, "TaintToleration"),
    "cordon": ({}, "NodeUnschedulable"),
    "label": ({"nodeSelector": {"disk": "ssd"}}, "NodeAffinity"),
    "port": ({"host_port": 80}, "NodePorts"),
}


@pytest.mark.parametrize(
    ("before", "after", "woken"),
    [
        (None, node("new", cpu="8"), {"cpu", "taint", "cordon", "label", "port"}),
        (None, node("new", cpu="1", taints=[TAINT]), {"cordon", "label", "port"}),
        (node("n"), node("n", cpu="8"), {"cpu"}),
        (node("n"), node("n", cpu="5"), set()),
        (node("n", taints=[TAINT]), node("n"), {"taint", "cordon"}),
        (node("n"), node("n", labels={"disk": "ssd"}), {"label"}),
        (node("n", unschedulable=True), node("n"), {"taint", "cordon"}),
        (node("n"), {**node("n"), "status": {**node("n")["status"], "conditions": [{"type": "Ready"}]}}, set()),
        (node("n"), None, set()),
    ],
)
async def test_node_changes_wake_those_they_may_help(
    before: Object | None, after: Object | None, woken: set[str]
) -> None:
    world = World()
    if before:
        world.feed.node_changed(None, before)
    for name, (needs, plugin) in WAITERS.items():
        world.wait(pod(name, **needs), plugin)  # type: ignore[arg-type]
    world.feed.node_changed(before, after)
    assert {name for name in WAITERS if world.place_of(name) != "UNSCHEDULABLE"} == woken


@pytest.mark.parametrize(
    ("before", "after", "woken"),
    [
        (pod("x", node_name="n"), None, {"cpu"}),
        (pod("x", node_name="n", host_port=80), None, {"cpu", "port"}),
        (pod("x", node_name="n", host_port=81), None, {"cpu"}),
        (pod("x", node_name="n", requests={"cpu": "2"}), pod("x", node_name="n", requests={"cpu": "1"}), {"cpu"}),
        (pod("x", node_name="n", requests={"cpu": "1"}), pod("x", node_name="n", requests={"cpu": "2"}), set()),
        (pod("x"), pod("x", node_name="n"), set()),
    ],
)
async def test_assigned_pods_that_go_or_shrink_wake_those_they_may_help(
    before: Object, after: Object | None, woken: set[str]
) -> None:
    world = World(node("n"))
    if before["spec"].get("nodeName"):
        world.feed.pod_changed(None, before)
    for name, (needs, plugin) in WAITERS.items():
        world.wait(pod(name, **needs), plugin)  # type: ignore[arg-type]
    world.feed.pod_changed(before, after)
    assert {name for name in WAITERS if world.place_of(name) != "UNSCHEDULABLE"} == woken


async def test_removed_node_is_no_longer_chosen() -> None:
    world = World(node("n1"))
    world.feed.node_changed(node("n1"), None)
    with pytest.raises(Unfit, match="no nodes available to schedule pods"):
        world.choose(pod("p"))


async def test_the_condition_that_the_scheduler_wrote_wakes_nobody() -> None:
    world, waiting = World(node("n1", taints=[TAINT])), pod("p")
    world.wait(waiting, "TaintToleration")
    said = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    written = {**waiting, "status": {"conditions": [said]}}
    world.feed.pod_changed(waiting, written)
    assert world.place_of("p") == "UNSCHEDULABLE"
    queued = world.queue.get("default/p")
    assert queued and condition_of(queued.pod.obj) == said, "the next report builds on what is written"
    world.feed.pod_changed(written, changed(written, tolerations=[{"operator": "Exists"}]))
    assert world.place_of("p") != "UNSCHEDULABLE"


async def test_gates_keep_a_pod_out_until_the_last_is_gone() -> None:
    world = World(node("n1"))
    two, one = pod("p", schedulingGates=[{"name": "a"}, {"name": "b"}]), pod("p", schedulingGates=[{"name": "a"}])
    world.wait(two)
    assert world.place_of("p") == "GATED"
    world.feed.node_changed(None, node("n2"))
    world.feed.pod_changed(two, one)
    assert world.place_of("p") == "GATED"
    world.feed.pod_changed(one, changed(one, schedulingGates=None))
    assert world.place_of("p") == "ACTIVE"


async def test_another_pod_of_the_same_name_starts_anew() -> None:
    """As an informer tells it that had to list again and missed the deletion."""
    world, first = World(node("n1", cpu="1")), pod("p", requests={"cpu": "1"})
    world.wait(first)
    assert world.choose(first) == "n1"
    world.queue.remove("default/p")
    second = pod("p", requests={"cpu": "500m"})
    second["metadata"]["uid"] = "another"
    world.feed.pod_changed(first, second)
    queued = world.queue.get("default/p")
    assert queued and queued.pod.uid == "another"
    assert world.choose(pod("q", requests={"cpu": "1"})) == "n1", "the first pod's place is free again"


async def test_old_news_of_a_bound_pod_does_not_queue_it_again() -> None:
    world, waiting = World(node("n1")), pod("p")
    world.wait(waiting)
    world.choose(waiting)
    world.queue.remove("default/p")
    world.feed.pod_changed(waiting, {**waiting, "status": {"phase": "Pending", "qosClass": "BestEffort"}})
    assert world.place_of("p") == ""


async def test_pod_that_is_being_deleted_is_not_scheduled() -> None:
    world, waiting = World(node("n1")), pod("p")
    world.wait(waiting)
    going = copy.deepcopy(waiting)
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world.feed.pod_changed(waiting, going)
    assert world.place_of("p") == ""
