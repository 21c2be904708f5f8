"""What should be done about a pod: a pure function from its spec, the runtime's state and the history to a plan.

    no good sandbox        -> stop what is left, create a sandbox, begin anew with the first init container
    ephemeral containers   -> started once, whatever state the others are in
    init containers        -> one after the other; a sidecar (restartPolicy Always) counts as done once it has started
    ordinary containers    -> start those that never ran; restart the exited ones as policy and backoff allow
    a failed probe         -> kill the container; the next pass restarts it
    all have ended         -> stop the sandbox

Nothing here talks to anyone; worker.py carries the plan out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import orjson

from kybern.api.types import Object
from kybern.kubelet.backoff import Backoff
from kybern.kubelet.runtime.state import Container, PodState

Kind = Literal["init", "container", "ephemeral"]


@dataclass(frozen=True, slots=True)
class ProbeView:
    """What the probes say of one running container."""

    started: bool = True
    """The startup probe succeeded, or there is none."""
    kill_reason: str = ""
    """Why the container must be killed: "liveness" or "startup"; empty if it need not."""


@dataclass(frozen=True, slots=True)
class Start:
    """Start a new attempt at a container."""

    name: str
    kind: Kind
    restart_count: int
    previous: Container | None = None
    target: str = ""
    """The id of the container whose processes an ephemeral one sees."""


@dataclass(frozen=True, slots=True)
class Kill:
    """Stop a running container. `message` is upstream's Killing event."""

    container: Container
    message: str
    reason: Literal["liveness", "startup", "spec", "unknown"]


@dataclass(slots=True)
class Plan:
    """What one pass should do, in this order: kill, create the sandbox, start."""

    kill_pod: bool = False
    create_sandbox: bool = False
    sandbox_attempt: int = 0
    kill: list[Kill] = field(default_factory=list)
    start: list[Start] = field(default_factory=list)
    backing_off: dict[str, float] = field(default_factory=dict)
    """Container name -> seconds until it may be restarted."""

    @property
    def idle(self) -> bool:
        return not (self.kill_pod or self.create_sandbox or self.kill or self.start)

    def sentence(self) -> str:
        """The pass in words, for the log."""
        parts = []
        if self.kill_pod:
            parts.append("stop the pod's sandbox and containers")
        if self.create_sandbox:
            parts.append(f"create sandbox (attempt {self.sandbox_attempt})")
        parts += [f"kill {kill.container.name} ({kill.reason})" for kill in self.kill]
        parts += [f"start {start.name} (restart {start.restart_count})" for start in self.start]
        parts += [f"{name} waits {seconds:.0f}s" for name, seconds in self.backing_off.items()]
        return ", ".join(parts) or "nothing to do"


