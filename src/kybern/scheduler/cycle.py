"""One pod's way to a node, in reading order:

    queue → pre-filter → filter → (post-filter) → pre-score → score → pick → reserve
          → permit → pre-bind → bind → post-bind

Everything up to `reserve` runs without giving way, so it sees one state of the cluster; the rest is asynchronous and
many pods are in it at a time. A pod counts on its node from `reserve` on (it is assumed); a failure takes it off again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from kybern.process.clock import monotonic, random
from kybern.process.metrics import Counter, Histogram
from kybern.scheduler import framework as fw
from kybern.scheduler.cache import Cache
from kybern.scheduler.evaluation import Evaluation, Evaluations, Unfit
from kybern.scheduler.pod import PodInfo
from kybern.scheduler.profiles import Profile
from kybern.scheduler.queue import QueuedPod, SchedulingQueue
from kybern.scheduler.report import Reporter

log = logging.getLogger(__name__)

MAX_BINDING = 64
"""Bindings under way at a time; the cycle waits beyond that."""
_SLICE = 0.005
"""Seconds of scheduling after which the event loop gets its turn."""
_HOUSEKEEPING = 30.0

_attempts = Counter("scheduler_schedule_attempts", "Number of attempts to schedule pods, by the result.",
                    ["result", "profile"])  # fmt: skip
_algorithm = Histogram("scheduler_scheduling_algorithm_duration_seconds", "Scheduling algorithm latency in seconds")
_attempt = Histogram("scheduler_scheduling_attempt_duration_seconds",
                     "Scheduling attempt latency in seconds (scheduling algorithm + binding)",
                     ["result", "profile"])  # fmt: skip


class Choice(NamedTuple):
    """Where a pod goes, and out of how many."""

    node: str
    evaluated: int
    feasible: int
    state: fw.CycleState
    """This pod's own from here on."""


