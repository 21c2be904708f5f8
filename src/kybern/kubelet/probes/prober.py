"""When a probe is made and what its results mean: delays, periods, thresholds. One loop per probe of a container."""

from __future__ import annotations

import asyncio
import importlib
import logging
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import kybern.kubelet.probes as package
from kybern.api.types import Object
from kybern.kubelet.container_status import Probed
from kybern.kubelet.probes.base import Probe, ProbeError, Target
from kybern.kubelet.runtime.client import RuntimeClient
from kybern.kubelet.runtime.state import Container, PodState
from kybern.kubelet.sync import ProbeView, is_sidecar
from kybern.process.clock import clock

log = logging.getLogger(__name__)

KINDS = {"startup": "startupProbe", "liveness": "livenessProbe", "readiness": "readinessProbe"}

Say = Callable[[str, str, str, str], None]
"""Records an event on a container: its name, type, reason, message."""


@lru_cache(maxsize=1)
def mechanisms() -> dict[str, Probe]:
    """Every module's `PROBE`, by the field that selects it."""
    found: dict[str, Probe] = {}
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        probe: Any = getattr(importlib.import_module(module.name), "PROBE", None)
        if probe is not None:
            found[probe.field] = probe
    return found


@dataclass(slots=True)
class Tally:
    """Counts results in a row and decides when they count. Pure."""

    success_threshold: int
    failure_threshold: int
    passing: bool | None
    _last: bool | None = None
    _run: int = 0

    def record(self, success: bool) -> bool:
        """Take one result; True if `passing` changed by it."""
        self._run = self._run + 1 if success == self._last else 1
        self._last = success
        threshold = self.success_threshold if success else self.failure_threshold
        if self._run < threshold or self.passing == success:
            return False
        self.passing = success
        return True


@dataclass(slots=True)
class _Watched:
    """The probes of one running container."""

    container: Object
    running: Container
    startup: Tally | None = None
    liveness: Tally | None = None
    readiness: Tally | None = None
    started: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Prober:
    """The probes of one pod. `changed` is called when a result changes what the pod's worker must know."""

    def __init__(self, runtime: RuntimeClient, changed: Callable[[], None], say: Say) -> None:
        self.runtime, self._changed, self._say = runtime, changed, say
        self._watched: dict[str, _Watched] = {}

    def sync(self, pod: Object, state: PodState, ip: str, known: Object | None = None) -> None:
        """Begin probing containers that run now, and stop with those that don't. What the pod's `known` status says
        of a container that ran before this kubelet began holds until its probes say otherwise (KEP-4781)."""
        running = {container.id: container for container in state.containers if container.running}
        for gone in self._watched.keys() - running.keys():
            self._stop(self._watched.pop(gone))
        specs = {c["name"]: c for c in pod["spec"].get("containers") or []}
        specs |= {c["name"]: c for c in pod["spec"].get("initContainers") or [] if is_sidecar(c)}
        fields = ("containerStatuses", "initContainerStatuses")
        said = {
            status.get("containerID", "").rpartition("//")[2]: status
            for field in fields
            for status in (known or {}).get(field) or ()
        }
        for id, container in running.items():
            spec = specs.get(container.name)
            if id not in self._watched and spec and any(spec.get(field) for field in KINDS.values()):
                self._watched[id] = self._watch(spec, container, ip, said.get(id, {}))

    def stop_liveness(self) -> None:
        """The pod is ending: only readiness still matters."""
        for watched in self._watched.values():
            watched.liveness = watched.startup = None
            watched.started.set()

    def close(self) -> None:
        for watched in self._watched.values():
            self._stop(watched)
        self._watched.clear()

    @staticmethod
    def _stop(watched: _Watched) -> None:
        for task in watched.tasks:
            task.cancel()

    def view(self) -> dict[str, ProbeView]:
        """By container id, for deciding."""
        return {id: self._view(watched) for id, watched in self._watched.items()}

    def probed(self) -> dict[str, Probed]:
        """By container id, for the status."""
        result = {}
        for id, watched in self._watched.items():
            started = watched.startup is None or watched.startup.passing is True
            ready = watched.readiness is None or watched.readiness.passing is True
            result[id] = Probed(started, ready)
        return result

    @staticmethod
    def _view(watched: _Watched) -> ProbeView:
        started = watched.startup is None or watched.startup.passing is True
        if watched.startup is not None and watched.startup.passing is False:
            return ProbeView(started, "startup")
        if watched.liveness is not None and watched.liveness.passing is False:
            return ProbeView(started, "liveness")
        return ProbeView(started)

    def _watch(self, spec: Object, container: Container, ip: str, said: Object) -> _Watched:
        watched = _Watched(spec, container)
        target = Target(self.runtime, spec, container.id, ip)
        initial = {"startup": None, "liveness": True, "readiness": bool(said.get("ready"))}
        for kind, name in KINDS.items():
            probe = spec.get(name)
            if not probe or (kind == "startup" and said.get("started")):
                continue
            tally = Tally(probe.get("successThreshold") or 1, probe.get("failureThreshold") or 3, initial[kind])
            setattr(watched, kind, tally)
            loop = self._loop(kind, probe, tally, watched, target)
            watched.tasks.append(asyncio.create_task(loop, name=f"{kind} probe of {container.name}"))
        if watched.startup is None:
            watched.started.set()
        return watched

    async def _loop(self, kind: str, probe: Object, tally: Tally, watched: _Watched, target: Target) -> None:
        since = watched.running.started_at or clock.time()
        await asyncio.sleep(max(0.0, since + (probe.get("initialDelaySeconds") or 0) - clock.time()))
        if kind != "startup":
            await watched.started.wait()
        loop, period = asyncio.get_running_loop(), probe.get("periodSeconds") or 10
        following = loop.time()
        while True:
            if getattr(watched, kind) is not tally:
                # The pod is ending: this kind of probe is over.
                return
            success = await self._once(kind, probe, target)
            if success is not None and tally.record(success):
                if kind == "startup":
                    watched.started.set()
                self._changed()
                if kind == "startup" or (kind == "liveness" and not success):
                    return
            following = max(following + period, loop.time())
            await asyncio.sleep(following - loop.time())

    async def _once(self, kind: str, probe: Object, target: Target) -> bool | None:
        """The result; None if the probe couldn't be made."""
        name, title = target.container["name"], kind.capitalize()
        for mechanism_field, mechanism in mechanisms().items():
            if action := probe.get(mechanism_field):
                try:
                    success, text = await mechanism.probe(target, action, probe.get("timeoutSeconds") or 1)
                except Exception as error:  # whatever a server answers, the next probe must be made
                    if not isinstance(error, ProbeError):
                        log.warning("%s probe of %s", kind, name, exc_info=error)
                    text = f"{title} probe errored and resulted in unknown state: {error}"
                    self._say(name, "Warning", "Unhealthy", text)
                    return None
                if not success:
                    self._say(name, "Warning", "Unhealthy", f"{title} probe failed: {text}")
                return success
        return True
