"""KubeSchedulerConfiguration: what it changes, and what it complains about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kybern.process.daemon import OperatorError
from kybern.scheduler.framework import Handle
from kybern.scheduler.profiles import LEASE, Configuration, Profile, build, load, parse
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
        ({"profiles": [{"percentageOfNodesToScore": 5}]}, "every node is always scored"),
        ({"profiles": [{"pluginConfig": [{"name": "Nope"}]}]}, "pluginConfig names unknown plugin Nope"),
        ({"profiles": [{"plugins": {"bind": {"disabled": [{"name": "*"}]}}}]}, "at least one bind plugin"),
        ({"leaderElection": {"leaseDuration": "soon"}}, '"soon" is not a duration'),
        ({"leaderElection": {"resourceLock": "endpoints"}}, "can only be leases"),
        ({"leaderElection": {"leaseTime": "1s"}}, "leaseTime is not supported"),
    ],
)
def test_mistakes_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OperatorError, match=message):
        build(parse({**HEAD, **change}), Handle())


FILE = """
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {kubeconfig: /etc/kubernetes/scheduler.conf}
leaderElection: {leaderElect: true, resourceName: mine, leaseDuration: 1m30s, retryPeriod: 500ms}
podInitialBackoffSeconds: 2
podMaxBackoffSeconds: 20
profiles:
- schedulerName: default-scheduler
- schedulerName: bare
  plugins:
    multiPoint:
      disabled: [{name: "*"}]
      enabled: [{name: PrioritySort}, {name: NodeName}, {name: DefaultBinder}]
"""


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "config").write_text(FILE)
    found = load(str(tmp_path / "config"))
    assert found.kubeconfig == "/etc/kubernetes/scheduler.conf"
    assert found.leader_elect is True
    assert found.lease == {"name": "mine", "namespace": "kube-system", "lease_duration": 90.0, "retry_period": 0.5}
    assert (found.initial_backoff, found.max_backoff) == (2, 20)
    made = build(found, Handle())
    assert list(made["bare"].plugins) == ["PrioritySort", "NodeName", "DefaultBinder"]
    assert made["bare"].scores == []
    assert len(made["default-scheduler"].plugins) == 12
    assert Configuration().lease == LEASE


@pytest.mark.parametrize("text", ["kind: [", "- a", ""])
def test_unreadable_files_are_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(OperatorError, match=str(tmp_path)):
        load(str(tmp_path / "config"))
    with pytest.raises(OperatorError, match="can't read --config"):
        load(str(tmp_path / "absent"))


async def test_disabled_filters_let_everything_through() -> None:
    taint = {"key": "k", "value": "v", "effect": "NoSchedule"}
    plugins = {"multiPoint": {"disabled": [{"name": "TaintToleration"}, {"name": "NodeResourcesFit"}]}}
    configuration = parse({**HEAD, "profiles": [{"plugins": plugins}]})
    world = World(node("a", cpu="1", taints=[taint]), configuration=configuration)
    assert world.choose(pod("p", requests={"cpu": "2"})) == "a"
