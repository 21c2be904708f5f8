"""Where a DaemonSet's pods run, what a pass starts and deletes, and its history."""

import pytest

from kybern.controllers import daemonset_nodes as nodes
from kybern.controllers import revisions
from kybern.controllers.daemonset import Backoff
from kybern.controllers.daemonset_nodes import Placement, Verdict
from kybern.controllers.daemonset_rolling import by_node, limits, new_status, roll, settle_node, stranded
from tests.unit.controllers.objects import ago, node, pod, template

RUN, STAY, NEVER = Verdict(True, True), Verdict(False, True), Verdict(False, False)


def daemon_set(*, unavailable=1, surge=0, wait=0, strategy="RollingUpdate", status=None, **spec):
    update = {"type": strategy}
    if strategy == "RollingUpdate":
        update["rollingUpdate"] = {"maxUnavailable": unavailable, "maxSurge": surge}
    body = template()
    body["spec"] |= spec
    return {
        "kind": "DaemonSet",
        "apiVersion": "apps/v1",
        "metadata": {"name": "d", "namespace": "default", "uid": "d", "generation": 3, "annotations": {}},
        "spec": {
            "selector": {"matchLabels": {"app": "web"}},
            "template": body,
            "updateStrategy": update,
            "minReadySeconds": wait,
        },
        "status": status or {},
    }


def daemon(name, on="n", hash="new", **given):
    made = pod(name, node=on, **given)
    made["metadata"]["labels"]["controller-revision-hash"] = hash
    return made


def names(found):
    return sorted(one["metadata"]["name"] for one in found)


def taint(key, effect="NoSchedule", value=""):
    return {"key": key, "effect": effect, "value": value}


@pytest.mark.parametrize(
    ("taints", "verdict"),
    [
        ([], RUN),
        ([taint("node.kubernetes.io/unschedulable")], RUN),
        ([taint("node.kubernetes.io/not-ready", "NoExecute"), taint("node.kubernetes.io/disk-pressure")], RUN),
        ([taint("x", "PreferNoSchedule")], RUN),
        ([taint("x")], STAY),
        ([taint("x", "NoExecute")], NEVER),
        ([taint("node.kubernetes.io/network-unavailable")], STAY),
    ],
)
def test_taints(taints, verdict):
    assert Placement(daemon_set()).on(node(taints=taints)) == verdict


def test_pods_on_the_hosts_network_need_no_network():
    broken = node(taints=[taint("node.kubernetes.io/network-unavailable")])
    assert Placement(daemon_set(hostNetwork=True)).on(broken) == RUN


def required(*terms):
    need = {"nodeSelectorTerms": list(terms)}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": need}}}


def expression(key, operator, *values):
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


@pytest.mark.parametrize(
    ("spec", "verdict"),
    [
        ({"nodeSelector": {"disk": "ssd"}}, RUN),
        ({"nodeSelector": {"disk": "hdd"}}, NEVER),
        ({"nodeName": "n"}, RUN),
        ({"nodeName": "m"}, NEVER),
        (required(expression("disk", "In", "ssd", "hdd")), RUN),
        (required(expression("disk", "NotIn", "ssd"), expression("cpus", "Gt", "4")), RUN),
        (required(expression("cpus", "Lt", "8")), NEVER),
        (required(), NEVER),
        (required({}), NEVER),
        (required({"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n"]}]}), NEVER),
        (required({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}), RUN),
    ],
)
def test_wishes(spec, verdict):
    assert Placement(daemon_set(**spec)).on(node(labels={"disk": "ssd", "cpus": "8"})) == verdict


def test_a_pod_is_pinned_to_its_node():
    wish = required(expression("disk", "In", "ssd"))
    wish["affinity"] |= {"podAntiAffinity": {"x": 1}}
    spec = nodes.pinned(wish, "n2")
    assert spec["affinity"]["podAntiAffinity"] == {"x": 1}
    assert nodes.node_of({"spec": spec}) == "n2"
    assert nodes.node_of({"spec": {**spec, "nodeName": "n3"}}) == "n3"
    assert nodes.node_of({"spec": wish}) == ""


