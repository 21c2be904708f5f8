"""Assumed pods: counted at once, confirmed, forgotten, or given up on."""

from __future__ import annotations

import pytest

from kybern.scheduler.cache import ASSUMED_TTL, Cache
from kybern.scheduler.pod import PodInfo
from kybern.scheduler.snapshot import CPU, PODS
from tests.unit.scheduler.builders import node, pod


@pytest.fixture
def cache() -> Cache:
    cache = Cache()
    cache.set_node(node("n1"))
    cache.set_node(node("n2"))
    return cache


def used(cache: Cache, name: str) -> tuple[int, int]:
    """(millicores, pods)"""
    row = cache.table.requested[cache.table.row_of[name]]
    return int(row[CPU]), int(row[PODS])


def assume(cache: Cache, name: str = "p") -> PodInfo:
    info = PodInfo(pod(name, requests={"cpu": "1"}))
    cache.assume(info, "n1")
    return info


def test_assumed_pod_counts_until_forgotten(cache: Cache) -> None:
    info = assume(cache)
    assert used(cache, "n1") == (1000, 1)
    assert cache.forget(info.key)
    assert used(cache, "n1") == (0, 0)
    assert not cache.forget(info.key)


def test_confirmation_counts_nothing_twice_and_leaves_evaluations_be(cache: Cache) -> None:
    info = assume(cache)
    position, bound = cache.table.position, pod("p", requests={"cpu": "1"}, node_name="n1")
    cache.set_pod(bound)
    assert used(cache, "n1") == (1000, 1)
    assert cache.table.position == position
    assert "nodeName" not in info.spec, "others may share what was decided for it"
    (seen,) = cache.table.pods[cache.table.row_of["n1"]].values()
    assert seen.obj is bound
    assert not cache.forget(info.key), "the API's word stands"
    assert cache.remove_pod(info.key)
    assert used(cache, "n1") == (0, 0)


def test_confirmation_with_other_needs_or_node_counts_those(cache: Cache) -> None:
    assume(cache)
    cache.set_pod(pod("p", requests={"cpu": "2"}, node_name="n1"))
    assert used(cache, "n1") == (2000, 1)
    cache.set_pod(pod("p", requests={"cpu": "2"}, node_name="n2"))
    assert (used(cache, "n1"), used(cache, "n2")) == ((0, 0), (2000, 1))


def test_unconfirmed_pods_expire_only_after_their_binding_succeeded(cache: Cache) -> None:
    bound, binding = assume(cache, "bound"), assume(cache, "binding")
    cache.bound(bound.key, now=100)
    cache.expire(now=100 + ASSUMED_TTL - 1)
    assert used(cache, "n1") == (2000, 2)
    cache.expire(now=100 + ASSUMED_TTL)
    assert used(cache, "n1") == (1000, 1)
    assert cache.is_assumed(binding.key)


def test_pods_outlive_their_node(cache: Cache) -> None:
    info = assume(cache)
    cache.remove_node("n1")
    cache.set_pod(pod("p", requests={"cpu": "1"}, node_name="n1"))
    cache.set_node(node("n1"))
    assert used(cache, "n1") == (1000, 1)
    assert cache.remove_pod(info.key)
    assert used(cache, "n1") == (0, 0)


def test_rows_are_reused_and_the_table_grows(cache: Cache) -> None:
    for index in range(200):
        cache.set_node(node(f"more{index}", example_com__gpu="2"))
    row = cache.table.row_of["more7"]
    cache.remove_node("more7")
    cache.set_node(node("again"))
    assert cache.table.row_of["again"] == row
    assert len(cache.table) == 202
    assert cache.table.allocatable[row].tolist() == [4000, 8 * 2**30, 0, 110, 0]
