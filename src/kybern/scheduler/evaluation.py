"""Filters and scores of one pod over all nodes, kept for the next pod that is just like it.

After a pod was placed only its node's row is stale, so the next of a thousand identical pods costs a row, not a table.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import cast

import numpy as np
import numpy.typing as npt

from kybern.scheduler import framework as fw
from kybern.scheduler.pod import PodInfo
from kybern.scheduler.profiles import Profile
from kybern.scheduler.snapshot import NodeTable

_FITS = -1
_KEPT = 64
"""Evaluations kept, one per kind of pod."""


class Unfit(Exception):
    """No node fits."""

    def __init__(self, diagnosis: fw.Diagnosis) -> None:
        super().__init__(diagnosis.text())
        self.diagnosis = diagnosis


class Evaluation:
    """The state of one kind of pod against the node table."""

    def __init__(self, profile: Profile, pod: PodInfo, table: NodeTable) -> None:
        self.profile, self.pod, self.table = profile, pod, table
        self.epoch = table.epoch
        self.position = table.position
        self.state: fw.CycleState = {}
        size = len(table.names)
        self.rows = self._pre_filter()
        self.rejected_by: npt.NDArray[np.int16] = np.full(size, _FITS, np.int16)
        """Index of the first filter that said no."""
        self.scorers: list[tuple[fw.Score, int]] | None = None
        self.raw: list[fw.Scores] = []
        """Scores per scorer, before they are normalised; meaningless where the pod doesn't fit."""
        self.fixed: fw.Scores = np.full(size, -1, np.int64)
        """Weighted sum of the scores that need no normalising; negative where the pod doesn't fit."""
        self._size = size
        self._refresh(self.rows)

    @property
    def stale(self) -> bool:
        """Whether nodes changed in more than their pods."""
        return self.epoch != self.table.epoch

    def catch_up(self) -> bool:
        """Redo the rows whose pods changed. False if the whole must be done anew."""
        changed = None if self.stale else self.table.changed_since(self.position)
        if changed is None:
            return False
        self.position = self.table.position
        if changed:
            rows = np.array(changed, np.intp)
            if len(self.rows) != len(self.table):
                rows = rows[np.isin(rows, self.rows)]
            self._refresh(rows)
        return True

    def totals(self) -> fw.Scores:
        """The final score per row, negative where the pod doesn't fit."""
        total = self.fixed
        normalised = [(p, w, raw) for (p, w), raw in zip(self.scorers or (), self.raw, strict=False) if _normalises(p)]
        if normalised:
            feasible = np.flatnonzero(total >= 0)
            total = total.copy()
            for plugin, weight, raw in normalised:
                total[feasible] += weight * cast(fw.Normalise, plugin).normalise(raw[feasible])
        return total

    def diagnose(self) -> fw.Diagnosis:
        """Why nothing fits."""
        diagnosis = fw.Diagnosis(nodes=len(self.table))
        resolvable = []
        for index, plugin in enumerate(self.profile.filters):
            rows = self.rows[self.rejected_by[self.rows] == index]
            if len(rows):
                rejections = plugin.explain(self.state, self.pod, self.table, rows)
                diagnosis.add(cast(fw.Plugin, plugin).name, rejections.reasons)
                resolvable.append(rejections.resolvable)
        passed_over = len(self.table) - len(self.rows)
        if passed_over:
            named = sorted(self.narrowed_by)
            diagnosis.reasons[f"node(s) didn't satisfy plugin(s) [{' '.join(named)}]"] = passed_over
            diagnosis.plugins.update(named)
        if resolvable:
            diagnosis.resolvable = np.concatenate(resolvable)
        return diagnosis

    def _pre_filter(self) -> fw.Rows:
        """The rows that pre-filters leave. Raises Unfit if one rejects the pod outright."""
        rows = self.table.rows()
        self.narrowed_by: list[str] = []
        for plugin in self.profile.pre_filters:
            result = plugin.pre_filter(self.state, self.pod, self.table)
            if isinstance(result, fw.Status):
                if result.code is fw.Code.SKIP:
                    continue
                name = cast(fw.Plugin, plugin).name
                raise Unfit(fw.Diagnosis(nodes=len(self.table), message=result.reason, plugins={name}))
            if result is not None:
                rows = np.intersect1d(rows, result)
                self.narrowed_by.append(cast(fw.Plugin, plugin).name)
        return rows

    def _refresh(self, rows: fw.Rows) -> None:
        feasible = self._filter(rows)
        self.fixed[rows] = -1
        if len(feasible):
            self._score(feasible)

    def _filter(self, rows: fw.Rows) -> fw.Rows:
        """Those of the rows where every filter agrees."""
        self.rejected_by[rows] = _FITS
        for index, plugin in enumerate(self.profile.filters):
            if not len(rows):
                break
            fits = plugin.filter(self.state, self.pod, self.table, rows)
            if not fits.all():
                self.rejected_by[rows[~fits]] = index
                rows = rows[fits]
        return rows

    def _score(self, rows: fw.Rows) -> None:
        if self.scorers is None:
            self.scorers = self._pre_score()
            self.raw = [np.zeros(self._size, np.int64) for _ in self.scorers]
        fixed = np.zeros(len(rows), np.int64)
        for (plugin, weight), raw in zip(self.scorers, self.raw, strict=True):
            scores = plugin.score(self.state, self.pod, self.table, rows)
            raw[rows] = scores
            if not _normalises(plugin):
                fixed += weight * scores
        self.fixed[rows] = fixed

    def _pre_score(self) -> list[tuple[fw.Score, int]]:
        """The scorers that have something to say about this pod."""
        skipped = set()
        for plugin in self.profile.pre_scores:
            if plugin.pre_score(self.state, self.pod, self.table) is not None:
                skipped.add(id(plugin))
        return [(cast(fw.Score, plugin), weight) for plugin, weight in self.profile.scores if id(plugin) not in skipped]


def _normalises(plugin: object) -> bool:
    return hasattr(plugin, "normalise")


class Evaluations:
    """The evaluations of late, by the pods' signatures."""

    def __init__(self, table: NodeTable) -> None:
        self._table = table
        self._kept: OrderedDict[Hashable, Evaluation] = OrderedDict()

    def of(self, profile: Profile, pod: PodInfo) -> Evaluation:
        """An evaluation that is true now. Raises Unfit if a pre-filter rejects the pod outright."""
        if pod.signature is None:
            pod.signature = profile.sign(pod)
        if pod.signature is None:
            return Evaluation(profile, pod, self._table)
        found = self._kept.get(pod.signature)
        if found is None or not found.catch_up():
            found = Evaluation(profile, pod, self._table)
            # A resource met for the first time adds a column, which changes nothing of what was just computed.
            self._kept[pod.signature] = found
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end(pod.signature)
        return found
