"""Which pods a set deletes first, and which count as ready and available."""

import random

import pytest

from kybern.controllers import pods
from tests.unit.controllers.objects import NOW, pod

SIDECAR = [{"name": "s", "restartPolicy": "Always"}]


def with_sidecar(name, restarts):
    made = pod(name, initContainers=SIDECAR)
    made["status"]["initContainerStatuses"] = [{"name": "s", "restartCount": restarts}]
    return made


def order(*candidates, related=()):
    """The names in the order of their deletion, whatever the order they come in."""
    found = set()
    for seed in range(5):
        shuffled = list(candidates)
        random.Random(seed).shuffle(shuffled)
        chosen = pods.to_delete(shuffled, related, len(candidates) - 1)
        found.add(tuple(one["metadata"]["name"] for one in chosen))
    assert len(found) == 1
    return list(found.pop())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (pod("a", node=""), pod("b", phase="Pending", ready=False)),
        (pod("a", phase="Pending"), pod("b", phase="Unknown", ready=False)),
        (pod("a", phase="Unknown"), pod("b", phase="Running", ready=False)),
        (pod("a", ready=False, cost="9"), pod("b", cost="1")),
        (pod("a", cost="-5"), pod("b")),
        (pod("a"), pod("b", cost="5")),
        (pod("a", ready_for=10), pod("b", ready_for=1000)),
        (pod("a", restarts=3), pod("b", restarts=1)),
        (pod("a", ready=False, restarts=3), pod("b", ready=False, restarts=1)),
        (with_sidecar("a", 2), with_sidecar("b", 1)),
        (pod("a", age=100), pod("b", age=10_000)),
        (pod("a", ready=False, age=100), pod("b", ready=False, age=10_000)),
    ],
)
def test_what_costs_least_goes_first(first, second):
    assert order(first, second) == ["a"]


def test_earlier_facts_outweigh_later_ones():
    young = pod("young", ready_for=1, restarts=9, age=2)
    assert order(pod("cheap", cost="-1"), young, pod("unready", ready=False), pod("pending", phase="Pending")) == [
        "pending",
        "unready",
        "cheap",
    ]


def test_nodes_with_many_related_pods_are_thinned_out_first():
    crowded, lonely = pod("z", node="n1", ready_for=9999), pod("a", node="n2", ready_for=1)
    related = [crowded, lonely, pod("sibling", node="n1")]
    assert order(crowded, lonely, related=related) == ["z"]


def test_ages_of_one_magnitude_count_as_equal():
    """Of the same magnitude the uid decides: neither the younger nor the one that restarted more often."""
    older, younger = pod("a", ready_for=4000, restarts=0), pod("b", ready_for=3900, restarts=5)
    assert order(older, younger) == ["a"]
    assert order(pod("b", ready_for=4000), pod("a", ready_for=3900)) == ["a"]
    assert order(pod("a", age=4000), pod("b", age=3900)) == ["a"]


def test_who_does_not_say_since_when_it_is_ready_counts_as_the_latest():
    silent = pod("z")
    silent["status"]["conditions"][0].pop("lastTransitionTime")
    assert order(silent, pod("a", ready_for=1)) == ["z"]


@pytest.mark.parametrize("cost", ["+7", "007", " 7", "7_0", "x", "", "2147483648", "1.5"])
def test_a_cost_that_is_no_proper_number_counts_as_none(cost):
    assert order(pod("a", cost="-1"), pod("b", cost=cost), pod("c", cost="1")) == ["a", "b"]


@pytest.mark.parametrize("cost", ["2147483647", "7", "1"])
def test_a_proper_cost_counts(cost):
    assert order(pod("z", cost="0"), pod("a", cost=cost)) == ["z"]


def test_all_are_deleted_when_all_must_go():
    both = [pod("a"), pod("b")]
    assert pods.to_delete(both, both, 2) == both
    assert len(pods.to_delete(both, both, 1)) == 1


@pytest.mark.parametrize(
    ("made", "wait", "available", "left"),
    [
        (pod(), 0, True, None),
        (pod(ready_for=10), 10, True, None),
        (pod(ready_for=9), 10, False, 1.0),
        (pod(ready=False), 0, False, None),
        (pod(ready=False), 10, False, None),
    ],
)
def test_a_pod_is_available_once_it_was_ready_long_enough(made, wait, available, left):
    assert pods.is_available(made, wait) is available
    assert pods.seconds_to_available(made, wait) == left


def test_the_time_until_a_pod_is_available_runs_down(now):
    made = pod(ready_for=0)
    assert pods.seconds_to_available(made, 30) == 30
    now[0] = NOW + 29
    assert pods.seconds_to_available(made, 30) == 1
    now[0] = NOW + 30
    assert pods.seconds_to_available(made, 30) is None


def test_pods_of_a_template():
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web", "namespace": "ns", "uid": "u"}}
    template = {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}, "finalizers": ["e/f"]}, "spec": {"x": 1}}
    made = pods.from_template(template, owner)
    ref = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "u"}
    assert made["metadata"] == {
        "generateName": "web-",
        "namespace": "ns",
        "labels": {"a": "b"},
        "annotations": {"c": "d"},
        "finalizers": ["e/f"],
        "ownerReferences": [{**ref, "controller": True, "blockOwnerDeletion": True}],
    }
    assert made["spec"] == {"x": 1}
