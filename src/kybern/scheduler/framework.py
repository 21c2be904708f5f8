"""What a scheduling plugin is: extension points as small protocols, in the order a pod passes them.

A plugin implements those it needs. Filters and scores are columnar: they get row numbers of the node table and give a
NumPy vector with an entry per row. `NodePlugin` is the short way, one node at a time:

    class EvenNames(NodePlugin):
        name = "EvenNames"

        def fits(self, pod, node):
            return None if len(node.name) % 2 == 0 else "node(s) had an odd name"

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/scheduling-framework/
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from kybern.api.types import Object
from kybern.scheduler.pod import PodInfo

if TYPE_CHECKING:
    from kybern.client.rest import Client
    from kybern.scheduler.snapshot import NodeTable, NodeView

Rows: TypeAlias = npt.NDArray[np.intp]
"""Row numbers of the node table."""
Mask: TypeAlias = npt.NDArray[np.bool_]
Scores: TypeAlias = npt.NDArray[np.int64]
MAX_SCORE = 100

CycleState: TypeAlias = dict[str, Any]
"""What a plugin keeps from one extension point to the next, under its name."""


class Code(Enum):
    """How an extension point ended; None stands for success."""

    ERROR = auto()
    UNSCHEDULABLE = auto()
    """Might fit after preemption."""
    UNRESOLVABLE = auto()
    """No preemption helps."""
    SKIP = auto()
    """The plugin has nothing to do with this pod."""


@dataclass(frozen=True, slots=True)
class Status:
    """Why an extension point did not succeed."""

    code: Code
    reason: str = ""
    plugin: str = ""


SKIP = Status(Code.SKIP)


class ClusterEvent(Enum):
    """What happened in the cluster that may let a waiting pod fit."""

    NODE_ADD = auto()
    NODE_ALLOCATABLE = auto()
    NODE_LABEL = auto()
    NODE_TAINT = auto()
    """Taints or spec.unschedulable."""
    POD_DELETE = auto()
    """An assigned pod went away or ended."""
    POD_SCALE_DOWN = auto()
    """An assigned pod asks for less."""
    POD_UPDATE = auto()
    """The waiting pod itself changed."""


Hint: TypeAlias = Callable[[PodInfo, Object | None, Object | None], bool]
"""(waiting pod, object before, object after) -> whether the pod may fit now. Must not raise."""


@dataclass(slots=True)
class Handle:
    """What plugins may use of the scheduler."""

    client: Client | None = None
    """None in dry runs and benchmarks."""


class Plugin:
    """Base of all plugins. Give `name`, and override what is needed. `args` is the profile's pluginConfig for it."""

    name: ClassVar[str]
    events: Mapping[ClusterEvent, Hint | None] = {}
    """Events that may mend this plugin's rejections; None stands for a hint that always says yes."""

    def __init__(self, handle: Handle, args: Object) -> None:
        self.handle = handle
        self.args = args

    def sign(self, pod: PodInfo) -> Hashable | None:
        """All that this plugin looks at in the pod: pods of equal signs share results. None: never shared."""
        return None


@dataclass(frozen=True, slots=True)
class Rejections:
    """Why a filter rejected rows: reason -> nodes, and the rows where preemption could help."""

    reasons: Mapping[str, int]
    resolvable: Rows


NO_ROWS: Rows = np.empty(0, dtype=np.intp)


@dataclass(slots=True)
class Diagnosis:
    """Why no node fits."""

    nodes: int = 0
    message: str = ""
    """Said instead of the reasons, by a pre-filter."""
    reasons: dict[str, int] = field(default_factory=dict)
    plugins: set[str] = field(default_factory=set)
    resolvable: Rows = field(default_factory=lambda: NO_ROWS)
    post_filter: str = ""

    def add(self, plugin: str, reasons: Mapping[str, int]) -> None:
        """Count a plugin's reasons."""
        self.plugins.add(plugin)
        for reason, count in reasons.items():
            self.reasons[reason] = self.reasons.get(reason, 0) + count

    def text(self) -> str:
        """Upstream's FailedScheduling text."""
        if not self.nodes:
            return "no nodes available to schedule pods"
        text = f"0/{self.nodes} nodes are available:"
        if self.message:
            text += f" {self.message}."
        elif self.reasons:
            text += " " + ", ".join(sorted(f"{count} {reason}" for reason, count in self.reasons.items())) + "."
        return f"{text} {self.post_filter}" if self.post_filter else text


