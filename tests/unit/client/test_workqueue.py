import asyncio

import pytest

from kybern.client.workqueue import QueueClosed, TokenBucket, WorkQueue


async def test_a_key_waits_once_and_is_worked_on_by_one():
    queue = WorkQueue()
    queue.add("a")
    queue.add("a")
    assert len(queue) == 1
    assert await queue.get() == "a"
    queue.add("a")
    assert len(queue) == 0
    queue.done("a")
    assert len(queue) == 1
    assert await queue.get() == "a"
    queue.done("a")
    assert queue.idle()


async def test_get_waits_and_a_cancelled_worker_loses_nothing():
    queue = WorkQueue()
    first, second = asyncio.ensure_future(queue.get()), asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.add("a")
    first.cancel()
    assert await asyncio.wait_for(second, 1) == "a"


async def test_backoff_doubles_until_forgotten(monkeypatch):
    queue = WorkQueue()
    delays = []
    monkeypatch.setattr(queue, "add_after", lambda key, seconds: delays.append(seconds))
    for _ in range(4):
        queue.add_rate_limited("a")
    assert delays == [0.005, 0.01, 0.02, 0.04]
    assert queue.failures("a") == 4
    queue.forget("a")
    queue.add_rate_limited("a")
    assert delays[-1] == 0.005
    for _ in range(80):
        queue.add_rate_limited("a")
    assert delays[-1] == 1000


async def test_token_bucket_lets_a_burst_through_and_then_spaces():
    bucket = TokenBucket(10, 3)
    waits = [bucket.reserve() for _ in range(5)]
    assert waits[:3] == [0, 0, 0]
    assert 0 < waits[3] <= 0.1 < waits[4] <= 0.2


async def test_of_several_times_the_earliest_counts():
    queue = WorkQueue()
    queue.add_after("a", 100)
    queue.add_after("a", 0.001)
    queue.add_after("a", 50)
    assert await asyncio.wait_for(queue.get(), 1) == "a"


async def test_close_ends_the_workers():
    queue = WorkQueue()
    waiting = asyncio.ensure_future(queue.get())
    await asyncio.sleep(0)
    queue.add_after("late", 100)
    queue.close()
    with pytest.raises(QueueClosed):
        await waiting
    queue.add("b")
    assert len(queue) == 0
