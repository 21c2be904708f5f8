"""What each default plugin lets through, prefers, and says."""

from __future__ import annotations

import pytest

from kybern.scheduler.evaluation import Unfit
from tests.unit.scheduler.builders import World, node, pod

TAINT = {"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}


def refusal(world: World, **spec: object) -> str:
    with pytest.raises(Unfit) as caught:
        world.choose(pod("p", **spec))  # type: ignore[arg-type]
    return str(caught.value)


def required(*terms: dict[str, object]) -> dict[str, object]:
    selector = {"nodeSelectorTerms": list(terms)}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": selector}}


def expression(key: str, operator: str, *values: str) -> dict[str, object]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


async def test_no_nodes() -> None:
    assert refusal(World()) == "no nodes available to schedule pods"


async def test_reasons_are_counted_and_sorted_as_upstream_does() -> None:
    busy = World(node("a", taints=[TAINT]), node("b", cpu="1"), node("c", cpu="1", memory="1Gi"))
    text = refusal(busy, requests={"cpu": "2", "memory": "2Gi"})
    assert text == (
        "0/3 nodes are available: 1 Insufficient memory, 1 node(s) had untolerated taint(s), 2 Insufficient cpu. "
        "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    )


async def test_full_node_says_that_no_victims_were_found() -> None:
    world = World(node("a", cpu="1"))
    world.choose(pod("first", requests={"cpu": "800m"}))
    assert refusal(world, requests={"cpu": "500m"}) == (
        "0/1 nodes are available: 1 Insufficient cpu. "
        "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )


async def test_preemption_is_not_mentioned_where_it_would_have_helped() -> None:
    world = World(node("a", cpu="1"))
    world.choose(pod("first", requests={"cpu": "800m"}))
    text = refusal(world, requests={"cpu": "500m"}, priority=10)
    assert text == "0/1 nodes are available: 1 Insufficient cpu."


async def test_cordoned_node_is_refused_unless_tolerated() -> None:
    world = World(node("a", unschedulable=True))
    assert "1 node(s) were unschedulable" in refusal(world)
    tolerations = [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}]
    assert world.choose(pod("p", tolerations=tolerations)) == "a"


@pytest.mark.parametrize(
    "toleration",
    [
        {"operator": "Exists"},
        {"key": "dedicated", "operator": "Exists"},
        {"key": "dedicated", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
        {"key": "dedicated", "value": "gpu"},
    ],
)
async def test_toleration_lets_the_pod_in(toleration: dict[str, str]) -> None:
    assert World(node("a", taints=[TAINT])).choose(pod("p", tolerations=[toleration])) == "a"


@pytest.mark.parametrize(
    "toleration",
    [
        {"key": "dedicated", "operator": "Equal", "value": "cpu"},
        {"key": "other", "operator": "Exists"},
        {"key": "dedicated", "operator": "Exists", "effect": "NoExecute"},
    ],
)
async def test_other_tolerations_do_not(toleration: dict[str, str]) -> None:
    assert "untolerated taint(s)" in refusal(World(node("a", taints=[TAINT])), tolerations=[toleration])


async def test_prefer_no_schedule_is_avoided_not_refused() -> None:
    soft = {"key": "k", "effect": "PreferNoSchedule"}
    world = World(node("a", taints=[soft], cpu="64", memory="64Gi"), node("b", cpu="2"))
    assert world.choose(pod("p")) == "b"
    assert World(node("a", taints=[soft])).choose(pod("p")) == "a"


async def test_node_selector() -> None:
    world = World(node("a"), node("b", labels={"disk": "ssd"}))
    assert world.choose(pod("p", nodeSelector={"disk": "ssd"})) == "b"
    assert "2 node(s) didn't match Pod's node affinity/selector" in refusal(world, nodeSelector={"disk": "hdd"})


@pytest.mark.parametrize(
    ("term", "fits"),
    [
        (expression("gen", "In", "3", "5"), ["b"]),
        (expression("gen", "NotIn", "3"), ["a", "c"]),
        (expression("gen", "Exists"), ["b", "c"]),
        (expression("gen", "DoesNotExist"), ["a"]),
        (expression("gen", "Gt", "3"), ["c"]),
        (expression("gen", "Lt", "7"), ["b"]),
        ({"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["a", "b"]}]}, ["c"]),
        ({}, []),
    ],
)
async def test_affinity_operators(term: dict[str, object], fits: list[str]) -> None:
    world = World(node("a"), node("b", labels={"gen": "3"}), node("c", labels={"gen": "7"}))
    evaluated: set[str] = set()
    try:
        for _ in range(3):
            chosen = world.choose(pod(f"p{len(evaluated)}", affinity=required(term), requests={"cpu": "3"}))
            evaluated.add(chosen)
    except Unfit:
        pass
    assert sorted(evaluated) == fits


async def test_terms_are_alternatives() -> None:
    world = World(node("a", labels={"zone": "1"}), node("b", labels={"zone": "2"}))
    affinity = required(expression("zone", "In", "9"), expression("zone", "In", "2"))
    assert world.choose(pod("p", affinity=affinity)) == "b"


async def test_pod_of_a_daemon_set_looks_at_its_node_only() -> None:
    world = World(node("a"), node("b", cpu="1"), node("c"))
    affinity = required({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]})
    assert world.choose(pod("p", affinity=affinity)) == "b"
    assert refusal(world, affinity=affinity, requests={"cpu": "2"}).startswith(
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )


async def test_preferred_affinity_outweighs_room() -> None:
    preferred = [{"weight": 100, "preference": expression("disk", "In", "ssd")}]
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    world = World(node("a", cpu="64", memory="64Gi"), node("b", labels={"disk": "ssd"}))
    assert world.choose(pod("p", affinity=affinity, requests={"cpu": "1"})) == "b"


async def test_host_ports_clash() -> None:
    world = World(node("a"), node("b"))
    assert {world.choose(pod("p1", host_port=80)), world.choose(pod("p2", host_port=80))} == {"a", "b"}
    assert "2 node(s) didn't have free ports for the requested pod ports" in refusal(world, host_port=80)
    world.cache.remove_pod("default/p1")
    assert world.choose(pod("p3", host_port=80)) in ("a", "b")


async def test_pods_go_where_most_is_free() -> None:
    world = World(node("a", cpu="4"), node("b", cpu="8", memory="16Gi"))
    assert world.choose(pod("p", requests={"cpu": "1", "memory": "1Gi"})) == "b"


async def test_too_many_pods_and_extended_resources() -> None:
    world = World(node("a", pods="1", example_com__gpu="1"))
    world.choose(pod("first", requests={"example_com/gpu": "1"}))
    text = refusal(world, requests={"example_com/gpu": "1"})
    assert text.startswith("0/1 nodes are available: 1 Insufficient example_com/gpu, 1 Too many pods.")


async def test_image_already_there_is_preferred() -> None:
    images = [{"names": ["registry.example/app:latest"], "sizeBytes": 900_000_000}]
    world = World(*(node(f"n{i}") for i in range(3)), node("has", images=images))
    assert world.choose(pod("p", image="registry.example/app")) == "has"


async def test_balance_decides_between_equally_free_nodes() -> None:
    world = World(node("a", cpu="10", memory="10Gi"), node("b", cpu="10", memory="10Gi"))
    world.cache.set_pod(pod("x", node_name="a", requests={"cpu": "5", "memory": "1Gi"}))
    world.cache.set_pod(pod("y", node_name="b", requests={"cpu": "1", "memory": "5Gi"}))
    assert world.choose(pod("p", requests={"cpu": "4", "memory": "100Mi"})) == "b"