@runtime_checkable
class QueueSort(Protocol):
    def sort_key(self, pod: PodInfo, since: float) -> tuple[float, float]:
        """Smaller is scheduled first. `since` is when the pod was first queued, in loop seconds."""
        ...


@runtime_checkable
class PreEnqueue(Protocol):
    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        """A status keeps the pod out of the queue until it changes."""
        ...


@runtime_checkable
class PreFilter(Protocol):
    def pre_filter(self, state: CycleState, pod: PodInfo, nodes: NodeTable) -> Status | Rows | None:
        """Reject the pod everywhere, or allow only some rows."""
        ...


@runtime_checkable
class Filter(Protocol):
    def filter(self, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Mask:
        """True where the pod fits."""
        ...

    def explain(self, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Rejections:
        """Why these rows were rejected."""
        ...


@runtime_checkable
class PostFilter(Protocol):
    def post_filter(self, state: CycleState, pod: PodInfo, nodes: NodeTable, diagnosis: Diagnosis) -> str:
        """When no node fits: what this plugin can say or do about it."""
        ...


@runtime_checkable
class PreScore(Protocol):
    def pre_score(self, state: CycleState, pod: PodInfo, nodes: NodeTable) -> Status | None:
        """SKIP leaves the plugin's score out."""
        ...


@runtime_checkable
class Score(Protocol):
    def score(self, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Scores:
        """0 to MAX_SCORE, or anything not negative with `normalise`."""
        ...


@runtime_checkable
class Normalise(Protocol):
    def normalise(self, scores: Scores) -> Scores:
        """Bring the feasible nodes' scores to 0 to MAX_SCORE."""
        ...


@runtime_checkable
class Reserve(Protocol):
    def reserve(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        """Claim what the pod will use."""
        ...

    def unreserve(self, state: CycleState, pod: PodInfo, node: str) -> None:
        """Give it back; also called when reserve was not."""
        ...


@runtime_checkable
class Permit(Protocol):
    async def permit(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        """Await as long as the pod must wait before it is bound."""
        ...


@runtime_checkable
class PreBind(Protocol):
    async def pre_bind(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        """Do what must be done before the pod starts."""
        ...


@runtime_checkable
class Bind(Protocol):
    async def bind(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        """Bind the pod; SKIP leaves it to the next one."""
        ...


@runtime_checkable
class PostBind(Protocol):
    def post_bind(self, state: CycleState, pod: PodInfo, node: str) -> None:
        """The pod is bound."""
        ...


def scale_to_max(scores: Scores) -> Scores:
    """The highest becomes MAX_SCORE; all zero stays so."""
    top = int(scores.max(initial=0))
    return scores * MAX_SCORE // top if top else scores


def scale_to_max_reversed(scores: Scores) -> Scores:
    """The highest becomes 0, zero becomes MAX_SCORE."""
    return MAX_SCORE - scale_to_max(scores)


def count_all(reason: str, rows: Rows, *, resolvable: bool = False) -> Rejections:
    """One reason for all rows."""
    return Rejections({reason: len(rows)}, rows if resolvable else NO_ROWS)


class NodePlugin(Plugin):
    """A plugin that looks at one node at a time. Override `fits`, `rank` or both; what isn't overridden isn't run."""

    def fits(self, pod: PodInfo, node: NodeView) -> str | None:
        """Why the pod can't run there; None when it can."""
        return None

    def rank(self, pod: PodInfo, node: NodeView) -> int:
        """How good the node is, 0 to MAX_SCORE."""
        return 0

    def __init_subclass__(cls) -> None:
        if "fits" in cls.__dict__:
            setattr(cls, "filter", _filter_each)
            setattr(cls, "explain", _explain_each)
        if "rank" in cls.__dict__:
            setattr(cls, "score", _score_each)


def _filter_each(self: NodePlugin, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Mask:
    return np.fromiter((self.fits(pod, view) is None for view in nodes.views(rows)), np.bool_, len(rows))


def _explain_each(self: NodePlugin, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Rejections:
    return Rejections(tally(self.fits(pod, view) or "" for view in nodes.views(rows)), rows)


def _score_each(self: NodePlugin, state: CycleState, pod: PodInfo, nodes: NodeTable, rows: Rows) -> Scores:
    return np.fromiter((self.rank(pod, view) for view in nodes.views(rows)), np.int64, len(rows))


def tally(reasons: Iterable[str]) -> dict[str, int]:
    """How often each reason occurs."""
    counts: dict[str, int] = {}
    for reason in reasons:
        counts[reason] = counts.get(reason, 0) + 1
    return counts
