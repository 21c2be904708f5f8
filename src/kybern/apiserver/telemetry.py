"""How many requests of each sort there were and how long they took, under upstream's metric names.

Counting is on every request's way, so it is a dictionary of lists; Prometheus' types are made when somebody asks.
Source: Kubernetes documentation, "Kubernetes Metrics Reference".
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from kybern.apiserver.auth_metrics import AuthCollector
from kybern.apiserver.request import RequestInfo

if TYPE_CHECKING:
    from kybern.apiserver.app import App

BUCKETS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60)
"""Upper bounds in seconds, upstream's."""

Sort = tuple[str, str, str, str, str, str]
"""verb, group, version, resource, subresource, scope."""
_LABELS = ("verb", "group", "version", "resource", "subresource", "scope")


class Telemetry(Collector):
    """One server's counts. `count` each answered request; `page` shows them."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._codes: dict[tuple[Sort, int], int] = {}
        self._times: dict[Sort, tuple[list[int], list[float]]] = {}
        """Per sort: how many in each bucket and above, and the sum of seconds."""
        self.registry = CollectorRegistry()
        """What `page` shows; parts of the server register their own."""
        self.registry.register(self)
        self.registry.register(AuthCollector())

    def count(self, info: RequestInfo, code: int, seconds: float) -> None:
        """Note an answer."""
        scope = "resource" if info.name else "namespace" if info.namespace else "cluster"
        sort = (info.verb.upper(), info.group, info.version, info.resource, info.subresource, scope)
        self._codes[sort, code] = self._codes.get((sort, code), 0) + 1
        found = self._times.get(sort)
        if found is None:
            found = self._times[sort] = ([0] * (len(BUCKETS) + 1), [0.0])
        found[0][bisect_left(BUCKETS, seconds)] += 1
        found[1][0] += seconds

    def page(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]:
        """For Prometheus' registry."""
        total = CounterMetricFamily("apiserver_request", "Requests answered.", labels=[*_LABELS, "code"])
        for (sort, code), number in self._codes.items():
            total.add_metric([*sort, str(code)], number)
        yield total
        took = HistogramMetricFamily("apiserver_request_duration_seconds", "Time to the answer.", labels=_LABELS)
        for sort, (numbers, (seconds,)) in self._times.items():
            took.add_metric(list(sort), _cumulative(numbers), seconds)
        yield took
        running = GaugeMetricFamily("apiserver_current_inflight_requests", "Being served.", labels=["request_kind"])
        running.add_metric(["readOnly"], self._app.running[False])
        running.add_metric(["mutating"], self._app.running[True])
        yield running
        objects = GaugeMetricFamily("apiserver_resource_objects", "Objects stored.", labels=["group", "resource"])
        for cache in self._app.registry.caches.values():
            objects.add_metric([cache.resource.group, cache.resource.plural], len(cache.items))
        yield objects


def _cumulative(numbers: list[int]) -> list[tuple[str, float]]:
    buckets, below = [], 0
    for bound, number in zip([*map(str, BUCKETS), "+Inf"], numbers, strict=True):
        below += number
        buckets.append((bound, float(below)))
    return buckets
