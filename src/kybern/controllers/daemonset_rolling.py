"""Which pods of a DaemonSet to delete and on which nodes to start one: pure functions from what is there.

Source: https://kubernetes.io/docs/tasks/manage-daemon/update-daemon-set/; API reference, RollingUpdateDaemonSet
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from kybern.api.apps.daemonset import template_generation
from kybern.api.types import Object
from kybern.controllers import pods
from kybern.controllers.daemonset_nodes import Verdict, node_of
from kybern.controllers.owners import is_deleting
from kybern.controllers.revisions import POD_LABEL

GENERATION = "pod-template-generation"

ByNode = Mapping[str, Sequence[Object]]
"""Node name -> the DaemonSet's pods that are there or are meant for it."""


@dataclass(slots=True)
class Plan:
    """What to do."""

    delete: list[Object] = field(default_factory=list)
    start: list[str] = field(default_factory=list)
    """Nodes to start a pod on."""
    finished: list[Object] = field(default_factory=list)
    """Pods that failed or succeeded, which a daemon never should: to delete with an event, the failed ones not too
    fast."""

    def __bool__(self) -> bool:
        return bool(self.delete or self.start)

    def add(self, other: Plan) -> None:
        self.delete += other.delete
        self.start += other.start
        self.finished += other.finished


def by_node(found: Iterable[Object]) -> dict[str, list[Object]]:
    """The pods by node, without those that are finished and being deleted."""
    nodes: dict[str, list[Object]] = {}
    for pod in found:
        if not (is_deleting(pod) and pods.is_finished(pod)):
            nodes.setdefault(node_of(pod), []).append(pod)
    nodes.pop("", None)
    return nodes


def by_age(found: Iterable[Object]) -> list[Object]:
    """Those that are bound first, then the oldest."""
    return sorted(
        found,
        key=lambda pod: (
            not pod["spec"].get("nodeName"),
            pod["metadata"].get("creationTimestamp", ""),
            pod["metadata"]["name"],
        ),
    )


def is_updated(daemon_set: Object, pod: Object, hash: str) -> bool:
    """Whether the pod is of the present template."""
    labels = pod["metadata"].get("labels") or {}
    if hash and labels.get(POD_LABEL) == hash:
        return True
    generation = template_generation(daemon_set)
    return generation is not None and labels.get(GENERATION) == str(generation)


def is_available(daemon_set: Object, pod: Object) -> bool:
    return pods.is_available(pod, daemon_set["spec"].get("minReadySeconds", 0))


