"""On which nodes a DaemonSet's pods should run, and how a pod is bound to its node. Pure functions.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/ ("How Daemon Pods are scheduled", "Taints
and tolerations")
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from kybern.api.cells import at
from kybern.api.selectors import Requirement, Selector, from_labels
from kybern.api.types import Object
from kybern.controllers.taint_eviction import matches

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!", "Gt": "gt", "Lt": "lt"}
_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_NO_NETWORK = ("node.kubernetes.io/network-unavailable", "NoSchedule")


class Verdict(NamedTuple):
    """What a node means to a DaemonSet."""

    start: bool
    """A pod should be started where there is none."""
    stay: bool
    """A pod that is there may stay."""


_NEVER = Verdict(False, False)


class Placement:
    """A DaemonSet's wishes, prepared for asking about many nodes."""

    def __init__(self, daemon_set: Object) -> None:
        spec = daemon_set["spec"]["template"]["spec"]
        self._node_name = spec.get("nodeName") or ""
        self._labels = from_labels(spec.get("nodeSelector"))
        required = at(spec, "affinity", "nodeAffinity", _REQUIRED)
        self._terms = None if required is None else [_Term(one) for one in required.get("nodeSelectorTerms") or ()]
        self._tolerations = tolerations(spec)

    def on(self, node: Object) -> Verdict:
        """Whether the DaemonSet's pods should run there."""
        meta = node["metadata"]
        if self._node_name not in ("", meta["name"]) or not self._labels.matches(meta.get("labels")):
            return _NEVER
        if self._terms is not None and not any(term.matches(meta) for term in self._terms):
            return _NEVER
        effects = {taint["effect"] for taint in node["spec"].get("taints") or () if not self._tolerates(taint)}
        return Verdict(not effects & {"NoSchedule", "NoExecute"}, "NoExecute" not in effects)

    def _tolerates(self, taint: Object) -> bool:
        return any(matches(toleration, taint) for toleration in self._tolerations)


class _Term:
    """A term of a required node affinity. One that says nothing matches nothing."""

    def __init__(self, term: Object) -> None:
        self._labels = _requirements(term.get("matchExpressions") or ())
        self._fields = _requirements(term.get("matchFields") or ())

    def matches(self, meta: Object) -> bool:
        if self._labels.everything and self._fields.everything:
            return False
        return self._labels.matches(meta.get("labels")) and self._fields.matches({"metadata.name": meta["name"]})


def _requirements(expressions: Iterable[Object]) -> Selector:
    return Selector(
        tuple(
            Requirement(one["key"], _OPERATORS[one["operator"]], frozenset(one.get("values") or ()))
            for one in expressions
        )
    )


def tolerations(spec: Object) -> list[Object]:
    """A pod spec's tolerations with those that daemons get by themselves: a node's troubles don't keep them away."""
    found: list[Object] = list(spec.get("tolerations") or ())
    for key, effect in (*_TOLERATED, *([_NO_NETWORK] if spec.get("hostNetwork") else ())):
        given = {"key": key, "operator": "Exists", "effect": effect}
        for index, one in enumerate(found):
            same = {name: one.get(name) for name in given} == given and not one.get("value")
            if same:
                found[index] = given
                break
        else:
            found.append(given)
    return found


def pinned(spec: Object, node: str) -> Object:
    """A pod spec whose required node affinity is this node and no other, so that the scheduler binds it there."""
    affinity = spec.get("affinity") or {}
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    wanted = {**(affinity.get("nodeAffinity") or {}), _REQUIRED: {"nodeSelectorTerms": [term]}}
    return {**spec, "affinity": {**affinity, "nodeAffinity": wanted}}


def node_of(pod: Object) -> str:
    """The node a daemon's pod is on, or is meant for; "" if it doesn't say."""
    if name := pod["spec"].get("nodeName"):
        return str(name)
    required = at(pod, "spec", "affinity", "nodeAffinity", _REQUIRED) or {}
    for term in required.get("nodeSelectorTerms") or ():
        for field in term.get("matchFields") or ():
            if field["key"] == "metadata.name" and field["operator"] == "In" and len(field.get("values") or ()) == 1:
                return str(field["values"][0])
    return ""
