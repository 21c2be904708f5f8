"""nodeSelector and nodeAffinity: required terms filter, preferred terms score.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import orjson

from kybern.api.types import Object
from kybern.scheduler.framework import (
    SKIP,
    ClusterEvent,
    Code,
    CycleState,
    Mask,
    Plugin,
    Rejections,
    Rows,
    Scores,
    Status,
    count_all,
    scale_to_max,
)
from kybern.scheduler.pod import PodInfo
from kybern.scheduler.snapshot import ABSENT, NodeTable


def _affinity(pod: PodInfo) -> Object:
    return (pod.spec.get("affinity") or {}).get("nodeAffinity") or {}


def _required_terms(pod: PodInfo) -> list[Object] | None:
    required = _affinity(pod).get("requiredDuringSchedulingIgnoredDuringExecution")
    return None if required is None else required.get("nodeSelectorTerms") or []


class NodeAffinity(Plugin):
    name = "NodeAffinity"
    events = {ClusterEvent.NODE_ADD: None, ClusterEvent.NODE_LABEL: None, ClusterEvent.POD_UPDATE: None}

    def sign(self, pod: PodInfo) -> bytes:
        return orjson.dumps([pod.spec.get("nodeSelector"), _affinity(pod)], option=orjson.OPT_SORT_KEYS)

    def pre_filter(self, state: CycleState, pod: PodInfo, nodes: NodeTable) -> Status | Rows | None:
        """Pods of a DaemonSet name their node: look at that one only."""
        names = _named_nodes(_required_terms(pod) or [])
        if names is None:
            return None
        if not names:
            return Status(Code.UNRESOLVABLE, "pod affinity terms conflict", self.name)
        return np.array(sorted(nodes.row_of[name] for name in names if name in nodes.row_of), np.intp)

    def filter(self, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Mask:
        fits: Mask = np.ones(len(rows), np.bool_)
        for key, value in (pod.spec.get("nodeSelector") or {}).items():
            fits &= _matches_label(nodes, rows, {"key": key, "operator": "In", "values": [value]})
        terms = _required_terms(pod)
        if terms is not None:
            fits &= np.logical_or.reduce([_matches_term(nodes, rows, term) for term in terms], axis=0)
        return fits

    def explain(self, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Rejections:
        return count_all("node(s) didn't match Pod's node affinity/selector", rows)

    def pre_score(self, state: CycleState, pod: PodInfo, nodes: NodeTable) -> Status | None:
        return None if _affinity(pod).get("preferredDuringSchedulingIgnoredDuringExecution") else SKIP

    def score(self, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Scores:
        total: Scores = np.zeros(len(rows), np.int64)
        for preference in _affinity(pod).get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            term = preference.get("preference") or {}
            # An empty preferred term matches every node, unlike an empty required one.
            matches = _matches_term(nodes, rows, term) if any(term.values()) else rows >= 0
            total += matches * int(preference["weight"])
        return total

    def normalise(self, scores: Scores) -> Scores:
        return scale_to_max(scores)


def _named_nodes(terms: list[Object]) -> set[str] | None:
    """The nodes that the terms name by metadata.name; None if a term names none."""
    names: set[str] = set()
    for term in terms:
        fields = [
            set(field.get("values") or ())
            for field in term.get("matchFields") or ()
            if field["key"] == "metadata.name" and field["operator"] == "In"
        ]
        if not fields:
            return None
        names |= set.intersection(*fields)
    return names if terms else None


def _matches_term(nodes: NodeTable, rows: Rows, term: Object) -> Mask:
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    matches: Mask = np.full(len(rows), bool(expressions or fields))
    for expression in expressions:
        matches &= _matches_label(nodes, rows, expression)
    for field in fields:
        matches &= _matches_name(nodes, rows, field)
    return matches


def _matches_label(nodes: NodeTable, rows: Rows, expression: Object) -> Mask:
    column, ids = nodes.label_column(expression["key"])
    values = column[rows]
    operator, wanted = expression["operator"], expression.get("values") or ()
    match operator:
        case "In" | "NotIn":
            present: Mask = np.isin(values, [ids[value] for value in wanted if value in ids])
            return present if operator == "In" else ~present
        case "Exists":
            labelled: Mask = values != ABSENT
            return labelled
        case "DoesNotExist":
            return np.equal(values, ABSENT)
        case "Gt" | "Lt":
            return np.isin(values, _ids_beyond(ids, operator, wanted))
    return rows < 0


def _ids_beyond(ids: dict[str, int], operator: str, wanted: Sequence[str]) -> list[int]:
    """The ids of values that are integers above (Gt) or below (Lt) the wanted one."""
    bound = _integer(wanted[0]) if wanted else None
    if bound is None:
        return []
    numbers = ((number, _integer(value)) for value, number in ids.items())
    sign = 1 if operator == "Gt" else -1
    return [number for number, value in numbers if value is not None and sign * (value - bound) > 0]


def _integer(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _matches_name(nodes: NodeTable, rows: Rows, field: Object) -> Mask:
    """metadata.name is the only field there is."""
    named = np.isin(rows, [nodes.row_of[name] for name in field.get("values") or () if name in nodes.row_of])
    return ~named if field["operator"] == "NotIn" else named
