"""The process's metrics, in Prometheus' text format under upstream's names. Counters are named without `_total`."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter as counters
from collections.abc import Iterator, Sequence

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, UnknownMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from kybern.process import features
from kybern.process.feature_table import GATES
from kybern.process.version import VERSION

__all__ = [
    "CONTENT_TYPE", "REGISTRY", "Counted", "Counter", "Counts", "Gauge", "Histogram", "Tallies", "Tally", "checked",
    "page", "shown", "slis",
]  # fmt: skip

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

disable_created_metrics()  # type: ignore[no-untyped-call]  # Go's library has none either
_WHOLE = re.compile(rb'(?<=le=")(\d+)\.0(?=")')

_BUILD = ("major", "minor", "gitVersion", "gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform")
_SNAKE = {"gitVersion": "git_version", "gitCommit": "git_commit", "gitTreeState": "git_tree_state",
          "buildDate": "build_date", "goVersion": "go_version"}  # fmt: skip
Gauge("kubernetes_build_info", "Which version this is.", [_SNAKE.get(name, name) for name in _BUILD]).labels(
    *(VERSION[name] for name in _BUILD)
).set(1)
Gauge("version_info", "Which version it behaves as.", ["binary", "component", "emulation", "min_compat"]).labels(
    VERSION["gitVersion"].removeprefix("v").partition("+")[0],
    "kube",
    f"{VERSION['emulationMajor']}.{VERSION['emulationMinor']}",
    f"{VERSION['minCompatibilityMajor']}.{VERSION['minCompatibilityMinor']}",
).set(1)


class _Features(Collector):
    """Which feature gates are on."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """For Prometheus' registry."""
        made = GaugeMetricFamily("kubernetes_feature_enabled", "Whether a gate is on.", labels=["name", "stage"])
        for name, value in features.values().items():
            made.add_metric([name, GATES[name].stage], int(value))
        yield made


REGISTRY.register(_Features())

_SLIS = CollectorRegistry()
_check = Gauge("kubernetes_healthcheck", "Whether it was well when last asked.", ["name", "type"], registry=_SLIS)
_checks = Counter("kubernetes_healthchecks", "Answers of the check.", ["name", "type", "status"], registry=_SLIS)


def shown(registry: CollectorRegistry) -> bytes:
    """A registry's metrics as Go's library writes them: whole bounds without a point, and what is of no type, which
    here are counters whose names upstream doesn't end in `_total`, as counters."""
    return _WHOLE.sub(rb"\1", generate_latest(registry)).replace(b" untyped\n", b" counter\n")


def page() -> bytes:
    """All metrics, as /metrics answers."""
    return shown(REGISTRY)


def slis() -> bytes:
    """How the health checks went, as /metrics/slis answers (KEP-3466)."""
    return shown(_SLIS)


def checked(endpoint: str, name: str, *, well: bool) -> None:
    """Note a health check of healthz, livez or readyz."""
    _check.labels(name, endpoint).set(int(well))
    _checks.labels(name, endpoint, "success" if well else "error").inc()


class Counts(counters[str | tuple[str, ...]]):
    """A counter for hot paths, by one label, or by several in a tuple. `bare`: its name is as it is given, as upstream
    has it, and not ended in `_total`, which the library's counters can't do."""

    def __init__(self, name: str, text: str, *labels: str, bare: bool = False) -> None:
        super().__init__()
        self.name, self.text, self.names, self.bare = name, text, labels, bare

    def family(self) -> Metric:
        """For Prometheus."""
        kind = UnknownMetricFamily if self.bare else CounterMetricFamily
        made = kind(self.name, self.text, labels=self.names)
        for key, number in list(self.items()):
            made.add_metric(key if isinstance(key, tuple) else [key] if self.names else [], number)
        return made


class Counted(Collector):
    """Shows counters; register it."""

    def __init__(self, *counts: Counts) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        """For Prometheus' registry."""
        for counts in self._counts:
            yield counts.family()


class Tally:
    """A histogram for hot paths: two additions an observation. `bounds` are upper bounds, ascending, shared."""

    __slots__ = ("bounds", "numbers", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.numbers: list[float] = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float, weight: float = 1) -> None:
        """Note a value."""
        self.numbers[bisect_left(self.bounds, value)] += weight
        self.total += value * weight

    def add(self, other: Tally) -> None:
        """Count what another, of the same bounds, has counted."""
        self.numbers = [mine + theirs for mine, theirs in zip(self.numbers, other.numbers, strict=True)]
        self.total += other.total

    def buckets(self) -> list[tuple[str, float]]:
        """Cumulative, as prometheus_client's families take them."""
        made, below = [], 0.0
        for bound, number in zip([*map(floatToGoString, self.bounds), "+Inf"], self.numbers, strict=True):
            below += number
            made.append((bound, below))
        return made


class Tallies(Collector):
    """A histogram with labels, for hot paths: hold on to what `of` gives."""

    def __init__(self, name: str, text: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._name, self._text, self._labels, self._bounds = name, text, labels, bounds
        self._rows: dict[tuple[str, ...], Tally] = {}
        REGISTRY.register(self)

    def of(self, *labels: str) -> Tally:
        """The histogram of these labels."""
        found = self._rows.get(labels)
        if found is None:
            found = self._rows[labels] = Tally(self._bounds)
        return found

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """For Prometheus' registry."""
        made = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for labels, tally in list(self._rows.items()):
            made.add_metric(labels, tally.buckets(), tally.total)
        yield made