def test_own_tolerations_stay_and_the_automatic_ones_win():
    key = "node.kubernetes.io/not-ready"
    own = [
        {"key": "x", "operator": "Exists"},
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
    ]
    found = nodes.tolerations({"tolerations": own})
    assert found[0] == own[0]
    assert found[1] == {"key": key, "operator": "Exists", "effect": "NoExecute"}
    assert len(found) == 7


def settle(owner, verdict, *present):
    return settle_node(owner, "n", verdict, present, "new")


def test_a_node_gets_a_pod_and_loses_those_it_should_not_have():
    assert settle(daemon_set(), RUN).start == ["n"]
    assert not settle(daemon_set(), STAY)
    assert not settle(daemon_set(), STAY, daemon("a"))
    assert names(settle(daemon_set(), NEVER, daemon("a"), daemon("b", going=True)).delete) == ["a"]
    assert not settle(daemon_set(), RUN, daemon("a", going=True))


def test_of_several_pods_the_oldest_bound_one_stays():
    present = daemon("a", on="", age=90), daemon("b", age=20), daemon("c", age=50)
    assert names(settle(daemon_set(), RUN, *present).delete) == ["a", "b"]


def test_finished_pods_are_told_apart():
    plan = settle(daemon_set(), RUN, daemon("a", phase="Failed"), daemon("b", phase="Succeeded"))
    assert names(plan.finished) == ["a", "b"]
    assert not plan


@pytest.mark.parametrize(
    ("old_ready", "new_ready", "deleted"),
    [(True, False, []), (True, True, ["old"]), (False, False, ["old"]), (False, True, ["old"])],
)
def test_while_surging_the_old_pod_goes_when_it_is_no_longer_needed(old_ready, new_ready, deleted):
    owner = daemon_set(surge=1, unavailable=0)
    present = daemon("old", hash="old", ready=old_ready), daemon("new", ready=new_ready)
    assert names(settle(owner, RUN, *present).delete) == deleted


def test_while_surging_a_pod_that_goes_is_replaced_at_once():
    assert settle(daemon_set(surge=1, unavailable=0), RUN, daemon("a", going=True)).start == ["n"]


@pytest.mark.parametrize(
    ("surge", "unavailable", "desired", "expected"),
    [(0, 1, 10, (0, 1)), ("15%", 0, 10, (2, 0)), (0, "15%", 10, (0, 2)), (0, "0%", 10, (0, 1)), (0, 0, 0, (0, 0))],
)
def test_limits(surge, unavailable, desired, expected):
    assert limits(daemon_set(surge=surge, unavailable=unavailable), desired) == expected


def placed(**by):
    """Pods by node."""
    return {on: [daemon(f"{on}-{at}", on, **given) for at, given in enumerate(found)] for on, found in by.items()}


OLD, NEW = {"hash": "old"}, {"hash": "new"}
SICK = {"ready": False}


def rolled(owner, found, verdicts=None):
    return roll(owner, verdicts or dict.fromkeys(found, RUN), found, "new")


def test_no_more_old_pods_are_deleted_than_may_be_missing():
    found = placed(a=[OLD], b=[OLD], c=[OLD])
    assert len(rolled(daemon_set(), found).delete) == 1
    assert len(rolled(daemon_set(unavailable="50%"), found).delete) == 2
    found["a"] = [daemon("a", "a", ready=False)]
    assert not rolled(daemon_set(), found)


def test_nodes_without_a_pod_count_as_missing():
    found = placed(a=[OLD], b=[OLD])
    assert not rolled(daemon_set(), found, dict.fromkeys("abc", RUN))
    assert not rolled(daemon_set(), placed(a=[OLD], b=[OLD, NEW]))


def test_old_pods_that_do_not_work_go_first():
    found = placed(a=[OLD], b=[OLD | SICK], c=[OLD | SICK])
    assert names(rolled(daemon_set(), found).delete) == ["b-0", "c-0"]
    assert names(rolled(daemon_set(unavailable=3), found).delete) == ["a-0", "b-0", "c-0"]


def test_a_pod_is_available_only_after_a_while():
    found = placed(a=[OLD], b=[{"ready_for": 5}])
    assert not rolled(daemon_set(wait=10), found)
    assert names(rolled(daemon_set(wait=5), found).delete) == ["a-0"]


