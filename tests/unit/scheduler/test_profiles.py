"""KubeSchedulerConfiguration: what it changes, and what it complains about."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.process.daemon import OperatorError
from kybern.scheduler.framework import Handle
from kybern.scheduler.profiles import Profile, build, parse
from tests.unit.scheduler.builders import World, node, pod

HEAD = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}


def profiles(*entries: dict[str, Any]) -> dict[str, Profile]:
    return build(parse({**HEAD, "profiles": list(entries)}), Handle())


def test_default_profile_has_upstreams_weights() -> None:
    weights = {type(plugin).__name__: weight for plugin, weight in profiles({})["default-scheduler"].scores}
    assert weights == {
        "TaintToleration": 3, "NodeAffinity": 2, "NodeResourcesFit": 1, "NodeResourcesBalancedAllocation": 1,
        "ImageLocality": 1,
    }  # fmt: skip


def test_plugins_can_be_disabled_and_weighed() -> None:
    plugins = {"score": {"disabled": [{"name": "ImageLocality"}], "enabled": [{"name": "NodeAffinity", "weight": 7}]}}
    found = profiles({"schedulerName": "mine", "plugins": plugins})["mine"]
    weights = {type(plugin).__name__: weight for plugin, weight in found.scores}
    assert "ImageLocality" not in weights and weights["NodeAffinity"] == 7


async def test_most_allocated_packs() -> None:
    args = {"scoringStrategy": {"type": "MostAllocated"}}
    entry = {"pluginConfig": [{"name": "NodeResourcesFit", "args": args}]}
    world = World(node("a"), node("b"), configuration=parse({**HEAD, "profiles": [entry]}))
    first = world.choose(pod("p0", requests={"cpu": "500m", "memory": "1Gi"}))
    assert {world.choose(pod(f"p{i}", requests={"cpu": "500m", "memory": "1Gi"})) for i in range(1, 4)} == {first}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "Other"}, "expected apiVersion"),
        ({"extenders": []}, "extenders is not supported"),
        ({"percentageOfNodesToScore": 50}, "every node is always scored"),
        ({"profiles": [{"plugins": {"score": {"enabled": [{"name": "Nope"}]}}}]}, "unknown plugin Nope"),
        ({"profiles": [{"plugins": {"filter": {"enabled": [{"name": "ImageLocality"}]}}}]}, "does not implement"),
        ({"profiles": [{"plugins": {"queueSort": {"disabled": [{"name": "*"}]}}}]}, "exactly one queueSort"),
        ({"profiles": [{}, {}]}, "configured twice"),
    ],
)
def test_mistakes_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OperatorError, match=message):
        build(parse({**HEAD, **change}), Handle())
