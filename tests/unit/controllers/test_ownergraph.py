"""Who has to be looked at when objects come, change and go."""

from kybern.controllers.garbagecollector import _policy
from kybern.controllers.ownergraph import FOREGROUND, ORPHAN, Graph

PODS, SETS = ("v1", "pods"), ("apps/v1", "replicasets")


def ref(uid, *, block=False):
    return {"apiVersion": "v1", "kind": "K", "name": f"n-{uid}", "uid": uid, "blockOwnerDeletion": block}


def obj(uid, *owners, namespace="ns", finalizers=(), deleting=False):
    meta = {"uid": uid, "name": f"n-{uid}", "namespace": namespace, "ownerReferences": list(owners)}
    if deleting:
        meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return {"metadata": {**meta, "finalizers": list(finalizers)}}


def test_what_nobody_owns_is_no_ones_business():
    graph = Graph()
    assert graph.put(PODS, obj("a")) == set()
    assert graph.remove("a") == set()
    assert graph.nodes == {}


def test_the_owner_may_come_after():
    graph = Graph()
    assert graph.put(PODS, obj("pod", ref("set"))) == {"set"}
    assert graph.nodes["set"].virtual
    assert graph.put(SETS, obj("set")) == {"pod"}
    assert not graph.nodes["set"].virtual
    assert list(graph.nodes["set"].dependents) == ["pod"]


def test_when_the_owner_goes_its_dependents_are_judged():
    graph = Graph()
    graph.put(SETS, obj("set"))
    graph.put(PODS, obj("pod", ref("set")))
    assert graph.remove("set") == {"pod"}
    assert graph.nodes["set"].absent
    assert graph.remove("pod") == set()
    assert graph.nodes == {}


def test_who_comes_after_its_owner_went_is_judged_too():
    graph = Graph()
    graph.put(SETS, obj("set"))
    graph.put(PODS, obj("first", ref("set")))
    graph.remove("set")
    assert "late" in graph.put(PODS, obj("late", ref("set")))


def test_who_can_no_longer_be_watched_is_not_known_to_be_gone():
    graph = Graph()
    graph.put(SETS, obj("set"))
    graph.put(PODS, obj("pod", ref("set")))
    assert graph.remove("set", known_absent=False) == {"pod"}
    assert graph.nodes["set"].virtual
    assert not graph.nodes["set"].absent


def test_an_owner_in_another_namespace_is_looked_at_for_each():
    graph = Graph()
    graph.put(SETS, obj("set", namespace="one"))
    assert graph.put(PODS, obj("pod", ref("set"), namespace="two")) == {"pod"}
    graph = Graph()
    graph.put(PODS, obj("here", ref("set"), namespace="one"))
    assert "there" in graph.put(PODS, obj("there", ref("set"), namespace="two"))


def test_foreground_deletion_waits_for_those_that_block():
    graph = Graph()
    graph.put(SETS, obj("set"))
    graph.put(PODS, obj("blocks", ref("set", block=True)))
    graph.put(PODS, obj("does-not", ref("set")))
    going = obj("set", finalizers=[FOREGROUND], deleting=True)
    assert graph.put(SETS, going) == {"set", "blocks", "does-not"}
    node = graph.nodes["set"]
    assert [one.uid for one in graph.blocking(node)] == ["blocks"]
    assert graph.put(PODS, obj("blocks", ref("set"))) >= {"set"}
    assert graph.blocking(node) == []
    assert "set" in graph.remove("does-not")


def test_letting_go_of_an_owner_tells_it():
    graph = Graph()
    graph.put(SETS, obj("set", finalizers=[FOREGROUND], deleting=True))
    graph.put(PODS, obj("pod", ref("set", block=True)))
    assert graph.put(PODS, obj("pod")) == {"set", "pod"}
    assert not graph.nodes["set"].dependents


def test_a_finalizer_alone_is_no_deletion():
    graph = Graph()
    assert graph.put(SETS, obj("set", finalizers=[FOREGROUND])) == set()
    assert graph.put(SETS, obj("set", finalizers=[ORPHAN], deleting=True)) == {"set"}
    assert graph.nodes["set"].orphaning
    assert not graph.nodes["set"].deleting_dependents


def test_circles_are_noticed():
    graph = Graph()
    graph.put(SETS, obj("a", ref("b", block=True)))
    graph.put(SETS, obj("b", ref("a", block=True)))
    assert not graph.in_circle(graph.nodes["b"])
    graph.put(SETS, obj("a", ref("b", block=True), finalizers=[FOREGROUND], deleting=True))
    assert graph.in_circle(graph.nodes["b"])
    assert not graph.in_circle(graph.nodes["a"])


def test_how_a_dependent_is_deleted_is_its_own_finalizers_choice():
    assert _policy(obj("a")) == "Background"
    assert _policy(obj("a", finalizers=[FOREGROUND])) == "Foreground"
    assert _policy(obj("a", finalizers=[FOREGROUND, ORPHAN])) == "Orphan"