class Scheduler:
    """Takes pods from the queue and binds them. `cache` and `queue` are fed by the informers (watching.py)."""

    def __init__(
        self, profiles: Mapping[str, Profile], cache: Cache, queue: SchedulingQueue, reporter: Reporter
    ) -> None:
        self.profiles = profiles
        self.cache = cache
        self.queue = queue
        self._reporter = reporter
        self._evaluations = Evaluations(cache.table)
        self._slots = asyncio.Semaphore(MAX_BINDING)
        self._binding: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Schedule until cancelled; bindings under way are cancelled too."""
        keeping = asyncio.create_task(self._housekeeping(), name="scheduler housekeeping")
        try:
            since = monotonic()
            while True:
                # The slot first: what was popped must not grow old waiting for one.
                await self._slots.acquire()
                self.schedule_one(await self.queue.pop())
                if monotonic() - since > _SLICE:
                    await asyncio.sleep(0)
                    since = monotonic()
        finally:
            for task in (keeping, *self._binding):
                task.cancel()
            await asyncio.gather(keeping, *self._binding, return_exceptions=True)

    def schedule_one(self, queued: QueuedPod) -> None:
        """The synchronous half for one pod, holding a binding slot; starts the other half if a node was found."""
        pod, started = queued.pod, monotonic()
        profile = self.profiles[pod.spec.get("schedulerName") or ""]
        handed_over = False
        try:
            choice = self.choose(profile, pod)
            _algorithm.observe(monotonic() - started)
            failure = self._reserve(profile, choice, pod)
            if failure:
                self._undo(profile, choice, queued, failure)
            else:
                self._start_binding(profile, choice, queued, started)
                handed_over = True
        except Unfit as unfit:
            self._unschedulable(profile, queued, unfit.diagnosis)
        except Exception as error:
            log.exception("pod=%s could not be scheduled", pod.key)
            self._failed(profile, queued, f"{type(error).__name__}: {error}")
        finally:
            if not handed_over:
                self._slots.release()

    def choose(self, profile: Profile, pod: PodInfo) -> Choice:
        """Filter and score all nodes; one of the best at random. Raises Unfit."""
        if not len(self.cache.table):
            raise Unfit(fw.Diagnosis())
        evaluation = self._evaluations.of(profile, pod)
        totals = evaluation.totals()
        best = int(totals.max(initial=-1))
        if best < 0:
            raise Unfit(self._post_filter(profile, pod, evaluation))
        ties = np.flatnonzero(totals == best)
        row = int(ties[random.randrange(len(ties))])
        feasible = int(np.count_nonzero(totals >= 0))
        return Choice(self.cache.table.names[row], len(evaluation.rows), feasible, dict(evaluation.state))

    def _post_filter(self, profile: Profile, pod: PodInfo, evaluation: Evaluation) -> fw.Diagnosis:
        diagnosis = evaluation.diagnose()
        for plugin in profile.post_filters:
            said = plugin.post_filter(evaluation.state, pod, self.cache.table, diagnosis)
            diagnosis.post_filter = " ".join(filter(None, (diagnosis.post_filter, said)))
        return diagnosis

    def _reserve(self, profile: Profile, choice: Choice, pod: PodInfo) -> fw.Status | None:
        self.cache.assume(pod, choice.node)
        for plugin in profile.reserves:
            status = plugin.reserve(choice.state, pod, choice.node)
            if status:
                return status
        return None

    # The asynchronous half.

    def _start_binding(self, profile: Profile, choice: Choice, queued: QueuedPod, started: float) -> None:
        task = asyncio.create_task(self._bind(profile, choice, queued, started), name=f"bind {queued.pod.key}")
        self._binding.add(task)
        task.add_done_callback(self._bound)

    def _bound(self, task: asyncio.Task[None]) -> None:
        self._binding.discard(task)
        self._slots.release()

    async def _bind(self, profile: Profile, choice: Choice, queued: QueuedPod, started: float) -> None:
        pod, state = queued.pod, choice.state
        try:
            failure = await self._permit_and_bind(profile, choice, pod)
        except Exception as error:
            log.exception("pod=%s could not be bound", pod.key)
            failure = fw.Status(fw.Code.ERROR, f"{type(error).__name__}: {error}")
        if failure:
            self._undo(profile, choice, queued, failure)
            return
        self.cache.bound(pod.key, asyncio.get_running_loop().time())
        self.queue.remove(pod.key)
        for plugin in profile.post_binds:
            plugin.post_bind(state, pod, choice.node)
        _attempts.labels("scheduled", profile.name).inc()
        _attempt.labels("scheduled", profile.name).observe(monotonic() - started)
        log.info("bound pod=%s node=%s evaluated=%d feasible=%d ms=%.1f", pod.key, choice.node, choice.evaluated,
                 choice.feasible, 1000 * (monotonic() - started))  # fmt: skip
        self._reporter.scheduled(pod, choice.node)

    async def _permit_and_bind(self, profile: Profile, choice: Choice, pod: PodInfo) -> fw.Status | None:
        state, node = choice.state, choice.node
        for permit in profile.permits:
            if status := await permit.permit(state, pod, node):
                return status
        for pre_bind in profile.pre_binds:
            if status := await pre_bind.pre_bind(state, pod, node):
                return status
        for bind in profile.binds:
            status = await bind.bind(state, pod, node)
            if status is None or status.code is not fw.Code.SKIP:
                return status
        return fw.Status(fw.Code.ERROR, "no bind plugin took the pod")

    # How it can end badly.

    def _undo(self, profile: Profile, choice: Choice, queued: QueuedPod, failure: fw.Status) -> None:
        pod = queued.pod
        for plugin in reversed(profile.reserves):
            plugin.unreserve(choice.state, pod, choice.node)
        if not self.cache.forget(pod.key):
            # The API says it is bound (or gone): whatever failed came after that.
            self.queue.remove(pod.key)
            return
        if failure.code is fw.Code.ERROR:
            self._failed(profile, queued, failure.reason)
        else:
            diagnosis = fw.Diagnosis(len(self.cache.table), failure.reason, plugins={failure.plugin})
            self._unschedulable(profile, queued, diagnosis)
        # Its place is free again for others.
        self.queue.wake(fw.ClusterEvent.POD_DELETE, pod.obj, None)

    def _unschedulable(self, profile: Profile, queued: QueuedPod, diagnosis: fw.Diagnosis) -> None:
        text = diagnosis.text()
        _attempts.labels("unschedulable", profile.name).inc()
        log.info("unschedulable pod=%s: %s", queued.pod.key, text)
        self.queue.park(queued, diagnosis.plugins)
        self._reporter.failed(queued.pod, "Unschedulable", text)

    def _failed(self, profile: Profile, queued: QueuedPod, why: str) -> None:
        _attempts.labels("error", profile.name).inc()
        log.warning("failed pod=%s: %s", queued.pod.key, why)
        self.queue.retry(queued)
        self._reporter.failed(queued.pod, "SchedulerError", why)

    async def _housekeeping(self) -> None:
        while True:
            await asyncio.sleep(_HOUSEKEEPING)
            self.cache.expire(asyncio.get_running_loop().time())
            self.queue.flush()


def queue_for(profiles: Mapping[str, Profile], **backoff: float) -> SchedulingQueue:
    """A queue that orders and wakes pods as their profiles say. Profiles share one order, the first one's."""
    first = next(iter(profiles.values()))

    def pre_enqueue(pod: PodInfo) -> fw.Status | None:
        verdicts = (plugin.pre_enqueue(pod) for plugin in _profile(profiles, pod).pre_enqueue)
        return next((verdict for verdict in verdicts if verdict), None)

    return SchedulingQueue(
        first.queue_sort.sort_key, pre_enqueue, lambda pod: _profile(profiles, pod).hints, **backoff
    )


def _profile(profiles: Mapping[str, Profile], pod: PodInfo) -> Profile:
    return profiles[pod.spec.get("schedulerName") or ""]