def limits(daemon_set: Object, desired: int) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) for so many nodes; not both 0, else nothing could ever move."""
    strategy = daemon_set["spec"]["updateStrategy"]
    rolling = strategy.get("rollingUpdate") or {}
    if strategy["type"] != "RollingUpdate":
        return 0, 0
    surge, unavailable = (
        _scaled(rolling.get("maxSurge", 0), desired),
        _scaled(rolling.get("maxUnavailable", 1), desired),
    )
    return surge, unavailable if surge or unavailable or not desired else 1


def _scaled(value: int | str, of: int) -> int:
    return math.ceil(int(value.rstrip("%")) * of / 100) if isinstance(value, str) else value


def settle_node(daemon_set: Object, node: str, verdict: Verdict, present: Sequence[Object], hash: str) -> Plan:
    """One node, apart from updates: a pod where there should be one, none where not, and no more than are needed."""
    if verdict.start and not present:
        return Plan(start=[node])
    living = [pod for pod in present if not is_deleting(pod)]
    if not verdict.stay:
        return Plan(delete=living)
    running = by_age(pod for pod in living if not pods.is_finished(pod))
    plan = Plan(finished=[pod for pod in living if pods.is_finished(pod)])
    if not limits(daemon_set, 1)[0]:
        plan.delete = running[1:]
    elif not running:
        plan.start = [node] if verdict.start else []
    elif len(running) > 1:
        plan.delete = _surplus(daemon_set, running, hash)
    return plan


def _surplus(daemon_set: Object, running: Sequence[Object], hash: str) -> list[Object]:
    """While surging there may be two: an old one that is ready, and a new one that is not yet available."""
    new = [pod for pod in running if (pod["metadata"].get("labels") or {}).get(POD_LABEL) == hash]
    old = [pod for pod in running if pod not in new]
    surplus = new[1:] + old[1:]
    if new and old and (not pods.is_ready(old[0]) or is_available(daemon_set, new[0])):
        surplus.append(old[0])
    return surplus


def stranded(nodes: Iterable[str], placed: ByNode) -> list[Object]:
    """Pods meant for nodes that are no more: nobody else would delete them."""
    known = set(nodes)
    lost = (pod for node, found in placed.items() if node not in known for pod in found)
    return [pod for pod in lost if not pod["spec"].get("nodeName")]


def roll(daemon_set: Object, verdicts: Mapping[str, Verdict], placed: ByNode, hash: str) -> Plan:
    """The next step of a rolling update. `verdicts` has every node."""
    wanted = [node for node, verdict in verdicts.items() if verdict.start]
    nodes = {**dict.fromkeys(wanted, ()), **placed}
    surge, unavailable = limits(daemon_set, len(wanted))
    if surge:
        return _surge(daemon_set, verdicts, nodes, hash, surge)
    return _replace(daemon_set, nodes, hash, unavailable)


def _replace(daemon_set: Object, nodes: ByNode, hash: str, allowed: int) -> Plan:
    """Delete old pods, as many as may be unavailable; new ones follow by themselves."""
    missing, broken, candidates = 0, [], []
    for present in nodes.values():
        pair = _pair(daemon_set, present, hash)
        if pair is None or (pair[0] is None) == (pair[1] is None):
            # Nothing there, or more than there should be: that is settled elsewhere.
            missing += 1
            continue
        new, old = pair
        if new is not None:
            missing += not is_available(daemon_set, new)
        elif old is not None and not is_available(daemon_set, old):
            broken.append(old)
            missing += 1
        elif old is not None:
            candidates.append(old)
    return Plan(delete=broken + candidates[: max(0, allowed - missing)])


def _surge(daemon_set: Object, verdicts: Mapping[str, Verdict], nodes: ByNode, hash: str, allowed: int) -> Plan:
    """Start new pods beside old ones, as many as allowed; an old one goes once the new one is available."""
    plan = Plan()
    surging = available = 0
    candidates: list[str] = []
    leaving: list[Object] = []
    for node, present in nodes.items():
        pair = _pair(daemon_set, present, hash)
        if pair is None:
            surging += 1
            continue
        new, old = pair
        serving = old or new
        fit = serving is not None and is_available(daemon_set, serving)
        available += fit
        wanted = node in verdicts and verdicts[node].start
        if old is None:
            continue
        if new is not None:
            if is_available(daemon_set, new):
                plan.delete.append(old)
            else:
                surging += 1
        elif wanted:
            (candidates if fit else plan.start).append(node)
        else:
            (leaving if fit else plan.delete).append(old)
    # Pods on nodes that fell out of favour keep serving until others do.
    desired = sum(verdict.start for verdict in verdicts.values())
    plan.delete += leaving[: max(0, available - desired)]
    plan.start += candidates[: max(0, allowed - surging)]
    return plan


def _pair(daemon_set: Object, present: Iterable[Object], hash: str) -> tuple[Object | None, Object | None] | None:
    """(new, old) of a node, without those being deleted; None if there are several of either."""
    found: dict[bool, Object] = {}
    for pod in present:
        if is_deleting(pod):
            continue
        updated = is_updated(daemon_set, pod, hash)
        if updated in found:
            return None
        found[updated] = pod
    return found.get(True), found.get(False)


def new_status(
    daemon_set: Object, verdicts: Mapping[str, Verdict], placed: ByNode, hash: str, *, observed: bool
) -> Object:
    """The status to show. `observed`: the present generation has been acted on."""
    desired = current = misplaced = ready = updated = available = 0
    for node, verdict in verdicts.items():
        present = placed.get(node) or ()
        if not verdict.start:
            misplaced += bool(present)
            continue
        desired += 1
        if not present:
            continue
        current += 1
        pod = by_age(present)[0]
        updated += is_updated(daemon_set, pod, hash)
        if pods.is_ready(pod):
            ready += 1
            available += is_available(daemon_set, pod)
    before = daemon_set.get("status") or {}
    status: Object = {name: before[name] for name in ("collisionCount", "conditions") if name in before}
    status |= {"currentNumberScheduled": current, "numberMisscheduled": misplaced, "desiredNumberScheduled": desired}
    status["numberReady"] = ready
    generation = daemon_set["metadata"].get("generation", 0) if observed else before.get("observedGeneration", 0)
    counts = {
        "observedGeneration": generation,
        "updatedNumberScheduled": updated,
        "numberAvailable": available,
        "numberUnavailable": desired - available,
    }
    return status | {name: value for name, value in counts.items() if value}