def container_hash(container: Object) -> str:
    """Identifies what a container was started from: a change of it (its image) means a restart."""
    seed = orjson.dumps({"name": container["name"], "image": container.get("image", "")}, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(seed).hexdigest()[:8]


def is_sidecar(container: Object) -> bool:
    """Whether an init container keeps running beside the others."""
    return bool(container.get("restartPolicy") == "Always")


def restart_policy(pod: Object) -> str:
    return str(pod["spec"].get("restartPolicy") or "Always")


def may_restart(pod: Object, container: Object, exit_code: int) -> bool:
    """Whether an ordinary container that ended with `exit_code` is to be started again."""
    for rule in container.get("restartPolicyRules") or []:
        codes = rule.get("exitCodes") or {}
        inside = exit_code in (codes.get("values") or [])
        if inside == (codes.get("operator") == "In"):
            return bool(rule.get("action") == "Restart")
    policy = container.get("restartPolicy") or restart_policy(pod)
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def decide(pod: Object, state: PodState, probes: Mapping[str, ProbeView], backoff: Backoff, now: float) -> Plan:
    """The plan for a pod that should run. `probes` is by container id; `now` in seconds since the epoch."""
    return _Decision(pod, state, probes, backoff, now).plan()


class _Decision:
    def __init__(
        self, pod: Object, state: PodState, probes: Mapping[str, ProbeView], backoff: Backoff, now: float
    ) -> None:
        self.pod, self.state, self.probes, self.backoff, self.now = pod, state, probes, backoff, now
        self.inits: list[Object] = pod["spec"].get("initContainers") or []
        self.containers: list[Object] = pod["spec"].get("containers") or []
        self.result = Plan()

    def plan(self) -> Plan:
        sandbox = self.state.sandbox
        if sandbox is None or not sandbox.ready:
            self._new_sandbox()
            return self.result
        self._ephemeral()
        initialized = any(self._latest(c["name"]) for c in self.containers)
        if self._init(initialized) or initialized:
            self._ordinary()
        return self.result

    def _latest(self, name: str) -> Container | None:
        return self.state.latest(name, self.state.sandbox.id if self.state.sandbox else "")

    def _new_sandbox(self) -> None:
        result, old = self.result, self.state.sandbox
        result.kill_pod = old is not None
        result.sandbox_attempt = old.attempt + 1 if old else 0
        if restart_policy(self.pod) == "Never" and old and self.state.containers:
            return
        wanted = []
        for container in self.containers:
            last = self.state.latest(container["name"])
            if not (last and last.succeeded and not may_restart(self.pod, container, 0)):
                wanted.append(container)
        if not wanted:
            return
        result.create_sandbox = True
        if self.inits:
            self._begin(self.inits[0], "init")
        else:
            for container in wanted:
                self._begin(container, "container")

    def _ephemeral(self) -> None:
        for container in self.pod["spec"].get("ephemeralContainers") or []:
            if self.state.latest(container["name"]) is None:
                target = self._latest(container.get("targetContainerName") or "")
                seen = target.id if target and target.running else ""
                self.result.start.append(Start(container["name"], "ephemeral", 0, target=seen))

    def _init(self, initialized: bool) -> bool:
        """Plan the init containers; True once all are done, so that the ordinary ones may run."""
        for container in self.inits:
            last = self._latest(container["name"])
            if is_sidecar(container):
                if not self._sidecar(container, last) and not initialized:
                    return False
                continue
            if initialized or (last and last.succeeded):
                continue
            if last is None:
                self._begin(container, "init")
            elif last.phase == "running":
                pass
            elif last.phase == "exited" and restart_policy(self.pod) == "Never":
                self.result.kill_pod = True
                self.result.kill.clear()
                self.result.start.clear()
            else:
                self._restart(container, "init", last)
            return False
        return True

    def _sidecar(self, container: Object, last: Container | None) -> bool:
        """Plan a sidecar; True if it has started."""
        if last is None:
            self._begin(container, "init")
        elif last.phase == "running":
            return self._check(container, last) and self.probes.get(last.id, ProbeView()).started
        else:
            self._restart(container, "init", last)
        return False

    def _ordinary(self) -> None:
        keep = 0
        for container in self.containers:
            last = self._latest(container["name"])
            if last is None:
                self._begin(container, "container")
                keep += 1
            elif last.phase == "running":
                self._check(container, last)
                keep += 1
            elif last.phase == "unknown":
                message = "Container is in unknown state, try killing it before restart"
                self.result.kill.append(Kill(last, message, "unknown"))
                keep += 1
            elif last.phase == "created" or may_restart(self.pod, container, last.exit_code):
                self._restart(container, "container", last)
                keep += 1
        if not keep:
            self.result = Plan(kill_pod=True)

    def _check(self, container: Object, running: Container) -> bool:
        """Plan the kill of a running container if it must die; True if it may live."""
        name, reason = container["name"], self.probes.get(running.id, ProbeView()).kill_reason
        if running.hash and running.hash != container_hash(container):
            message = f"Container {name} definition changed, will be restarted"
            self.result.kill.append(Kill(running, message, "spec"))
        elif reason:
            tail = ", will be restarted" if may_restart(self.pod, container, 1) or is_sidecar(container) else ""
            message = f"Container {name} failed {reason} probe{tail}"
            self.result.kill.append(Kill(running, message, "liveness" if reason == "liveness" else "startup"))
        else:
            return True
        return False

    def _begin(self, container: Object, kind: Kind) -> None:
        last = self.state.latest(container["name"])
        count = last.restart_count + 1 if last else 0
        self.result.start.append(Start(container["name"], kind, count, last))

    def _restart(self, container: Object, kind: Kind, last: Container) -> None:
        key = backoff_key(container)
        wait = self.backoff.remaining(key, last.finished_at or last.created_at, self.now)
        if wait > 0:
            self.result.backing_off[container["name"]] = wait
        else:
            self.result.start.append(Start(container["name"], kind, last.restart_count + 1, last))


def backoff_key(container: Object) -> tuple[str, str]:
    """A changed container starts with a fresh backoff."""
    return container["name"], container_hash(container)
