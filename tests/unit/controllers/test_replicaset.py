"""A ReplicaSet's status, its way of creating, of taking pods in and letting them go."""

import pytest

from kybern.api.errors import Conflict, Forbidden, Invalid, NotFound
from kybern.api.selectors import from_labels, from_object
from kybern.controllers import conditions
from kybern.controllers.owners import Expectations, claim, controller_reference
from kybern.controllers.podcontrol import slow_start
from kybern.controllers.replicaset import new_status, recheck
from tests.unit.controllers.objects import pod, replica_set

SELECTOR = from_object({"matchLabels": {"app": "web"}})


@pytest.mark.parametrize(
    ("count", "allowed", "tried", "done"),
    [(0, 99, 0, 0), (1, 99, 1, 1), (10, 99, 10, 10), (10, 0, 1, 0), (10, 3, 7, 3), (10, 5, 7, 5), (3, 2, 3, 2)],
)
async def test_creating_starts_slowly(count, allowed, tried, done):
    """Batches of 1, 2, 4, ...: the first batch with a failure is the last."""
    calls = 0

    async def create():
        nonlocal calls
        calls += 1
        if calls > allowed:
            raise Forbidden("exceeded quota")

    assert (await slow_start(count, create))[0] == done
    assert calls == tried


async def test_what_is_no_answer_of_the_server_is_raised():
    async def create():
        raise RuntimeError("bug")

    with pytest.raises(RuntimeError):
        await slow_start(2, create)


def status(owner, active, failure=None, terminating=0):
    return new_status(owner, active, terminating, SELECTOR, failure)


def test_the_numbers():
    owner = replica_set("a", 5)
    owner["spec"]["minReadySeconds"] = 50
    owner["spec"]["template"]["metadata"]["labels"]["tier"] = "x"
    full = {"app": "web", "tier": "x", "more": "y"}
    active = [pod("1", labels=full), pod("2", labels=full, ready_for=10), pod("3"), pod("4", ready=False)]
    assert status(owner, active, terminating=2) == {
        "replicas": 4,
        "fullyLabeledReplicas": 2,
        "readyReplicas": 3,
        "availableReplicas": 2,
        "terminatingReplicas": 2,
        "observedGeneration": 1,
    }


def test_replication_controllers_know_no_terminating_replicas():
    owner = {**replica_set("a", 1), "kind": "ReplicationController"}
    assert new_status(owner, [], 1, from_labels({}), None) == {"replicas": 0, "observedGeneration": 1}


@pytest.mark.parametrize(("size", "reason"), [(3, "FailedCreate"), (1, "FailedDelete")])
def test_a_failure_is_shown_until_it_is_over(size, reason):
    owner = replica_set("a", size)
    owner["status"] = status(owner, [pod("1"), pod("2")], Forbidden("exceeded quota"))
    found = conditions.find(owner["status"], "ReplicaFailure")
    assert (found["status"], found["reason"], found["message"]) == ("True", reason, "exceeded quota")
    again = status(owner, [pod("1"), pod("2"), pod("3"), pod("4")], Forbidden("something else"))
    assert conditions.find(again, "ReplicaFailure") == found
    assert conditions.find(status(owner, []), "ReplicaFailure") is None


def test_it_looks_again_when_the_next_pod_becomes_available():
    owner = replica_set("a", 3)
    owner["spec"]["minReadySeconds"] = 60
    active = [pod("1", ready_for=10), pod("2", ready_for=40), pod("3", ready=False)]
    owner["status"] = status(owner, active)
    assert recheck(owner, active) == 20
    settled = replica_set("b", 3)
    assert recheck(settled, active) is None
    settled["spec"]["minReadySeconds"] = 60
    assert recheck(settled, active) is None


class Pods:
    """A resource that records patches; `answers` are raised in turn."""

    def __init__(self, *answers):
        self.patches, self.answers = [], list(answers)

    async def patch(self, name, change, namespace, *, type):
        self.patches.append((name, change["metadata"]))
        if self.answers and (error := self.answers.pop(0)):
            raise error
        return {"metadata": {"name": name}}


OWNER = replica_set("rs", 1)


async def claimed(owned, orphans, resource, owner=OWNER, fresh=None):
    async def read():
        if fresh is None:
            raise AssertionError("nothing to adopt, so nobody asks")
        return fresh

    found = await claim(owner, SELECTOR, owned, orphans, resource, read)
    return [one["metadata"]["name"] for one in found]


async def test_matching_orphans_are_adopted():
    resource = Pods()
    orphans = [pod("mine"), pod("other", labels={"app": "x"}), pod("leaving", going=True)]
    assert await claimed([pod("owned")], orphans, resource, fresh=OWNER) == ["owned", "mine"]
    assert resource.patches == [("mine", {"ownerReferences": [controller_reference(OWNER)], "uid": "uid-mine"})]


async def test_what_no_longer_matches_is_released():
    resource = Pods()
    assert await claimed([pod("owned"), pod("other", labels={"app": "x"})], [], resource) == ["owned"]
    ref = {"$patch": "delete", "uid": "uid-rs"}
    assert resource.patches == [("other", {"ownerReferences": [ref], "uid": "uid-other"})]


@pytest.mark.parametrize("error", [NotFound("gone"), Invalid("two controllers"), Conflict("another uid")])
async def test_what_others_took_meanwhile_is_left_to_them(error):
    assert await claimed([], [pod("a"), pod("b")], Pods(error), fresh=OWNER) == ["b"]


async def test_who_is_being_deleted_neither_adopts_nor_releases():
    resource = Pods()
    leaving = {**OWNER, "metadata": {**OWNER["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}}
    other = pod("other", labels={"app": "x"})
    assert await claimed([pod("owned"), other], [pod("orphan")], resource, owner=leaving) == ["owned"]
    with pytest.raises(Conflict):
        await claimed([], [pod("orphan")], resource, fresh=leaving)
    with pytest.raises(Conflict):
        await claimed([], [pod("orphan")], resource, fresh={**OWNER, "metadata": {"uid": "another"}})
    assert resource.patches == []


async def test_expectations_hold_back_until_all_is_seen():
    seen = Expectations()
    assert seen.satisfied("a")
    seen.expect_creations("a", 2)
    seen.created("a")
    assert not seen.satisfied("a")
    seen.created("a")
    assert seen.satisfied("a")
    seen.expect_deletions("a", ["x", "y"])
    seen.deleted("a", "x")
    seen.deleted("a", "x")
    assert not seen.satisfied("a")
    seen.deleted("a", "y")
    assert seen.satisfied("a")


async def test_expectations_are_given_up_in_the_end(monkeypatch):
    seen = Expectations()
    seen.expect_creations("a", 1)
    monkeypatch.setattr(Expectations, "SECONDS", -1.0)
    assert seen.satisfied("a")
