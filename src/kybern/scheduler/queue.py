"""Where pods wait to be scheduled.

    active ──pop──▶ cycle ──no node fits──▶ unschedulable ──event a plugin hoped for, or 5 min──▶ backoff ──▶ active
                       └────an error──────────────────────────────────────────────────▶ backoff (error) ──▶ active
    gated: kept out by a pre-enqueue plugin until the pod changes

Times are the event loop's. A woken pod doesn't sit out its backoff while nothing else is to be done; one that met an
error does. Source: KEP-4247 (queueing hints), KEP-5142 (popping from backoff).
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto
from functools import partial
from itertools import count
from typing import Any

from kybern.api.types import Object
from kybern.process.metrics import Gauge
from kybern.scheduler.framework import ClusterEvent, Hint, Status
from kybern.scheduler.pod import PodInfo

INITIAL_BACKOFF = 1.0
MAX_BACKOFF = 10.0
FLUSH_AFTER = 300.0
"""Seconds after which an unschedulable pod is tried again whatever happened."""

_pending = Gauge("scheduler_pending_pods", "Number of pending pods, by the queue type.", ["queue"])


class Place(Enum):
    """Where a queued pod is."""

    ACTIVE = auto()
    BACKOFF = auto()
    ERROR_BACKOFF = auto()
    UNSCHEDULABLE = auto()
    GATED = auto()
    CYCLE = auto()
    """Taken out; its cycle or binding goes on."""


class QueuedPod:
    """A pod and its history in the queue."""

    __slots__ = ("attempts", "parked_at", "place", "pod", "rejected_by", "since", "ticket", "wakes_seen")

    def __init__(self, pod: PodInfo, since: float) -> None:
        self.pod = pod
        self.since = since
        self.attempts = 0
        self.place = Place.CYCLE
        self.ticket = 0
        """Marks the one heap entry that counts."""
        self.parked_at = since
        self.rejected_by: set[str] = set()
        self.wakes_seen = 0
        """Cluster events there had been when it was taken out last."""


class SchedulingQueue:
    """`sort_key` and `pre_enqueue` come from the pod's profile, as does `hints`: event -> plugin -> hint."""

    def __init__(
        self,
        sort_key: Callable[[PodInfo, float], tuple[float, float]],
        pre_enqueue: Callable[[PodInfo], Status | None],
        hints: Callable[[PodInfo], Mapping[ClusterEvent, Mapping[str, Hint | None]]],
        *,
        initial_backoff: float = INITIAL_BACKOFF,
        max_backoff: float = MAX_BACKOFF,
    ) -> None:
        self._sort_key = sort_key
        self._pre_enqueue = pre_enqueue
        self._hints = hints
        self._initial_backoff = initial_backoff
        self._max_backoff = max_backoff
        self._pods: dict[str, QueuedPod] = {}
        self._active: list[tuple[tuple[float, float], int, QueuedPod]] = []
        self._backoff: list[tuple[float, int, QueuedPod]] = []
        self._error_backoff: list[tuple[float, int, QueuedPod]] = []
        self._unschedulable: dict[str, QueuedPod] = {}
        self._tickets = count(1)
        self._wakes = 0
        self._changed = asyncio.Event()
        for place in ("active", "backoff", "unschedulable", "gated"):
            _pending.labels(place).set_function(partial(self._count, place))

    def __len__(self) -> int:
        return len(self._pods)

    def get(self, key: str) -> QueuedPod | None:
        """The entry of a pod, wherever it is."""
        return self._pods.get(key)

    def counts(self) -> dict[str, int]:
        """How many pods wait in each place."""
        names = {
            Place.ACTIVE: "active",
            Place.BACKOFF: "backoff",
            Place.ERROR_BACKOFF: "backoff",
            Place.UNSCHEDULABLE: "unschedulable",
            Place.GATED: "gated",
        }
        totals = dict.fromkeys(names.values(), 0)
        for queued in self._pods.values():
            if queued.place in names:
                totals[names[queued.place]] += 1
        return totals

    def _count(self, place: str) -> float:
        return self.counts()[place]

    # Pods come, change and go.

    def add(self, pod: PodInfo) -> None:
        """A pod that needs a node was seen for the first time."""
        queued = QueuedPod(pod, asyncio.get_running_loop().time())
        self._pods[pod.key] = queued
        self._enter(queued)

    def update(self, pod: PodInfo, old: Object) -> None:
        """A waiting pod changed. It is tried again if that may help; in a cycle, the new object is used next time."""
        queued = self._pods.get(pod.key)
        if queued is None:
            self.add(pod)
            return
        queued.pod = pod
        if queued.place is Place.GATED:
            self._enter(queued)
        elif (
            queued.place is Place.UNSCHEDULABLE
            and _asks_otherwise(old, pod.obj)
            and self._may_help(queued, ClusterEvent.POD_UPDATE, old, pod.obj)
        ):
            self._wake(queued)

    def remove(self, key: str) -> None:
        """The pod was deleted, assigned, or is no longer ours."""
        queued = self._pods.pop(key, None)
        if queued:
            queued.ticket = 0
            self._unschedulable.pop(key, None)

    # The cycle takes a pod and says how it went (`remove` when it was bound).

    def take(self) -> QueuedPod | None:
        """The next pod to schedule, if there is one."""
        queued = self._next()
        if queued:
            queued.place = Place.CYCLE
            queued.attempts += 1
            queued.wakes_seen = self._wakes
        return queued

    async def pop(self) -> QueuedPod:
        """The next pod to schedule; waits for one."""
        while True:
            if queued := self.take():
                return queued
            self._changed.clear()
            try:
                async with asyncio.timeout(self._idle_time()):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def park(self, queued: QueuedPod, rejected_by: Iterable[str]) -> None:
        """No node fits: wait for an event that one of the rejecting plugins hopes for."""
        if self._pods.get(queued.pod.key) is not queued:
            return
        queued.rejected_by = set(rejected_by)
        queued.place = Place.UNSCHEDULABLE
        queued.parked_at = asyncio.get_running_loop().time()
        if queued.wakes_seen == self._wakes:
            self._unschedulable[queued.pod.key] = queued
        else:
            # Something happened while it waited for its permit; that may have been what it needs.
            self._wake(queued)

    def retry(self, queued: QueuedPod) -> None:
        """Something went wrong: try again after the backoff."""
        if self._pods.get(queued.pod.key) is queued:
            queued.parked_at = asyncio.get_running_loop().time()
            self._push_backoff(self._error_backoff, queued, Place.ERROR_BACKOFF)

    # The cluster changes.

    def wake(self, event: ClusterEvent, old: Object | None, new: Object | None) -> None:
        """Move pods that may fit now out of the unschedulable ones."""
        self._wakes += 1
        for queued in list(self._unschedulable.values()):
            if self._may_help(queued, event, old, new):
                self._wake(queued)

    def flush(self) -> None:
        """Try again those that were unschedulable for too long."""
        limit = asyncio.get_running_loop().time() - FLUSH_AFTER
        for queued in [q for q in self._unschedulable.values() if q.parked_at <= limit]:
            self._wake(queued)

    # Inside.

    def _enter(self, queued: QueuedPod) -> None:
        if self._pre_enqueue(queued.pod):
            queued.place, queued.ticket = Place.GATED, 0
        else:
            self._activate(queued)

    def _activate(self, queued: QueuedPod) -> None:
        queued.place, queued.ticket = Place.ACTIVE, next(self._tickets)
        heapq.heappush(self._active, (self._sort_key(queued.pod, queued.since), queued.ticket, queued))
        self._changed.set()

    def _may_help(self, queued: QueuedPod, event: ClusterEvent, old: Object | None, new: Object | None) -> bool:
        hints = self._hints(queued.pod).get(event, {})
        if not queued.rejected_by:
            return bool(hints)
        for plugin in queued.rejected_by & hints.keys():
            hint = hints[plugin]
            if hint is None or hint(queued.pod, old, new):
                return True
        return False

    def _wake(self, queued: QueuedPod) -> None:
        self._unschedulable.pop(queued.pod.key, None)
        if self._ready_at(queued) <= asyncio.get_running_loop().time():
            self._activate(queued)
        else:
            self._push_backoff(self._backoff, queued, Place.BACKOFF)

    def _push_backoff(self, heap: list[tuple[float, int, QueuedPod]], queued: QueuedPod, place: Place) -> None:
        queued.place, queued.ticket = place, next(self._tickets)
        heapq.heappush(heap, (self._ready_at(queued), queued.ticket, queued))
        self._changed.set()

    def _ready_at(self, queued: QueuedPod) -> float:
        doubled: float = self._initial_backoff * 2 ** min(max(queued.attempts - 1, 0), 30)
        return queued.parked_at + min(self._max_backoff, doubled)

    def _next(self) -> QueuedPod | None:
        now = asyncio.get_running_loop().time()
        for heap in (self._backoff, self._error_backoff):
            while heap and heap[0][0] <= now:
                _, ticket, queued = heapq.heappop(heap)
                if queued.ticket == ticket:
                    self._activate(queued)
        return _first_current(self._active) or _first_current(self._backoff)

    def _idle_time(self) -> float | None:
        """Seconds until a backoff ends; None when nothing waits for one."""
        if not self._error_backoff:
            return None
        return max(0.0, self._error_backoff[0][0] - asyncio.get_running_loop().time())


def _asks_otherwise(old: Object, new: Object) -> bool:
    """Whether more of the pod changed than its status, which the scheduler itself writes."""
    return bool(old["spec"] != new["spec"] or old["metadata"].get("labels") != new["metadata"].get("labels"))


def _first_current(heap: list[tuple[Any, int, QueuedPod]]) -> QueuedPod | None:
    """Pop up to the first entry that still counts."""
    while heap:
        _, ticket, queued = heapq.heappop(heap)
        if queued.ticket == ticket:
            return queued
    return None
