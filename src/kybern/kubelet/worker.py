"""One pod's worker: looks at spec and runtime, asks sync.py what to do, does it, reports. One pass at a time.

    update/wake -> pass: decide -> kill, sandbox, volumes, start -> look again, until there is nothing to do
    terminate   -> the pass is cancelled; containers are stopped within the grace period; the end is reported
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from kybern.api.types import Object
from kybern.kubelet import cgroups, resources, starter, status, sync
from kybern.kubelet.backoff import Backoff
from kybern.kubelet.container_status import Waiting
from kybern.kubelet.host import Host
from kybern.kubelet.killer import grace_period, kill_container, kill_pod, remove_pod
from kybern.kubelet.probes.prober import Prober
from kybern.kubelet.recorder import PodEvents
from kybern.kubelet.runtime.client import RuntimeFailure
from kybern.kubelet.runtime.state import PodState
from kybern.kubelet.volumes.base import VolumeError
from kybern.process.clock import clock, parse_time, random

log = logging.getLogger(__name__)

RETRY = 10.0
"""Seconds after which a failed pass is tried again (upstream's backOffPeriod)."""
VOLUME_RETRY = 2.0


@dataclass(frozen=True, slots=True)
class Ended:
    """Why the kubelet itself ended a pod."""

    phase: str
    reason: str
    message: str


class Worker:
    """Start it with `run()` as a task. `stopped` is set once no container of the pod runs any more."""

    def __init__(self, host: Host, pod: Object) -> None:
        self.host, self.pod = host, pod
        self.uid: str = pod["metadata"]["uid"]
        self.events = PodEvents(host.record, lambda: self.pod)
        self.prober = Prober(host.runtime, self.wake, self.events.container)
        known = pod.get("status") or {}
        # What ended stays ended, though the runtime may have forgotten it.
        self.status: Object = dict(known) if known.get("phase") in ("Succeeded", "Failed") else {}
        self.stopped = asyncio.Event()
        self.on_stopped: Callable[[Worker], None] = lambda worker: None
        self._starter = starter.Starter(host, self.events)
        self._backoff = Backoff()
        self._waiting: dict[str, Waiting] = {}
        self._wake = asyncio.Event()
        self._wake.set()
        self._acting: asyncio.Task[float] | None = None
        self._ended: Ended | None = None
        self._terminating = False
        self._removed = False
        self._grace: int | None = None

    # What others ask of it.

    def wake(self) -> None:
        """Something changed: look again."""
        self._wake.set()

    def update(self, pod: Object) -> None:
        """The pod's newest version; the same UID."""
        self.pod = pod
        if pod["metadata"].get("deletionTimestamp"):
            self.terminate()
        self.wake()

    def terminate(self, grace: int | None = None, *, removed: bool = False) -> None:
        """Stop the pod for good. `grace` in seconds, else the pod's own; a shorter one later cuts it short."""
        wanted = grace_period(self.pod) if grace is None else grace
        self._removed = self._removed or removed
        if self._terminating and self._grace is not None and wanted >= self._grace:
            return
        self._terminating, self._grace = True, wanted
        self.prober.stop_liveness()
        if self._acting:
            self._acting.cancel()
        self.wake()

    def end(self, ended: Ended) -> None:
        """Stop the pod and report a phase of the kubelet's own: evicted, past its deadline, not admitted."""
        if not self._ended and not self._terminating:
            self._ended = ended
            if self._acting:
                self._acting.cancel()
            self.wake()

    @property
    def terminating(self) -> bool:
        return self._terminating

    @property
    def over(self) -> bool:
        """Whether the pod holds no resources any more."""
        return self.stopped.is_set() or self._is_over()

    # Its loop.

    async def run(self) -> None:
        """Until the pod is stopped for good. Runs as a task of its own."""
        delay = 0.0
        try:
            while not self.stopped.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), delay or None)
                self._wake.clear()
                self._acting = asyncio.ensure_future(self._pass())
                await asyncio.wait({self._acting})
                delay = self._result(self._acting)
                self._acting = None
        finally:
            if self._acting:
                self._acting.cancel()
            self.prober.close()

    def _result(self, task: asyncio.Task[float]) -> float:
        """Seconds until the next pass; logs what went wrong."""
        if task.cancelled():
            self.wake()
            return RETRY
        error = task.exception()
        if error is None:
            return task.result()
        if isinstance(error, RuntimeFailure):
            log.warning("%s: %s", self._name, error.described)
            return 1.0 if error.unavailable else RETRY
        log.error("%s: pass failed", self._name, exc_info=error)
        return RETRY

    @property
    def _name(self) -> str:
        return f"{self.pod['metadata']['namespace']}/{self.pod['metadata']['name']}"

    async def _pass(self) -> float:
        """One look and what follows from it. Returns the seconds until the next one is due."""
        if self._terminating:
            await self._terminate()
            return RETRY
        self._check_deadline()
        if self._ended or self._is_over():
            return await self._finish()
        while True:
            state = self.host.cache.get(self.uid)
            self.prober.sync(self.pod, state, self._ip(state), self.host.api_status(self.pod))
            plan = sync.decide(self.pod, state, self.prober.view(), self._backoff, clock.time())
            self._note_backoff(plan)
            self._report(state)
            if self._is_over():
                return await self._finish()
            if plan.idle:
                await self._refresh_volumes(state)
                return self._next(plan)
            log.debug("%s: %s", self._name, plan.sentence())
            retry = await self._act(plan, state)
            self._report(await self.host.cache.refresh(self.uid))
            if retry:
                return retry
            if plan.kill_pod and not plan.create_sandbox and not self._is_over():
                return RETRY

    def _next(self, plan: sync.Plan) -> float:
        period = self.host.config.sync_period * random.uniform(0.9, 1.3)
        deadline = self.pod["spec"].get("activeDeadlineSeconds")
        if deadline is not None:
            period = min(period, max(self._deadline() - clock.time(), 0.05))
        waits = [wait + 0.05 for wait in plan.backing_off.values()]
        return min([period, *waits, *([RETRY] if self._waiting and not plan.backing_off else [])])

    # Doing.

    async def _act(self, plan: sync.Plan, state: PodState) -> float:
        """Carry a plan out; returns the seconds until a retry if something failed, else 0."""
        if plan.kill_pod:
            if state.sandbox and plan.create_sandbox:
                message = "Pod sandbox changed, it will be killed and re-created."
                self.events.pod("Normal", "SandboxChanged", message)
            await kill_pod(self.host, self.events, self.pod, state, grace_period(self.pod))
            if not plan.create_sandbox:
                return 0
        for kill in plan.kill:
            await self._kill(kill, state)
        if not plan.start and not plan.create_sandbox:
            return 0
        return await self._start(plan, state)

    async def _kill(self, kill: sync.Kill, state: PodState) -> None:
        spec = next(c for c in resources.containers(self.pod) if c["name"] == kill.container.name)
        grace = grace_period(self.pod, spec, kill.reason)
        container, ip = kill.container, self._ip(state)
        await kill_container(self.host, self.events, self.pod, container, grace, kill.message, ip)

    async def _start(self, plan: sync.Plan, state: PodState) -> float:
        if not self.pod["spec"].get("hostNetwork") and (error := self.host.network_error()):
            self.events.pod("Warning", "NetworkNotReady", f"network is not ready: {error}")
            return VOLUME_RETRY
        starter.make_directories(self.host, self.pod)
        try:
            await self.host.volumes.mount(self.pod, self._ips(state))
        except VolumeError as error:
            self.events.pod("Warning", "FailedMount", str(error))
            return VOLUME_RETRY
        sandbox = state.sandbox
        if plan.create_sandbox:
            try:
                async with self.host.starting:
                    sandbox = await starter.create_sandbox(self.host, self.events, self.pod, plan.sandbox_attempt)
            except starter.SandboxFailed as error:
                log.warning("%s: %s", self._name, error)
                return VOLUME_RETRY
        assert sandbox is not None
        ips = self.host.config.node_ips if self.pod["spec"].get("hostNetwork") else sandbox.ips
        retry = 0.0
        for planned in plan.start:
            attempt = self.host.config.paths.next_attempt(self.pod, planned.name)
            start = planned if planned.previous else replace(planned, restart_count=attempt)
            try:
                self._count(start)
                await self._starter.start(self.pod, start, sandbox, ips)
                self._waiting.pop(start.name, None)
                await self._prune(start, state)
            except starter.StartFailed as failed:
                log.warning("%s: %s: %s: %s", self._name, start.name, failed.waiting.reason, failed)
                self._waiting[start.name] = failed.waiting
                retry = RETRY
        return retry

    def _count(self, start: sync.Start) -> None:
        """A restart lengthens the next one's backoff."""
        previous = start.previous
        if previous and start.restart_count:
            spec = next(c for c in resources.containers(self.pod) if c["name"] == start.name)
            ended = previous.finished_at or previous.created_at
            self._backoff.advance(sync.backoff_key(spec), ended, clock.time())

    async def _prune(self, start: sync.Start, state: PodState) -> None:
        """Keep one dead attempt of a container, for its log and last state."""
        for old in state.attempts(start.name)[1:]:
            if old.phase == "exited":
                with contextlib.suppress(RuntimeFailure):
                    await self.host.runtime.remove_container(old.id)
                    self.host.config.paths.log_link(self.pod, old.name, old.id).unlink(missing_ok=True)
                    self.host.config.paths.log(self.pod, old.name, old.restart_count).unlink(missing_ok=True)

    def _note_backoff(self, plan: sync.Plan) -> None:
        """Say which containers wait for their restart."""
        meta = self.pod["metadata"]
        where = f"{meta['name']}_{meta['namespace']}({self.uid})"
        for name in plan.backing_off:
            spec = next(c for c in resources.containers(self.pod) if c["name"] == name)
            delay = _duration(self._backoff.delay(sync.backoff_key(spec)))
            message = f"back-off {delay} restarting failed container={name} pod={where}"
            if self._waiting.get(name) != Waiting("CrashLoopBackOff", message):
                text = f"Back-off restarting failed container {name} in pod {where}"
                self.events.container(name, "Warning", "BackOff", text)
            self._waiting[name] = Waiting("CrashLoopBackOff", message)

    async def _refresh_volumes(self, state: PodState) -> None:
        """Follow changes of ConfigMaps, Secrets and tokens while the pod runs."""
        if state.sandbox and state.sandbox.ready:
            try:
                await self.host.volumes.mount(self.pod, self._ips(state))
            except VolumeError as error:
                log.info("%s: %s", self._name, error)

    # Ending.

    def _is_over(self) -> bool:
        """Whether all containers ended and none will be restarted."""
        return self.status.get("phase") in ("Succeeded", "Failed")

    def _deadline(self) -> float:
        began = self.status.get("startTime") or self.host.api_status(self.pod).get("startTime")
        since = parse_time(began) if began else clock.time()
        return since + float(self.pod["spec"].get("activeDeadlineSeconds") or 0)

    def _check_deadline(self) -> None:
        if self.pod["spec"].get("activeDeadlineSeconds") is not None and clock.time() >= self._deadline():
            message = "Pod was active on the node longer than the specified deadline"
            if not self._ended:
                self.events.pod("Normal", "DeadlineExceeded", message)
            self._ended = self._ended or Ended("Failed", "DeadlineExceeded", message)

    async def _finish(self) -> float:
        """The pod is over but still in the API: stop what is left of it."""
        state = self.host.cache.get(self.uid)
        if state.running or (state.sandbox and state.sandbox.ready):
            await kill_pod(self.host, self.events, self.pod, state, grace_period(self.pod))
            state = await self.host.cache.refresh(self.uid)
        self.prober.close()
        self._report(state)
        return self.host.config.sync_period

    async def _terminate(self) -> None:
        grace = grace_period(self.pod) if self._grace is None else self._grace
        # With what the interrupted pass may have started.
        state = await self.host.cache.refresh(self.uid)
        self._report(state)
        await kill_pod(self.host, self.events, self.pod, state, grace)
        state = await self.host.cache.refresh(self.uid)
        self._waiting.clear()
        self.prober.close()
        self._report(state, stopped=True)
        self.stopped.set()
        self.on_stopped(self)

    async def clean_up(self) -> None:
        """Remove all traces of the stopped pod from runtime and disk. Raises RuntimeFailure."""
        await remove_pod(self.host, await self.host.cache.refresh(self.uid))
        self.host.volumes.forget(self.uid)
        if self.host.config.cgroups_per_qos:
            cgroups.remove(self.host.config.cgroup_root, self.uid)

    # Telling.

    def _ips(self, state: PodState) -> tuple[str, ...]:
        if self.pod["spec"].get("hostNetwork"):
            return self.host.config.node_ips
        return state.sandbox.ips if state.sandbox else ()

    def _ip(self, state: PodState) -> str:
        ips = self._ips(state)
        return ips[0] if ips else ""

    def _report(self, state: PodState, *, stopped: bool = False) -> None:
        api = self.host.api_status(self.pod)
        waiting = {} if stopped else dict(self._waiting)
        facts = status.Facts(
            now=clock.time(),
            previous=self.status or api,
            waiting=waiting,
            probes=self.prober.probed(),
            host_ips=self.host.config.node_ips,
            network_ready=bool(state.sandbox and state.sandbox.ready),
            ended=(self._ended.phase, self._ended.reason, self._ended.message) if self._ended else None,
            stopped=stopped,
            runtime=self.host.runtime_name,
        )
        fresh = status.build(self.pod, state, facts)
        if fresh != self.status:
            self.status = fresh
            self.host.report(self.pod, fresh)


def _duration(seconds: float) -> str:
    """As upstream prints durations: `10s`, `2m40s`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
