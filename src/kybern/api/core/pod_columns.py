"""What `kubectl get pods` shows of a pod: the state in one word, restarts, readiness.

The words are upstream's, as every user of kubectl knows them.
"""

from __future__ import annotations

from dataclasses import dataclass

from kybern.api import durations
from kybern.api.cells import at
from kybern.api.resource import AGE, Column
from kybern.api.types import Object


@dataclass(slots=True)
class Summary:
    """A pod in a few words. `restarted` is the RFC 3339 time of the last restart, empty if there was none."""

    ready: int = 0
    total: int = 0
    restarts: int = 0
    restarted: str = ""
    reason: str = ""


def summary(pod: Object) -> Summary:
    """Ready and total containers, restarts, and the word for the pod's state."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    sidecars = {c["name"] for c in spec.get("initContainers") or () if c.get("restartPolicy") == "Always"}
    said = Summary(total=len(spec.get("containers") or ()) + len(sidecars))
    said.reason = status.get("reason") or status.get("phase") or ""
    scheduled = _condition(status, "PodScheduled")
    if scheduled.get("reason") == "SchedulingGated":
        said.reason = "SchedulingGated"
    of_sidecars = Summary()
    initializing = _initializing(spec, status, sidecars, said, of_sidecars)
    if not initializing or _condition(status, "Initialized").get("status") == "True":
        said.restarts, said.restarted = of_sidecars.restarts, of_sidecars.restarted
        _running(status, said)
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            said.reason = "Unknown"
        elif status.get("phase") not in ("Succeeded", "Failed"):
            said.reason = "Terminating"
    return said


def _initializing(spec: Object, status: Object, sidecars: set[str], said: Summary, of_sidecars: Summary) -> bool:
    """Count the init containers; whether one of them is still to end (said.reason then names it)."""
    for index, container in enumerate(status.get("initContainerStatuses") or ()):
        _count(container, said)
        sidecar = container.get("name") in sidecars
        if sidecar:
            _count(container, of_sidecars)
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated is not None and not terminated.get("exitCode"):
            continue
        if sidecar and container.get("started"):
            said.ready += bool(container.get("ready"))
            continue
        if terminated is not None:
            said.reason = f"Init:{_ended(terminated)}"
        elif waiting.get("reason", "PodInitializing") not in ("", "PodInitializing"):
            said.reason = f"Init:{waiting['reason']}"
        else:
            said.reason = f"Init:{index}/{len(spec.get('initContainers') or ())}"
        return True
    return False


def _running(status: Object, said: Summary) -> None:
    """Count the ordinary containers; the first that is not well gives the word."""
    running = False
    for container in reversed(status.get("containerStatuses") or ()):
        _count(container, said)
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if waiting.get("reason"):
            said.reason = waiting["reason"]
        elif terminated is not None:
            said.reason = _ended(terminated)
        elif container.get("ready") and "running" in state:
            running = True
            said.ready += 1
    if said.reason == "Completed" and running:
        said.reason = "Running" if _condition(status, "Ready").get("status") == "True" else "NotReady"


def _count(container: Object, said: Summary) -> None:
    said.restarts += container.get("restartCount") or 0
    finished = at(container, "lastState", "terminated", "finishedAt") or ""
    said.restarted = max(said.restarted, finished)


def _ended(terminated: Object) -> str:
    if terminated.get("reason"):
        return str(terminated["reason"])
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _condition(status: Object, kind: str) -> Object:
    return next((c for c in status.get("conditions") or () if c.get("type") == kind), {})


def _restarts(pod: Object) -> str:
    said = summary(pod)
    ago = f" ({durations.since(said.restarted)} ago)" if said.restarts and said.restarted else ""
    return f"{said.restarts}{ago}"


def _ready(pod: Object) -> str:
    said = summary(pod)
    return f"{said.ready}/{said.total}"


def _ip(pod: Object) -> str:
    ips = at(pod, "status", "podIPs") or ()
    return (ips[0].get("ip") if ips else at(pod, "status", "podIP")) or "<none>"


def _gates(pod: Object) -> str:
    gates = at(pod, "spec", "readinessGates") or ()
    if not gates:
        return "<none>"
    status = pod.get("status") or {}
    true = sum(_condition(status, gate.get("conditionType", "")).get("status") == "True" for gate in gates)
    return f"{true}/{len(gates)}"


COLUMNS = (
    Column("Ready", "string", _ready, "The aggregate readiness state of this pod for accepting traffic."),
    Column("Status", "string", lambda o: summary(o).reason, "The aggregate status of the containers in this pod."),
    Column("Restarts", "string", _restarts, "How often the containers were restarted, and when they last were."),
    AGE,
    Column("IP", "string", _ip, "The pod's address.", 1),
    Column("Node", "string", lambda o: at(o, "spec", "nodeName") or "<none>", "The node it runs on.", 1),
    Column(
        "Nominated Node", "string", lambda o: at(o, "status", "nominatedNodeName") or "<none>",
        "The node that room is made on.", 1,
    ),
    Column("Readiness Gates", "string", _gates, "Conditions that must be true as well.", 1),
)  # fmt: skip
