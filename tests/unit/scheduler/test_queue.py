"""The queue's places and what moves pods between them."""

from __future__ import annotations

import asyncio

import pytest

from kybern.scheduler.cycle import queue_for
from kybern.scheduler.framework import ClusterEvent
from kybern.scheduler.pod import PodInfo
from kybern.scheduler.queue import FLUSH_AFTER, Place, QueuedPod, SchedulingQueue
from tests.unit.scheduler.builders import World, node, pod


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The loop's time, to be stepped by tests."""
    clock = [1000.0]

    class Loop:
        def time(self) -> float:
            return clock[0]

    monkeypatch.setattr("kybern.scheduler.queue.asyncio.get_running_loop", Loop)
    return clock


def entry(queue: SchedulingQueue) -> QueuedPod:
    found = queue.get("default/p")
    assert found
    return found


async def popped(queue: SchedulingQueue) -> str | None:
    """The next pod's name if one is ready at once."""
    queued = queue.take()
    return queued.pod.name if queued else None


async def test_higher_priority_first_then_older(now: list[float]) -> None:
    queue = World().queue
    for name, priority in (("a", 0), ("b", 5), ("c", 5)):
        queue.add(PodInfo(pod(name, priority=priority)))
        now[0] += 1
    assert [await popped(queue) for _ in range(4)] == ["b", "c", "a", None]


async def test_unschedulable_pod_wakes_only_for_what_its_rejecters_hope_for(now: list[float]) -> None:
    queue = World().queue
    queue.add(PodInfo(pod("p", requests={"cpu": "2"})))
    await popped(queue)
    queue.park(entry(queue), {"NodeResourcesFit"})
    queue.wake(ClusterEvent.NODE_TAINT, None, node("n"))
    queue.wake(ClusterEvent.NODE_ADD, None, node("small", cpu="1"))
    assert queue.counts()["unschedulable"] == 1
    queue.wake(ClusterEvent.NODE_ADD, None, node("big", cpu="2"))
    assert queue.counts() == {"active": 0, "backoff": 1, "unschedulable": 0, "gated": 0}
    assert await popped(queue) == "p", "an idle scheduler doesn't wait for the backoff's end"


async def test_error_backoff_doubles_up_to_ten_seconds(now: list[float]) -> None:
    queue = World().queue
    queue.add(PodInfo(pod("p")))
    for seconds in (1, 2, 4, 8, 10, 10):
        assert await popped(queue) == "p"
        queue.retry(entry(queue))
        now[0] += seconds - 0.1
        assert await popped(queue) is None
        now[0] += 0.1


async def test_forgotten_pods_are_tried_again_after_five_minutes(now: list[float]) -> None:
    queue = World().queue
    queue.add(PodInfo(pod("p")))
    await popped(queue)
    queue.park(entry(queue), {"NodeName"})
    now[0] += FLUSH_AFTER - 1
    queue.flush()
    assert await popped(queue) is None
    now[0] += 1
    queue.flush()
    assert await popped(queue) == "p"


async def test_gated_pod_waits_for_its_gates_to_go(now: list[float]) -> None:
    queue = World().queue
    gated = pod("p", schedulingGates=[{"name": "quota"}])
    queue.add(PodInfo(gated))
    assert queue.counts()["gated"] == 1
    assert await popped(queue) is None
    queue.update(PodInfo(pod("p")), gated)
    assert await popped(queue) == "p"


async def test_removed_pod_is_not_popped(now: list[float]) -> None:
    queue = World().queue
    queue.add(PodInfo(pod("p")))
    queue.remove("default/p")
    assert await popped(queue) is None


async def test_pop_waits_for_a_pod() -> None:
    queue = World().queue
    waiting = asyncio.create_task(queue.pop())
    await asyncio.sleep(0)
    assert not waiting.done()
    queue.add(PodInfo(pod("p")))
    assert (await waiting).pod.name == "p"


async def test_backoff_of_woken_pods_doubles_while_others_are_active(now: list[float]) -> None:
    """An idle scheduler would not wait for it."""
    queue = World().queue
    queue.add(PodInfo(pod("p")))
    for seconds in (1, 2, 4, 8, 10, 10):
        assert await popped(queue) == "p"
        queue.park(entry(queue), {"TaintToleration"})
        queue.wake(ClusterEvent.NODE_ADD, None, node("n"))
        assert entry(queue).place is Place.BACKOFF
        now[0] += seconds - 0.1
        queue.add(PodInfo(pod("other")))
        assert await popped(queue) == "other"
        queue.remove("default/other")
        now[0] += 0.1
        queue.add(PodInfo(pod("urgent", priority=9)))
        assert await popped(queue) == "urgent"
        queue.remove("default/urgent")
        assert entry(queue).place is Place.ACTIVE


async def test_event_during_the_attempt_is_not_missed(now: list[float]) -> None:
    queue = World().queue
    queue.add(PodInfo(pod("p")))
    await popped(queue)
    queue.wake(ClusterEvent.NODE_ADD, None, node("n"))
    queue.park(entry(queue), {"NodeResourcesFit"})
    assert entry(queue).place is Place.BACKOFF


async def test_change_of_a_pod_in_its_cycle_is_used_next_time(now: list[float]) -> None:
    queue, old = World().queue, pod("p")
    queue.add(PodInfo(old))
    await popped(queue)
    queue.update(PodInfo(pod("p", requests={"cpu": "1"})), old)
    queue.retry(entry(queue))
    now[0] += 1
    await popped(queue)
    assert entry(queue).pod.requests == {"cpu": 1000}


async def test_pop_sleeps_until_a_failed_pods_backoff_ends() -> None:
    queue = queue_for(World().profiles, initial_backoff=0.02)
    queue.add(PodInfo(pod("p")))
    queue.retry(await queue.pop())
    began = asyncio.get_running_loop().time()
    assert (await asyncio.wait_for(queue.pop(), 5)).pod.name == "p"
    assert asyncio.get_running_loop().time() - began >= 0.02
