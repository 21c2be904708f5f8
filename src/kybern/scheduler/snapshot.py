"""The node table: every node as a row of NumPy columns, changed in place as nodes and pods come and go.

Two marks tell readers what is stale: `epoch` moves when anything of a node but its pods changed, and the journal lists
the rows whose pods changed. Not for threads; a scheduling cycle runs without giving way, so no copy is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kybern.api.types import Object
from kybern.scheduler.framework import Rows
from kybern.scheduler.pod import Amounts, PodInfo, amount

CPU, MEMORY, STORAGE, PODS = range(4)
"""Columns of the resources every node has; extended resources follow as they are met."""
_FIRST_RESOURCES = ("cpu", "memory", "ephemeral-storage", "pods")
_JOURNAL_LIMIT = 65536
ABSENT = -1

Taint = tuple[str, str, str]
"""(key, value, effect)."""


@dataclass(slots=True)
class NodeView:
    """One node as a per-node plugin sees it. Don't change what it refers to."""

    name: str
    labels: dict[str, str]
    taints: tuple[Taint, ...]
    unschedulable: bool
    allocatable: Amounts
    requested: Amounts
    pods: list[PodInfo]


class NodeTable:
    """Rows are reused; `live` tells which hold a node. Columns grow by doubling."""

    def __init__(self, capacity: int = 64) -> None:
        self.epoch = 0
        self.names: list[str] = [""] * capacity
        self.row_of: dict[str, int] = {}
        self.live = np.zeros(capacity, np.bool_)
        self.unschedulable = np.zeros(capacity, np.bool_)
        self.taint_set = np.zeros(capacity, np.int32)
        """Index into `taint_sets`."""
        self.taint_sets: list[tuple[Taint, ...]] = [()]
        self.resources: dict[str, int] = {name: column for column, name in enumerate(_FIRST_RESOURCES)}
        self.allocatable = np.zeros((capacity, len(_FIRST_RESOURCES)), np.int64, order="F")
        self.requested = np.zeros((capacity, len(_FIRST_RESOURCES)), np.int64, order="F")
        self.nonzero = np.zeros((capacity, 2), np.int64, order="F")
        """CPU and memory requested, with defaults for containers that ask for none."""
        self.labels: list[dict[str, str]] = [{} for _ in range(capacity)]
        self.pods: list[dict[str, PodInfo]] = [{} for _ in range(capacity)]
        self.images: dict[str, dict[int, int]] = {}
        """Image name -> row -> bytes."""
        self.ports: dict[tuple[str, int], dict[int, list[str]]] = {}
        """(protocol, port) -> row -> addresses in use."""
        self._images_of: list[tuple[str, ...]] = [()] * capacity
        self._taint_set_ids: dict[tuple[Taint, ...], int] = {(): 0}
        self._label_columns: dict[str, tuple[npt.NDArray[np.int32], dict[str, int]]] = {}
        self._free = list(range(capacity - 1, -1, -1))
        self._journal: list[int] = []
        self._journal_start = 0

    # Nodes.

    def set_node(self, node: Object) -> int:
        """Add a node or take over its changes; gives its row."""
        name = node["metadata"]["name"]
        row = self.row_of.get(name)
        if row is None:
            row = self._new_row(name)
        spec, status = node.get("spec") or {}, node.get("status") or {}
        self.unschedulable[row] = bool(spec.get("unschedulable"))
        self.taint_set[row] = self._intern_taints(taints_of(spec))
        allocatable = {k: amount(k, v) for k, v in (status.get("allocatable") or {}).items()}
        columns = [self.column(resource) for resource in allocatable]
        self.allocatable[row] = 0
        self.allocatable[row, columns] = list(allocatable.values())
        self._set_labels(row, node["metadata"].get("labels") or {})
        self._set_images(row, status.get("images") or ())
        self.epoch += 1
        return row

    def remove_node(self, name: str) -> None:
        """Drop a node; its pods are kept for when it comes back only by their own events."""
        row = self.row_of.pop(name, None)
        if row is None:
            return
        for pod in list(self.pods[row].values()):
            self.remove_pod(row, pod)
        self._set_labels(row, {})
        self._set_images(row, ())
        self.live[row] = False
        self.allocatable[row] = 0
        self.names[row] = ""
        self._free.append(row)
        self.epoch += 1

    def __len__(self) -> int:
        return len(self.row_of)

    def rows(self) -> Rows:
        """All rows that hold a node."""
        return np.flatnonzero(self.live)

    def views(self, rows: Rows) -> Iterator[NodeView]:
        """Nodes one at a time, for per-node plugins."""
        for row in rows.tolist():
            yield NodeView(
                name=self.names[row],
                labels=self.labels[row],
                taints=self.taint_sets[self.taint_set[row]],
                unschedulable=bool(self.unschedulable[row]),
                allocatable={name: int(self.allocatable[row, column]) for name, column in self.resources.items()},
                requested={name: int(self.requested[row, column]) for name, column in self.resources.items()},
                pods=list(self.pods[row].values()),
            )

    # Pods.

    def add_pod(self, row: int, pod: PodInfo) -> None:
        """Count a pod (assigned or assumed) on its node."""
        self._count(row, pod, 1)
        self.pods[row][pod.key] = pod
        for protocol, port, address in pod.ports:
            self.ports.setdefault((protocol, port), {}).setdefault(row, []).append(address)

    def remove_pod(self, row: int, pod: PodInfo) -> None:
        """Take a pod off its node; it must be the object that was added."""
        self._count(row, pod, -1)
        del self.pods[row][pod.key]
        for protocol, port, address in pod.ports:
            rows = self.ports[(protocol, port)]
            rows[row].remove(address)
            if not rows[row]:
                del rows[row]

    def _count(self, row: int, pod: PodInfo, sign: int) -> None:
        slots, amounts = self.slots(pod)
        self.requested[row, slots] += sign * amounts
        self.nonzero[row, 0] += sign * pod.nonzero["cpu"]
        self.nonzero[row, 1] += sign * pod.nonzero["memory"]
        if len(self._journal) > _JOURNAL_LIMIT:
            self._journal_start += len(self._journal)
            self._journal.clear()
        self._journal.append(row)

    def slots(self, pod: PodInfo) -> tuple[Rows, npt.NDArray[np.int64]]:
        """Columns and amounts of the pod's requests, one pod slot included."""
        if pod.slots is None:
            columns = [PODS, *(self.column(name) for name in pod.requests)]
            pod.slots = (np.array(columns, np.intp), np.array([1, *pod.requests.values()], np.int64))
        return pod.slots  # type: ignore[no-any-return]

    # What changed.

    @property
    def position(self) -> int:
        """The end of the journal."""
        return self._journal_start + len(self._journal)

    def changed_since(self, position: int) -> list[int] | None:
        """Rows whose pods changed since `position`; None if that is no longer known."""
        if position < self._journal_start:
            return None
        return list(set(self._journal[position - self._journal_start :]))

    # Columns.

    def column(self, resource: str) -> int:
        """The column of a resource, made when first met."""
        column = self.resources.get(resource)
        if column is None:
            column = self.resources[resource] = len(self.resources)
            more = np.zeros((len(self.names), 1), np.int64)
            self.allocatable = np.hstack([self.allocatable, more])
            self.requested = np.hstack([self.requested, more])
        return column

    def capacity(self, resource: str, rows: Rows) -> npt.NDArray[np.int64]:
        """What of a resource pods may request on each row."""
        return self.allocatable[:, self.column(resource)].take(rows)

    def label_column(self, key: str) -> tuple[npt.NDArray[np.int32], dict[str, int]]:
        """A label as (value id per row, ids by value); ABSENT where a node lacks it. Made when first asked for."""
        found = self._label_columns.get(key)
        if found is None:
            column, ids = np.full(len(self.names), ABSENT, np.int32), dict[str, int]()
            for row, labels in enumerate(self.labels):
                if key in labels:
                    column[row] = ids.setdefault(labels[key], len(ids))
            found = self._label_columns[key] = (column, ids)
        return found

    def _set_labels(self, row: int, labels: dict[str, str]) -> None:
        self.labels[row] = labels
        for key, (column, ids) in self._label_columns.items():
            value = labels.get(key)
            column[row] = ABSENT if value is None else ids.setdefault(value, len(ids))

    def _set_images(self, row: int, images: Iterable[Object]) -> None:
        for name in self._images_of[row]:
            self.images[name].pop(row, None)
            if not self.images[name]:
                del self.images[name]
        sizes = {name: int(image.get("sizeBytes", 0)) for image in images for name in image.get("names") or ()}
        for name, size in sizes.items():
            self.images.setdefault(name, {})[row] = size
        self._images_of[row] = tuple(sizes)

    def _intern_taints(self, taints: tuple[Taint, ...]) -> int:
        found = self._taint_set_ids.setdefault(taints, len(self.taint_sets))
        if found == len(self.taint_sets):
            self.taint_sets.append(taints)
        return found

    def _new_row(self, name: str) -> int:
        if not self._free:
            self._grow()
        row = self._free.pop()
        self.names[row] = name
        self.row_of[name] = row
        self.live[row] = True
        return row

    def _grow(self) -> None:
        size = len(self.names)
        for column in ("live", "unschedulable", "taint_set", "allocatable", "requested", "nonzero"):
            old = getattr(self, column)
            setattr(self, column, np.concatenate([old, np.zeros_like(old)]))
        for key, (values, ids) in self._label_columns.items():
            self._label_columns[key] = (np.concatenate([values, np.full(size, ABSENT, np.int32)]), ids)
        self.names += [""] * size
        self.labels += [{} for _ in range(size)]
        self.pods += [{} for _ in range(size)]
        self._images_of += [()] * size
        self._free = list(range(2 * size - 1, size - 1, -1))
        self.epoch += 1


def taints_of(spec: Object) -> tuple[Taint, ...]:
    """A node's taints, in their order."""
    return tuple((t["key"], t.get("value") or "", t["effect"]) for t in spec.get("taints") or ())
