"""Judging nodes: pure functions from what was seen of a node to conditions and taints.

Source: https://kubernetes.io/docs/reference/node/node-status/ and .../scheduling-eviction/taint-and-toleration/
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kybern.api.types import Object
from kybern.controllers import conditions
from kybern.process.clock import clock, parse_time

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
_UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
_BY_CONDITION = {
    "Ready": {"False": NOT_READY, "Unknown": UNREACHABLE},
    "MemoryPressure": {"True": "node.kubernetes.io/memory-pressure"},
    "DiskPressure": {"True": "node.kubernetes.io/disk-pressure"},
    "PIDPressure": {"True": "node.kubernetes.io/pid-pressure"},
    "NetworkUnavailable": {"True": "node.kubernetes.io/network-unavailable"},
}
_MANAGED_TAINTS = {key for states in _BY_CONDITION.values() for key in states.values()} | {_UNSCHEDULABLE}
_WATCHED = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")
_OLD_LABELS = {"kubernetes.io/os": "beta.kubernetes.io/os", "kubernetes.io/arch": "beta.kubernetes.io/arch"}
_ZONE, _REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"


@dataclass(slots=True)
class Seen:
    """What was last seen of a node, by this process's clock: nodes' own clocks are not trusted."""

    at: float
    heartbeat: str = ""
    renewal: str = ""


@dataclass(slots=True)
class Zone:
    """The nodes of a failure domain in one pass."""

    ready: int = 0
    unready: int = 0
    nodes: list[str] = field(default_factory=list)

    @property
    def fully_disrupted(self) -> bool:
        return self.unready > 0 and self.ready == 0


def observe(seen: Seen | None, node: Object, lease: Object | None, now: float) -> Seen:
    """Take note of a node; `at` is when it last gave a sign of life."""
    ready = conditions.find(node.get("status"), "Ready")
    heartbeat = (ready or {}).get("lastHeartbeatTime") or ""
    renewal = ((lease or {}).get("spec") or {}).get("renewTime") or ""
    if seen is None and ready is None and not renewal:
        return Seen(parse_time(node["metadata"]["creationTimestamp"]))
    if seen is None:
        return Seen(now, heartbeat, renewal)
    if heartbeat == seen.heartbeat and renewal == seen.renewal:
        return seen
    return Seen(now, heartbeat, renewal)


def status_of_silent(node: Object) -> Object:
    """The status of a node that has been silent for too long: what its kubelet reports is unknown."""
    status = dict(node.get("status") or {})
    now = clock.stamp()
    said = {"reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
    listed: list[Object] = []
    for held in status.get("conditions") or ():
        if held["type"] in _WATCHED and held["status"] != "Unknown":
            listed.append({**held, "status": "Unknown", "lastTransitionTime": now, **said})
        else:
            listed.append(held)
    for type in _WATCHED:
        if conditions.find(status, type) is None:
            unknown = conditions.make(type, "Unknown", "NodeStatusNeverUpdated", "Kubelet never posted node status.")
            listed.append({**unknown, "lastHeartbeatTime": node["metadata"]["creationTimestamp"]})
    status["conditions"] = listed
    return status


def readiness(node: Object) -> str:
    """True, False or Unknown."""
    ready = conditions.find(node.get("status"), "Ready")
    return str(ready["status"]) if ready else "Unknown"


def no_schedule_taints(node: Object) -> list[Object]:
    """All the taints the node should have, with those for its conditions brought up to date."""
    wanted = []
    for type, states in _BY_CONDITION.items():
        condition = conditions.find(node.get("status"), type)
        if condition and condition["status"] in states:
            wanted.append(states[condition["status"]])
    if node["spec"].get("unschedulable"):
        wanted.append(_UNSCHEDULABLE)
    kept = []
    for taint in node["spec"].get("taints") or ():
        managed = taint["effect"] == "NoSchedule" and taint["key"] in _MANAGED_TAINTS
        if not managed:
            kept.append(taint)
        elif taint["key"] in wanted:
            kept.append(taint)
            wanted.remove(taint["key"])
    return kept + [{"key": key, "effect": "NoSchedule", "timeAdded": clock.stamp()} for key in wanted]


def is_evicting(node: Object) -> bool:
    """Whether it carries a taint that evicts for lack of readiness."""
    taints = node["spec"].get("taints") or ()
    return any(taint["effect"] == "NoExecute" and taint["key"] in (NOT_READY, UNREACHABLE) for taint in taints)


def no_execute_taints(node: Object, key: str | None) -> list[Object]:
    """All the taints the node should have, with `key` (or none) as the one that evicts for lack of readiness."""
    kept = []
    for taint in node["spec"].get("taints") or ():
        if taint["effect"] == "NoExecute" and taint["key"] in (NOT_READY, UNREACHABLE):
            if taint["key"] == key:
                key = None
            else:
                continue
        kept.append(taint)
    return [*kept, {"key": key, "effect": "NoExecute", "timeAdded": clock.stamp()}] if key else kept


def missing_labels(node: Object) -> dict[str, str]:
    """The old names of the labels for system and architecture, where they don't say what the new ones say."""
    labels = node["metadata"].get("labels") or {}
    return {old: labels[new] for new, old in _OLD_LABELS.items() if labels.get(new) and labels.get(old) != labels[new]}


def zone_of(node: Object) -> str:
    """The failure domain: region and zone labels."""
    labels = node["metadata"].get("labels") or {}
    return f"{labels.get(_REGION, '')}:{labels.get(_ZONE, '')}"


def eviction_rate(zone: Zone, *, normal: float, secondary: float, threshold: float, large: int) -> float:
    """Nodes per second whose pods may be evicted: slower, or not at all, where much of a zone is unready. Where all of
    it is, there is nothing left to protect: as fast as ever."""
    whole = zone.ready + zone.unready
    if not zone.fully_disrupted and zone.unready > 2 and zone.unready / whole >= threshold:
        return secondary if whole > large else 0.0
    return normal
