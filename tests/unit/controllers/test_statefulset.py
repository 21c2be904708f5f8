"""A StatefulSet's pods and claims, and the order in which they come, go and change."""

import pytest

from kybern.controllers import revisions
from kybern.controllers import statefulset_identity as identity
from kybern.controllers.statefulset_rolling import max_unavailable, new_status, plan, uses_current
from tests.unit.controllers.objects import pod, template


def stateful_set(replicas=3, *, start=0, parallel=False, strategy="RollingUpdate", rolling=None, policy=None, wait=0,
                 status=None, **spec):  # fmt: skip
    update = {"type": strategy}
    if strategy == "RollingUpdate":
        update["rollingUpdate"] = {"partition": 0, "maxUnavailable": 1, **(rolling or {})}
    deleted, scaled = policy or ("Retain", "Retain")
    return {
        "kind": "StatefulSet",
        "apiVersion": "apps/v1",
        "metadata": {"name": "web", "namespace": "default", "uid": "set", "generation": 2},
        "spec": {
            "replicas": replicas,
            "ordinals": {"start": start},
            "podManagementPolicy": "Parallel" if parallel else "OrderedReady",
            "selector": {"matchLabels": {"app": "web"}},
            "template": template(),
            "updateStrategy": update,
            "minReadySeconds": wait,
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": deleted, "whenScaled": scaled},
            **spec,
        },
        "status": status or {},
    }


def member(number, revision="new", **given):
    made = pod(f"web-{number}", **given)
    made["metadata"]["labels"]["controller-revision-hash"] = revision
    return made


def names(found):
    return [one["metadata"]["name"] for one in found]


def steps(owner, *found):
    made = plan(owner, found, "new")
    return made.create, names(made.delete)


SICK = {"ready": False}


@pytest.mark.parametrize(
    ("found", "create", "delete"),
    [
        ([], [0], []),
        ([member(0)], [1], []),
        ([member(0, **SICK)], [], []),
        ([member(0, going=True)], [], []),
        ([member(0), member(2)], [1], []),
        ([member(0), member(1, phase="Failed"), member(2)], [], ["web-1"]),
        ([member(0), member(1, phase="Succeeded", going=True)], [], []),
        ([member(0, ready_for=5)], [], []),
        ([member(n) for n in range(3)], [], []),
    ],
)
def test_in_order_one_pod_waits_for_the_one_before(found, create, delete):
    assert steps(stateful_set(wait=10), *found) == (create, delete)


@pytest.mark.parametrize(
    ("found", "delete"),
    [
        ([member(0), member(1), member(2)], ["web-2"]),
        ([member(0), member(1), member(2, going=True)], []),
        ([member(0), member(1), member(2, **SICK)], ["web-2"]),
        ([member(0), member(1, **SICK), member(2, **SICK)], []),
        ([member(0), member(1, **SICK), member(2)], ["web-2"]),
        ([member(0, **SICK), member(1), member(2)], []),
        ([member(0), member(12), member(3)], ["web-12"]),
    ],
)
def test_in_order_the_last_pod_goes_first(found, delete):
    assert steps(stateful_set(1), *found) == ([], delete)


def test_in_parallel_all_come_and_go_together():
    owner = stateful_set(3, parallel=True)
    assert steps(owner) == ([0, 1, 2], [])
    assert steps(owner, member(1, phase="Failed"), member(3), member(4, **SICK)) == (
        [0, 2],
        ["web-1", "web-4", "web-3"],
    )
    assert steps(owner, member(3, going=True))[1] == []


def test_ordinals_may_start_anywhere():
    owner = stateful_set(2, start=5)
    assert steps(owner, member(5)) == ([6], [])
    assert steps(owner, member(5), member(6), member(0)) == ([], ["web-0"])
    assert not identity.in_range(owner, member(7))
    assert identity.ordinal(owner, pod("other-5")) == -1
    assert identity.ordinal(owner, pod("web-x")) == -1


