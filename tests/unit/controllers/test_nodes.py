"""Judging nodes, and what their taints do to pods."""

import pytest

from kybern.api.errors import Conflict
from kybern.controllers import conditions, node_health, taint_eviction
from kybern.controllers.node_health import NOT_READY, UNREACHABLE, Seen, Zone
from kybern.process.clock import clock
from tests.unit.controllers.objects import NOW, ago, node, pod


def lease(renewed):
    return {"spec": {"renewTime": renewed}}


def test_any_sign_of_life_counts_from_when_it_is_seen():
    seen = node_health.observe(None, node(), lease("a"), 100.0)
    assert seen == Seen(100.0, ago(5), "a")
    assert node_health.observe(seen, node(), lease("a"), 200.0) is seen
    assert node_health.observe(seen, node(), lease("b"), 200.0).at == 200.0
    later = node()
    later["status"]["conditions"][0]["lastHeartbeatTime"] = ago(1)
    assert node_health.observe(seen, later, lease("a"), 200.0).at == 200.0


def test_who_never_said_anything_counts_from_its_creation():
    assert node_health.observe(None, node(ready=None), None, NOW).at == NOW - 500
    assert node_health.observe(None, node(ready=None), lease("a"), NOW).at == NOW


def test_of_a_silent_node_all_the_kubelet_reports_is_unknown():
    silent = node(NetworkUnavailable="False", MemoryPressure="False", PIDPressure="Unknown")
    status = node_health.status_of_silent(silent)
    assert [one["type"] for one in status["conditions"]] == [
        "Ready", "NetworkUnavailable", "MemoryPressure", "PIDPressure", "DiskPressure",
    ]  # fmt: skip
    ready, disk = conditions.find(status, "Ready"), conditions.find(status, "DiskPressure")
    assert ready == {
        "type": "Ready",
        "status": "Unknown",
        "reason": "NodeStatusUnknown",
        "message": "Kubelet stopped posting node status.",
        "lastHeartbeatTime": ago(5),
        "lastTransitionTime": ago(0),
    }
    assert disk == {
        "type": "DiskPressure",
        "status": "Unknown",
        "reason": "NodeStatusNeverUpdated",
        "message": "Kubelet never posted node status.",
        "lastHeartbeatTime": ago(500),
        "lastTransitionTime": ago(0),
    }
    for type in ("NetworkUnavailable", "PIDPressure"):
        assert conditions.find(status, type) == conditions.find(silent["status"], type)
    assert node_health.status_of_silent({**silent, "status": status}) == status


def keys(taints, effect="NoSchedule"):
    return [taint["key"].removeprefix("node.kubernetes.io/") for taint in taints if taint["effect"] == effect]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (node(), []),
        (node(ready="False"), ["not-ready"]),
        (node(ready="Unknown"), ["unreachable"]),
        (node(ready=None), []),
        (node(MemoryPressure="True", DiskPressure="True"), ["memory-pressure", "disk-pressure"]),
        (node(PIDPressure="True", NetworkUnavailable="True"), ["pid-pressure", "network-unavailable"]),
        (node(MemoryPressure="Unknown", DiskPressure="False"), []),
    ],
)
def test_conditions_become_taints(made, expected):
    assert keys(node_health.no_schedule_taints(made)) == expected


def test_taints_of_others_are_left_alone_and_outdated_ones_go():
    held = [
        {"key": "node.kubernetes.io/memory-pressure", "effect": "NoSchedule"},
        {"key": NOT_READY, "effect": "NoExecute"},
        {"key": "mine", "effect": "NoSchedule"},
        {"key": NOT_READY, "effect": "NoSchedule", "timeAdded": ago(9)},
    ]
    made = node(ready="False", taints=held)
    made["spec"]["unschedulable"] = True
    added = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": ago(0)}
    assert node_health.no_schedule_taints(made) == [*held[1:], added]
    again = node(ready="False", taints=held[1:])
    assert node_health.no_schedule_taints(again) == held[1:]


def test_the_taint_that_evicts_follows_readiness():
    mine = {"key": "mine", "effect": "NoExecute"}
    first = node_health.no_execute_taints(node(taints=[mine]), UNREACHABLE)
    assert first == [mine, {"key": UNREACHABLE, "effect": "NoExecute", "timeAdded": ago(0)}]
    assert node_health.no_execute_taints(node(taints=first), UNREACHABLE) == first
    assert keys(node_health.no_execute_taints(node(taints=first), NOT_READY), "NoExecute") == ["mine", "not-ready"]
    assert node_health.no_execute_taints(node(taints=first), None) == [mine]
    assert node_health.is_evicting(node(taints=first))
    assert not node_health.is_evicting(node(taints=[mine]))


