"""How long expressions took, under upstream's metric names. Source: Kubernetes documentation, "Metrics Reference"."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from kybern.api.cel.timings import BUCKETS, COMPILATION, EVALUATION

_BOUNDS = [*map(floatToGoString, BUCKETS), "+Inf"]


class CelCollector(Collector):
    """Of the rules of custom resources."""

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """For Prometheus' registry."""
        for what, timings in (("compilation", COMPILATION), ("evaluation", EVALUATION)):
            buckets = list(zip(_BOUNDS, map(float, accumulate(timings.numbers)), strict=True))
            made = HistogramMetricFamily(f"apiserver_cel_{what}_duration_seconds", f"CEL {what} time in seconds.")
            made.add_metric([], buckets, timings.seconds)
            yield made
