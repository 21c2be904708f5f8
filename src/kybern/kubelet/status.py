"""A pod's status as the API shows it: a pure function from spec, runtime state and facts.

Source: "Pod Lifecycle" concept page; reasons, messages and the order of conditions are upstream's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kybern.api.core.qos import qos_class
from kybern.api.types import Object
from kybern.kubelet import container_status as containers
from kybern.kubelet.resources import ephemeral
from kybern.kubelet.runtime.state import PodState
from kybern.kubelet.sync import is_sidecar, restart_policy
from kybern.process.clock import format_time

OWNED = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady")
"""The conditions the kubelet sets; others in the list belong to others and are kept."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What spec and runtime don't say. `previous` is the status last known to the API."""

    now: float
    previous: Object
    waiting: Mapping[str, containers.Waiting] = field(default_factory=dict)
    probes: Mapping[str, containers.Probed] = field(default_factory=dict)
    host_ips: tuple[str, ...] = ()
    network_ready: bool = False
    """Whether the sandbox is up with its network."""
    ended: tuple[str, str, str] | None = None
    """(phase, reason, message) if the kubelet itself ended the pod: evicted, past its deadline, not admitted."""
    stopped: bool = False
    """Whether the pod is over for good: nothing of it will be started again."""
    runtime: str = "containerd"


def build(pod: Object, state: PodState, facts: Facts) -> Object:
    """The whole status."""
    spec, previous = pod["spec"], facts.previous
    inits = containers.statuses(pod, spec.get("initContainers") or [], state, facts, "initContainerStatuses")
    ordinary = containers.statuses(pod, spec.get("containers") or [], state, facts, "containerStatuses")
    added = containers.statuses(pod, ephemeral(pod), state, facts, "ephemeralContainerStatuses")
    status: Object = {"phase": phase(pod, inits, ordinary, facts)}
    if facts.ended:
        status["phase"], status["reason"], status["message"] = facts.ended
    elif previous.get("phase") in ("Succeeded", "Failed"):
        # A pod that is over stays over.
        status |= {name: previous[name] for name in ("phase", "reason", "message") if name in previous}
    if facts.stopped:
        containers.settle(pod, inits, ordinary)
        if status["phase"] not in ("Succeeded", "Failed") and not _is_static(pod):
            # Whoever waits for the end of a pod, as Jobs do, must see one, though nothing of it ever ran.
            status["phase"] = "Failed"
    containers.shorten([*inits, *ordinary, *added])
    if generation := pod["metadata"].get("generation"):
        status["observedGeneration"] = generation
    status["conditions"] = conditions(pod, inits, ordinary, status["phase"], facts)
    if facts.host_ips:
        status["hostIP"] = facts.host_ips[0]
        status["hostIPs"] = [{"ip": ip} for ip in facts.host_ips]
    ips = addresses(pod, state, facts)
    if ips:
        status["podIP"] = ips[0]
        status["podIPs"] = [{"ip": ip} for ip in ips]
    status["startTime"] = previous.get("startTime") or format_time(facts.now)
    if inits:
        status["initContainerStatuses"] = inits
    status["containerStatuses"] = ordinary
    if added:
        status["ephemeralContainerStatuses"] = added
    for name in ("resize", "nominatedNodeName", "resourceClaimStatuses"):
        if name in previous:
            status[name] = previous[name]
    status["qosClass"] = previous.get("qosClass") or qos_class(pod)
    return status


def addresses(pod: Object, state: PodState, facts: Facts) -> tuple[str, ...]:
    """The pod's addresses: the node's on the host network; the last known ones once the sandbox is gone."""
    if pod["spec"].get("hostNetwork"):
        return facts.host_ips
    if state.sandbox and state.sandbox.ips:
        return state.sandbox.ips
    return tuple(entry["ip"] for entry in facts.previous.get("podIPs") or [])


