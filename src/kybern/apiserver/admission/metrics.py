"""How long admission takes, by plugin and step, and what webhooks did, under upstream's metric names.

Plugins are timed on every write's way, so their times are counted in lists; webhooks, which are slow, in Prometheus'
types.
Source: Kubernetes documentation, "Kubernetes Metrics Reference".
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from kybern.process.metrics import Counted, Counts

BUCKETS = (0.005, 0.025, 0.1, 0.5, 1.0, 2.5)
"""Upper bounds in seconds, upstream's."""
WEBHOOK_BUCKETS = (*BUCKETS, 10, 25)
CONDITION_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25)
MAX_CODE = 600
"""Greater codes count as this one, so that they don't make labels without end."""

WHOLE_STEP = ""
"""The name under which the time of all plugins together is noted."""

_LABELS = ("name", "type", "operation", "rejected")


class AdmissionMetrics(Collector):
    """The times of one chain's plugins. Register it where it is to be shown."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str, str, bool], list[float]] = {}
        """Per name, step, operation and outcome: how many in each bucket and above, then the sum of seconds."""

    def observe(self, name: str, step: str, operation: str, rejected: bool, seconds: float) -> None:
        """Note that a plugin was asked. `step` is "admit" or "validate"."""
        key = (name, step, operation, rejected)
        found = self._times.get(key)
        if found is None:
            found = self._times[key] = [0.0] * (len(BUCKETS) + 2)
        found[bisect_left(BUCKETS, seconds)] += 1
        found[-1] += seconds

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """For Prometheus' registry."""
        took = HistogramMetricFamily(
            "apiserver_admission_controller_admission_duration_seconds", "Time a plugin took.", labels=_LABELS
        )
        together = HistogramMetricFamily(
            "apiserver_admission_step_admission_duration_seconds", "Time all plugins took.", labels=_LABELS[1:]
        )
        for (name, step, operation, rejected), (*numbers, seconds) in self._times.items():
            labels = [step, operation, _word(rejected)]
            if name == WHOLE_STEP:
                together.add_metric(labels, _cumulative(numbers), seconds)
            else:
                took.add_metric([name, *labels], _cumulative(numbers), seconds)
        yield from (took, together)


class WebhookMetrics:
    """What admission webhooks did. `step` is "admit" or "validating", as upstream names them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        base = "apiserver_admission_webhook"
        self._seconds = Histogram(
            f"{base}_admission_duration_seconds", "Time an admission webhook took.", _LABELS, registry=registry,
            buckets=WEBHOOK_BUCKETS,
        )  # fmt: skip
        self._requests = Counter(
            f"{base}_request", "Calls of admission webhooks.", ("name", "type", "operation", "code", "rejected"),
            registry=registry,
        )  # fmt: skip
        self._rejections = Counts(
            f"{base}_rejection_count", "Requests that admission webhooks refused.",
            "name", "type", "operation", "error_type", "rejection_code", bare=True,
        )  # fmt: skip
        self._opened = Counts(
            f"{base}_fail_open_count", "Requests let through though a webhook failed.", "name", "type", bare=True
        )
        registry.register(Counted(self._rejections, self._opened))

    def called(self, name: str, step: str, operation: str, code: int, seconds: float, *, rejected: bool) -> None:
        """A webhook was called. `code` is 200, or the code of what went wrong or of the refusal."""
        self._requests.labels(name, step, operation, str(min(code, MAX_CODE)), _word(rejected)).inc()
        self._seconds.labels(name, step, operation, _word(rejected)).observe(seconds)

    def refused(self, name: str, step: str, operation: str, why: str, code: int) -> None:
        """A request failed by a webhook. `why` is "no_error", "calling_webhook_error" or "apiserver_internal_error"."""
        self._rejections[name, step, operation, why, str(min(code, MAX_CODE))] += 1

    def failed_open(self, name: str, step: str) -> None:
        """A webhook failed, and its failure policy let the request through."""
        self._opened[name, step] += 1


class ConditionMetrics:
    """What match conditions did. `kind` is "webhook" or "policy"; of policies the step is "validate" or "mutate"."""

    def __init__(self, registry: CollectorRegistry) -> None:
        base, labels = "apiserver_admission_match_condition", ("name", "kind", "type", "operation")
        self._errors = Counter(
            f"{base}_evaluation_errors", "Match conditions that could not be evaluated.", labels, registry=registry
        )
        self._excluded = Counter(
            f"{base}_exclusions", "Requests that match conditions keep away.", labels, registry=registry
        )
        self._seconds = Histogram(
            f"{base}_evaluation_seconds", "Time that match conditions took.", labels, registry=registry,
            buckets=CONDITION_BUCKETS,
        )  # fmt: skip

    def evaluated(self, labels: tuple[str, ...], seconds: float, errors: int, *, excluded: bool) -> None:
        """The conditions of one thing were evaluated. `labels`: its name, kind, step and the operation."""
        self._seconds.labels(*labels).observe(seconds)
        if errors:
            self._errors.labels(*labels).inc(errors)
        if excluded:
            self._excluded.labels(*labels).inc()


def _word(rejected: bool) -> str:
    return "true" if rejected else "false"


def _cumulative(numbers: list[float]) -> list[tuple[str, float]]:
    buckets, below = [], 0.0
    for bound, number in zip([*map(str, BUCKETS), "+Inf"], numbers, strict=True):
        below += number
        buckets.append((bound, below))
    return buckets