def outdated(*numbers, **given):
    return [member(number, "old", **given) for number in numbers]


@pytest.mark.parametrize(
    ("rolling", "parallel", "found", "delete"),
    [
        ({}, False, outdated(0, 1, 2), ["web-2"]),
        ({}, False, [*outdated(0, 1), member(2)], ["web-1"]),
        ({}, False, [*outdated(0, 1), member(2, **SICK)], []),
        ({"maxUnavailable": 2}, False, outdated(0, 1, 2), ["web-2", "web-1"]),
        ({"maxUnavailable": "70%"}, False, outdated(0, 1, 2), ["web-2", "web-1"]),
        ({"partition": 2}, False, outdated(0, 1, 2), ["web-2"]),
        ({"partition": 2}, False, [*outdated(0, 1), member(2)], []),
        ({"partition": 9}, False, outdated(0, 1, 2), []),
        ({}, True, [*outdated(0, 2), *outdated(1, **SICK)], ["web-1"]),
        ({"maxUnavailable": 2}, True, [*outdated(0, 2), *outdated(1, **SICK)], ["web-1", "web-2"]),
        ({"maxUnavailable": 2}, True, [member(0, going=True), *outdated(1, 2)], ["web-2"]),
    ],
)
def test_updates_go_from_the_last_to_the_first(rolling, parallel, found, delete):
    owner = stateful_set(rolling=rolling, parallel=parallel)
    assert steps(owner, *found) == ([], delete)


def test_on_delete_nobody_is_replaced():
    assert steps(stateful_set(strategy="OnDelete"), *outdated(0, 1, 2)) == ([], [])


def test_pods_that_live_are_tended():
    owner = stateful_set()
    made = plan(owner, [member(0), member(1, phase="Pending", ready=False)], "new")
    assert (names(made.tend), names(made.provide)) == (["web-0"], ["web-1"])
    made = plan(owner, [member(n) for n in range(5)], "new")
    assert names(made.retain) == ["web-4", "web-3"]


def test_the_room_is_never_nothing():
    assert max_unavailable(stateful_set(rolling={"maxUnavailable": "10%"})) == 1
    assert max_unavailable(stateful_set(10, rolling={"maxUnavailable": "25%"})) == 2


def test_below_the_partition_pods_are_remade_as_they_were():
    owner = stateful_set(start=5, rolling={"partition": 1})
    assert [uses_current(owner, number) for number in (5, 6)] == [True, False]
    assert not uses_current(stateful_set(strategy="OnDelete"), 0)
    owner = stateful_set(status={"currentReplicas": 1})
    owner["spec"]["updateStrategy"].pop("rollingUpdate")
    assert [uses_current(owner, number) for number in (0, 1)] == [True, False]


def test_status():
    found = [*outdated(0, 1), member(2, **SICK), member(3, going=True), member(4, ready_for=5)]
    assert new_status(stateful_set(5, wait=10), found, "old", "new") == {
        "observedGeneration": 2,
        "replicas": 5,
        "readyReplicas": 4,
        "currentReplicas": 2,
        "updatedReplicas": 2,
        "availableReplicas": 3,
        "currentRevision": "old",
        "updateRevision": "new",
        "collisionCount": 0,
    }


def test_the_new_revision_is_current_once_all_pods_are_of_it():
    done = new_status(stateful_set(2), [member(0), member(1)], "old", "new")
    assert (done["currentRevision"], done["currentReplicas"]) == ("new", 2)
    kept = new_status(stateful_set(2, strategy="OnDelete"), [member(0), member(1)], "old", "new")
    assert (kept["currentRevision"], "currentReplicas" in kept) == ("old", False)