def phase(pod: Object, inits: list[Object], ordinary: list[Object], facts: Facts) -> str:
    """Pending, Running, Succeeded or Failed, from the containers' states."""
    never = restart_policy(pod) == "Never"
    pending_init = False
    for container, status in zip(pod["spec"].get("initContainers") or [], inits, strict=True):
        ended = status["state"].get("terminated")
        if is_sidecar(container):
            pending_init = pending_init or not (status["started"] or ended or status.get("lastState"))
        elif not ended:
            pending_init = True
        elif ended["exitCode"]:
            if never:
                return "Failed"
            pending_init = True
    begun = any("waiting" not in status["state"] or status["lastState"] for status in ordinary)
    if pending_init and not begun:
        return "Failed" if facts.stopped and inits and never else "Pending"
    states = [status["state"] for status in ordinary]
    if any("waiting" in s["state"] and not s["lastState"] for s in ordinary):
        return "Pending"
    if any("running" in state for state in states):
        return "Running"
    if any("running" in status["state"] for status in _sidecar_statuses(pod, inits)):
        return "Running"
    ends = [(s["state"].get("terminated") or s["lastState"].get("terminated") or {}) for s in ordinary]
    all_well = all(end.get("exitCode") == 0 for end in ends)
    if facts.stopped:
        return "Succeeded" if all_well else "Failed"
    if restart_policy(pod) == "Always":
        return "Running"
    if all_well:
        return "Succeeded"
    return "Failed" if never else "Running"


def conditions(pod: Object, inits: list[Object], ordinary: list[Object], phase_: str, facts: Facts) -> list[Object]:
    """The kubelet's conditions, then those of others."""
    unready = [status["name"] for status in [*_sidecar_statuses(pod, inits), *ordinary] if not status["ready"]]
    ready = _readiness(unready, phase_)
    fresh = [
        _condition("PodReadyToStartContainers", facts.network_ready),
        _initialized(pod, inits, ordinary, phase_),
        _gated(pod, ready, facts.previous),
        {"type": "ContainersReady", **ready},
    ]
    known = {condition["type"]: condition for condition in facts.previous.get("conditions") or []}
    if _source(pod) and "PodScheduled" not in known:
        fresh.append(_condition("PodScheduled", True))
    now, generation = format_time(facts.now), pod["metadata"].get("generation")
    for condition in fresh:
        old = known.pop(condition["type"], None)
        same = old is not None and old["status"] == condition["status"]
        if generation:
            condition["observedGeneration"] = generation
        condition["lastProbeTime"] = None
        condition["lastTransitionTime"] = old["lastTransitionTime"] if old is not None and same else now
    return [*fresh, *known.values()]


def _source(pod: Object) -> str:
    return str((pod["metadata"].get("annotations") or {}).get("kubernetes.io/config.source", ""))


def _is_static(pod: Object) -> bool:
    return _source(pod) not in ("", "api")


def _condition(type_: str, value: bool, reason: str = "", message: str = "") -> Object:
    condition: Object = {"type": type_, "status": "True" if value else "False"}
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    return condition


def _sidecar_statuses(pod: Object, inits: list[Object]) -> list[Object]:
    specs = pod["spec"].get("initContainers") or []
    return [status for container, status in zip(specs, inits, strict=True) if is_sidecar(container)]


def _readiness(unready: list[str], phase_: str) -> Object:
    if phase_ in ("Succeeded", "Failed"):
        return {"status": "False", "reason": "PodCompleted" if phase_ == "Succeeded" else "PodFailed"}
    if unready:
        text = f"containers with unready status: [{' '.join(unready)}]"
        return {"status": "False", "reason": "ContainersNotReady", "message": text}
    return {"status": "True"}


def _gated(pod: Object, ready: Object, previous: Object) -> Object:
    """The Ready condition: the containers', and the pod's readiness gates."""
    if ready["status"] != "True":
        return {"type": "Ready", **ready}
    known = {condition["type"]: condition["status"] for condition in previous.get("conditions") or []}
    problems = []
    for gate in pod["spec"].get("readinessGates") or []:
        kind = gate["conditionType"]
        if kind not in known:
            problems.append(f'corresponding condition of pod readiness gate "{kind}" does not exist.')
        elif known[kind] != "True":
            problems.append(f'the status of pod readiness gate "{kind}" is not "True", but {known[kind]}')
    return _condition("Ready", not problems, "ReadinessGatesNotReady" if problems else "", ", ".join(problems))


def _initialized(pod: Object, inits: list[Object], ordinary: list[Object], phase_: str) -> Object:
    begun = any("waiting" not in status["state"] or status["lastState"] for status in ordinary)
    incomplete = []
    for container, status in zip(pod["spec"].get("initContainers") or [], inits, strict=True):
        done = status["started"] if is_sidecar(container) else status["ready"]
        if not done and not begun:
            incomplete.append(status["name"])
    if not incomplete:
        return _condition("Initialized", True, "PodCompleted" if phase_ == "Succeeded" else "")
    text = f"containers with incomplete status: [{' '.join(incomplete)}]"
    return _condition("Initialized", False, "ContainersNotInitialized", text)
