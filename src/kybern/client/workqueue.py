"""The queue between events and workers: a key waits once, is worked on by one worker at a time, and fails slower.

Upstream's defaults: a failing key waits 5 ms doubled each time up to 1000 s, and never less than a token bucket of 10
per second with a burst of 100 allows.
"""

from __future__ import annotations

import asyncio
from collections import deque

from kybern.process.clock import monotonic
from kybern.process.metrics import Counter, Gauge, Tallies

_depth = Gauge("workqueue_depth", "Current depth of workqueue", ["name"])
_adds = Counter("workqueue_adds", "Total number of adds handled by workqueue", ["name"])
_retries = Counter("workqueue_retries", "Total number of retries handled by workqueue", ["name"])
_SECONDS = tuple(10.0**power for power in range(-8, 2))
_waited = Tallies("workqueue_queue_duration_seconds", "Time a key waits in the queue.", ["name"], _SECONDS)
_worked = Tallies("workqueue_work_duration_seconds", "Time the work on a key takes.", ["name"], _SECONDS)
_unfinished = Gauge("workqueue_unfinished_work_seconds", "Time spent on work that isn't done, in all.", ["name"])
_longest = Gauge("workqueue_longest_running_processor_seconds", "The same, of what takes longest.", ["name"])


class QueueClosed(Exception):
    """get() on a queue that was closed."""


class TokenBucket:
    """`rate` per second, `burst` at once, on the event loop's time."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = float(burst), 0.0

    def reserve(self) -> float:
        """Take a token; gives the seconds to wait until it may be used."""
        now = asyncio.get_running_loop().time()
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._at) * self._rate)
        self._at = now
        self._tokens -= 1
        return max(0.0, -self._tokens / self._rate)

    def take(self) -> bool:
        """Take a token if there is one now."""
        if self.reserve() <= 0:
            return True
        self._tokens += 1
        return False


class WorkQueue:
    """Not for threads. Rates are in seconds."""

    def __init__(
        self,
        name: str = "queue",
        *,
        base_delay: float = 0.005,
        max_delay: float = 1000.0,
        rate: float = 10,
        burst: int = 100,
    ) -> None:
        self._base_delay, self._max_delay = base_delay, max_delay
        self._bucket = TokenBucket(rate, burst)
        self._order: deque[str] = deque()
        self._dirty: set[str] = set()
        self._processing: dict[str, float] = {}
        """The keys being worked on, and since when."""
        self._since: dict[str, float] = {}
        """When keys that wait were added."""
        self._failures: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._closed = False
        self._depth, self._adds, self._retries = _depth.labels(name), _adds.labels(name), _retries.labels(name)
        self._waited, self._worked = _waited.of(name), _worked.of(name)
        _unfinished.labels(name).set_function(lambda: sum(self._ages()))
        _longest.labels(name).set_function(lambda: max(self._ages(), default=0.0))

    def add(self, key: str) -> None:
        """Queue the key; again after the present work if it is being worked on; not twice."""
        if self._closed or key in self._dirty:
            return
        self._dirty.add(key)
        self._since[key] = monotonic()
        self._adds.inc()
        if key not in self._processing:
            self._push(key)

    def add_after(self, key: str, seconds: float) -> None:
        """Queue the key later; the earliest of several such times counts."""
        if seconds <= 0:
            self.add(key)
            return
        if self._closed:
            return
        loop = asyncio.get_running_loop()
        when = loop.time() + seconds
        waiting = self._timers.get(key)
        if waiting:
            if waiting.when() <= when:
                return
            waiting.cancel()
        self._timers[key] = loop.call_at(when, self._due, key)

    def add_rate_limited(self, key: str) -> None:
        """Queue the key after its backoff, which grows until `forget`."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self._retries.inc()
        backoff = min(self._max_delay, self._base_delay * 2 ** min(failures, 60))
        self.add_after(key, max(backoff, self._bucket.reserve()))

    def forget(self, key: str) -> None:
        """The key succeeded: its backoff starts afresh."""
        self._failures.pop(key, None)

    def failures(self, key: str) -> int:
        """How often the key was added rate limited since it was forgotten."""
        return self._failures.get(key, 0)

    async def get(self) -> str:
        """The next key; call done(key) when finished with it. Raises QueueClosed."""
        while not self._order:
            if self._closed:
                raise QueueClosed
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            try:
                await waiter
            except asyncio.CancelledError:
                # The wake-up meant for this worker goes to the next one.
                if waiter.done() and not waiter.cancelled() and self._order:
                    self._wake()
                raise
        key = self._order.popleft()
        self._depth.dec()
        self._dirty.discard(key)
        now = self._processing[key] = monotonic()
        self._waited.observe(now - self._since.pop(key, now))
        return key

    def done(self, key: str) -> None:
        """The work on the key ended, well or badly."""
        began = self._processing.pop(key, None)
        if began is not None:
            self._worked.observe(monotonic() - began)
        if key in self._dirty:
            self._push(key)

    def close(self) -> None:
        """Drop what waits and make every get() raise."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._depth.dec(len(self._order))
        self._order.clear()
        self._since.clear()
        while self._waiters:
            self._wake()

    def idle(self) -> bool:
        """Nothing is queued or worked on (keys that wait for a time may be left)."""
        return not self._order and not self._processing

    def _ages(self) -> list[float]:
        now = monotonic()
        return [now - began for began in self._processing.values()]

    def __len__(self) -> int:
        return len(self._order)

    def _due(self, key: str) -> None:
        self._timers.pop(key, None)
        self.add(key)

    def _push(self, key: str) -> None:
        self._order.append(key)
        self._depth.inc()
        self._wake()

    def _wake(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