CLAIM = {"metadata": {"name": "data", "labels": {"a": "b"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}


def test_a_pod_knows_who_it_is():
    owner = stateful_set(serviceName="svc", volumeClaimTemplates=[CLAIM])
    own = template()
    own["spec"]["volumes"] = [{"name": "data", "emptyDir": {}}, {"name": "tmp", "emptyDir": {}}]
    made = identity.new_pod(owner, own, "web-abc", 3)
    assert made["metadata"]["name"] == "web-3"
    assert made["metadata"]["labels"] == {
        "app": "web",
        "controller-revision-hash": "web-abc",
        "statefulset.kubernetes.io/pod-name": "web-3",
        "apps.kubernetes.io/pod-index": "3",
    }
    assert (made["spec"]["hostname"], made["spec"]["subdomain"]) == ("web-3", "svc")
    claimed = {"name": "data", "persistentVolumeClaim": {"claimName": "data-web-3"}}
    assert made["spec"]["volumes"] == [claimed, {"name": "tmp", "emptyDir": {}}]
    assert identity.conforms(owner, made)
    strange = {**made, "metadata": {**made["metadata"], "labels": {"app": "web"}}}
    assert not identity.conforms(owner, strange)
    assert identity.conforming(owner, strange)["metadata"]["labels"]["apps.kubernetes.io/pod-index"] == "3"
    bare = {**made, "spec": {**made["spec"], "volumes": []}}
    assert not identity.conforms(owner, bare)


def test_claims_carry_the_labels_that_are_selected():
    claim = identity.claims_of(stateful_set(volumeClaimTemplates=[CLAIM]), member(1))["data"]
    assert claim["metadata"] == {"name": "data-web-1", "namespace": "default", "labels": {"a": "b", "app": "web"}}
    assert claim["spec"] == CLAIM["spec"]


def owned(*refs):
    return {"metadata": {"name": "data-web-1", "ownerReferences": list(refs)}}


def ref(kind, name, uid, controller=True):
    version = "apps/v1" if kind == "StatefulSet" else "v1"
    return {"apiVersion": version, "kind": kind, "name": name, "uid": uid, "controller": controller}


BY_SET, BY_POD = ref("StatefulSet", "web", "set"), ref("Pod", "web-1", "uid-web-1")
STRANGER, STALE = ref("Job", "other", "x"), ref("Pod", "web-1", "before")


@pytest.mark.parametrize(
    ("policy", "replicas", "wanted"),
    [
        (("Retain", "Retain"), 3, []),
        (("Retain", "Retain"), 1, []),
        (("Delete", "Retain"), 3, ["set"]),
        (("Delete", "Retain"), 1, ["set"]),
        (("Retain", "Delete"), 3, []),
        (("Retain", "Delete"), 1, ["uid-web-1"]),
        (("Delete", "Delete"), 3, ["set"]),
        (("Delete", "Delete"), 1, ["uid-web-1"]),
    ],
)
def test_claims_go_with_whom_the_policy_says(policy, replicas, wanted):
    owner = stateful_set(replicas, policy=policy)
    for refs in ((), (BY_SET,), (BY_POD,), (BY_SET, BY_POD)):
        claim = owned(*refs)
        held = sorted(one["uid"] for one in refs)
        assert identity.owners_fit(owner, member(1), claim) == (held == wanted)
        settled = identity.with_owners(owner, member(1), claim)
        assert [one["uid"] for one in settled["metadata"].get("ownerReferences", ())] == wanted


def test_claims_of_others_are_left_alone():
    owner = stateful_set(policy=("Delete", "Delete"))
    assert identity.owners_fit(owner, member(1), owned(STALE))
    assert identity.is_stale(owned(STALE), member(1))
    assert not identity.is_stale(owned(BY_POD), member(1))
    assert identity.owners_fit(owner, member(1), owned(STRANGER))
    assert not identity.owners_fit(owner, member(1), owned(STRANGER, BY_SET))
    assert identity.with_owners(owner, member(1), owned(STRANGER, BY_SET))["metadata"]["ownerReferences"] == [STRANGER]
    assert not identity.owners_fit(owner, member(1), owned({**BY_SET, "controller": False}))


def test_a_revision_gives_its_template_back():
    owner = stateful_set()
    assert revisions.template_of({"data": revisions.snapshot(owner)}) == owner["spec"]["template"]