def test_surging_starts_new_pods_beside_the_old():
    owner = daemon_set(surge=1, unavailable=0)
    assert rolled(owner, placed(a=[OLD], b=[OLD])).start in (["a"], ["b"])
    assert not rolled(owner, placed(a=[OLD, SICK], b=[OLD]))
    plan = rolled(owner, placed(a=[OLD, NEW], b=[OLD]))
    assert (names(plan.delete), plan.start) == (["a-0"], ["b"])
    assert sorted(rolled(owner, placed(a=[OLD | SICK], b=[OLD | SICK], c=[OLD])).start) == ["a", "b", "c"]


def test_pods_on_nodes_out_of_favour_serve_until_others_do():
    owner = daemon_set(surge=1, unavailable=0)
    verdicts = {"a": STAY, "b": RUN}
    assert not rolled(owner, placed(a=[OLD], b=[SICK]), verdicts).delete
    assert names(rolled(owner, placed(a=[OLD], b=[NEW]), verdicts).delete) == ["a-0"]
    assert names(rolled(owner, placed(a=[OLD | SICK], b=[SICK]), verdicts).delete) == ["a-0"]


def test_pods_for_nodes_that_are_gone():
    lost = daemon("lost", "")
    lost["spec"] = nodes.pinned(lost["spec"], "gone")
    found = by_node([lost, daemon("bound", "gone2"), daemon("a", "a")])
    assert names(stranded(["a"], found)) == ["lost"]


def test_pods_that_finished_and_go_do_not_count():
    going = daemon("a", "a", phase="Failed", going=True)
    assert by_node([going, daemon("b", "b")]).keys() == {"b"}


def test_status():
    verdicts = {"a": RUN, "b": RUN, "c": RUN, "d": NEVER, "e": STAY, "f": RUN}
    found = placed(a=[NEW], b=[OLD], c=[SICK], d=[OLD])
    owner = daemon_set(status={"collisionCount": 2, "observedGeneration": 2})
    assert new_status(owner, verdicts, found, "new", observed=True) == {
        "collisionCount": 2,
        "currentNumberScheduled": 3,
        "desiredNumberScheduled": 4,
        "numberMisscheduled": 1,
        "numberReady": 2,
        "observedGeneration": 3,
        "updatedNumberScheduled": 2,
        "numberAvailable": 2,
        "numberUnavailable": 2,
    }
    assert new_status(owner, verdicts, found, "new", observed=False)["observedGeneration"] == 2


def test_failing_pods_are_left_alone_for_longer_and_longer(now):
    backoff = Backoff()
    assert backoff.next("k") == 0
    assert backoff.next("k") == 1
    assert backoff.next("other") == 0
    now[0] += 1
    assert backoff.next("k") == 0
    now[0] += 1.5
    assert backoff.next("k") == 0.5
    now[0] += 2000
    assert backoff.next("k") == 0
    assert backoff.next("k") == 1


def revision(name, number, age=0):
    return {"metadata": {"name": name, "creationTimestamp": ago(age)}, "revision": number}


def test_old_revisions_without_pods_are_forgotten_beyond_the_limit():
    old = [revision("c", 3), revision("a", 1), revision("b", 2)]
    assert names(revisions.to_forget(old, 2, [])) == ["a"]
    assert names(revisions.to_forget(old, 1, ["a"])) == ["b", "c"]
    assert not revisions.to_forget(old, 3, [])
    assert revisions.next_number(old) == 4


def test_a_revision_is_a_patch_that_brings_the_template_back():
    owner = daemon_set()
    data = revisions.snapshot(owner)
    assert data["spec"]["template"]["$patch"] == "replace"
    assert list(data["spec"]["template"]) == sorted(data["spec"]["template"])
    made = revisions.make(owner, data, 4, revisions.POD_LABEL)
    suffix = made["metadata"]["labels"]["controller-revision-hash"]
    assert made["metadata"]["name"] == f"d-{suffix}"
    owner["status"]["collisionCount"] = 1
    other = revisions.make(owner, data, 4, revisions.POD_LABEL)
    assert other["metadata"]["name"] != made["metadata"]["name"]