@pytest.mark.parametrize(
    ("ready", "unready", "rate"),
    [
        (10, 0, 0.1),
        (8, 2, 0.1),
        (1, 2, 0.1),  # two unready nodes are no pattern yet
        (45, 54, 0.1),  # below the threshold of 55%
        (45, 55, 0.01),
        (22, 28, 0.0),  # a small cluster stops
        (23, 28, 0.1),
        (21, 30, 0.01),  # one node more than small
        (0, 3, 0.1),  # nothing left to protect in this zone
        (0, 60, 0.1),
    ],
)
def test_how_fast_a_zone_is_evicted(ready, unready, rate):
    zone = Zone(ready=ready, unready=unready)
    assert node_health.eviction_rate(zone, normal=0.1, secondary=0.01, threshold=0.55, large=50) == rate
    assert zone.fully_disrupted == (ready == 0)


def test_zones_are_told_apart_by_region_and_zone():
    labels = {"topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": "z"}
    names = {node_health.zone_of(node(labels=one)) for one in (labels, {}, dict(list(labels.items())[:1]))}
    assert len(names) == 3


def test_old_labels_say_what_new_ones_say():
    labels = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64", "beta.kubernetes.io/os": "linux"}
    assert node_health.missing_labels(node(labels=labels)) == {"beta.kubernetes.io/arch": "amd64"}
    assert node_health.missing_labels(node(labels={"beta.kubernetes.io/os": "linux"})) == {}
    wrong = {"kubernetes.io/os": "linux", "beta.kubernetes.io/os": "other"}
    assert node_health.missing_labels(node(labels=wrong)) == {"beta.kubernetes.io/os": "linux"}


A, B = ({"key": key, "value": "v", "effect": "NoExecute"} for key in ("a", "b"))


def tolerating(key=None, seconds=None, **fields):
    made = {"operator": "Exists", **({"key": key} if key else {}), **fields}
    return {**made, "tolerationSeconds": seconds} if seconds is not None else made


@pytest.mark.parametrize(
    ("tolerations", "taints", "seconds"),
    [
        ([], [], None),
        ([], [A], 0.0),
        ([tolerating("a")], [A], None),
        ([tolerating("a", 30)], [A], 30.0),
        ([tolerating("a", 30), tolerating("b", 10)], [A, B], 10.0),
        ([tolerating("a", 30), tolerating("b")], [A, B], 30.0),
        ([tolerating("a", 30)], [A, B], 0.0),  # one taint not tolerated is enough
        ([tolerating("a", 0)], [A], 0.0),
        ([tolerating("a", -5)], [A], 0.0),
        ([tolerating("a"), tolerating(None, 5)], [A], None),  # the first that matches counts
        ([tolerating(None, 5), tolerating("a")], [A], 5.0),
        ([tolerating(None, 5)], [A, B], 5.0),
        ([tolerating("a", effect="NoSchedule")], [A], 0.0),
        ([tolerating("a", effect="NoExecute")], [A], None),
    ],
)
def test_how_long_a_pod_may_stay(tolerations, taints, seconds):
    assert taint_eviction.tolerated_for(pod(tolerations=tolerations), taints) == seconds


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        ({"key": "a", "value": "v"}, True),
        ({"key": "a", "operator": "Equal", "value": "v"}, True),
        ({"key": "a", "value": "w"}, False),
        ({"key": "a"}, False),
        ({"key": "b", "operator": "Exists"}, False),
        ({"operator": "Exists"}, True),
        ({"value": "v"}, False),
    ],
)
def test_matching(toleration, expected):
    assert taint_eviction.matches(toleration, A) is expected


def test_only_no_execute_evicts():
    made = node(taints=[A, {"key": "c", "effect": "NoSchedule"}, {"key": "d", "effect": "PreferNoSchedule"}])
    assert taint_eviction.evicting(made) == [A]
    assert taint_eviction.evicting(None) == taint_eviction.evicting(node()) == []


async def test_an_eviction_that_fails_is_not_put_off_by_the_whole_toleration(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(clock, "now_fn", lambda: now[0])
    tolerations = [{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]
    evicted = pod(tolerations=tolerations)
    answers = [Conflict("not now"), None]

    class Pods:
        async def patch(self, *args, **options):
            if error := answers.pop(0):
                raise error

        async def delete(self, *args, **options):
            pass

    class Silent:
        def event(self, *args):
            pass

    controller = object.__new__(taint_eviction.TaintEvictionController)
    controller.pods, controller.nodes, controller._since = {"default/p": evicted}, {"n": node(taints=[A])}, {}
    controller._pods, controller._recorder = Pods(), Silent()
    assert await controller.reconcile("default/p") == 300
    now[0] += 301
    with pytest.raises(Conflict):
        await controller.reconcile("default/p")
    assert await controller.reconcile("default/p") is None
    assert not answers
