"""What the store and the watch caches do, under upstream's metric names.

Source: Kubernetes documentation, "Kubernetes Metrics Reference". etcd_* are of whatever store there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from kybern.api.resource import Resource
from kybern.process.clock import monotonic
from kybern.process.metrics import Tally

if TYPE_CHECKING:
    from kybern.apiserver.registry import Registry
    from kybern.apiserver.watch_cache import WatchCache

SECONDS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60)
WAITS = SECONDS[:13]
EVENT_SIZES = tuple(1024.0 * 2**power for power in range(8))
_LABELS = ("group", "resource")


class Lists:
    """What lists cost: how many there were, how many objects were looked at for them, and how many given."""

    __slots__ = ("fetched", "number", "returned")

    def __init__(self) -> None:
        self.number = self.fetched = self.returned = 0

    def add(self, fetched: int, returned: int) -> None:
        """Note a list."""
        self.number += 1
        self.fetched += fetched
        self.returned += returned


class StoreTimes:
    """How long the store took, by operation and resource. Call `observe` after each."""

    def __init__(self) -> None:
        self.tallies: dict[tuple[str, str, str], Tally] = {}
        self.errors: dict[tuple[str, str, str], int] = {}

    def observe(self, operation: str, resource: Resource, began: float, *, failed: bool = False) -> None:
        """Note an operation that began then."""
        key = (operation, resource.group, resource.plural)
        found = self.tallies.get(key)
        if found is None:
            found = self.tallies[key] = Tally(SECONDS)
        found.observe(monotonic() - began)
        if failed:
            self.errors[key] = self.errors.get(key, 0) + 1


_GAUGES: tuple[tuple[str, str, Callable[[WatchCache], float]], ...] = (
    ("apiserver_resource_objects", "Objects stored.", lambda cache: len(cache.items)),
    ("apiserver_watch_cache_resource_version", "Revision the cache is at.", lambda cache: cache.revision),
    ("apiserver_resource_size_estimate_bytes", "Bytes of the objects stored.", lambda cache: cache.bytes),
    ("watch_cache_capacity", "Changes the cache keeps at most.", lambda cache: cache.capacity),
)
_COUNTERS: tuple[tuple[str, str, Callable[[WatchCache], float]], ...] = (
    ("apiserver_watch_cache_initializations", "Times the cache was filled.", lambda cache: cache.filled),
    ("apiserver_watch_cache_events_received", "Changes that came from the store.", lambda cache: cache.received),
    ("apiserver_watch_cache_events_dispatched", "Changes passed on to watches.", lambda cache: cache.received),
    ("apiserver_terminated_watchers", "Watches ended because they fell behind.", lambda cache: cache.dropped),
    ("apiserver_init_events", "Objects read to fill the cache.", lambda cache: cache.initial),
    ("apiserver_storage_events_received", "Changes the store told of.", lambda cache: cache.received),
    ("apiserver_storage_decode_errors", "Values that can't be read.", lambda cache: cache.undecodable),
    ("apiserver_storage_list", "Lists from the store.", lambda cache: cache.stored_lists.number),
    ("apiserver_storage_list_fetched_objects", "Objects read for them.", lambda cache: cache.stored_lists.fetched),
    ("apiserver_storage_list_evaluated_objects", "Objects tested for them.", lambda cache: cache.stored_lists.fetched),
    ("apiserver_storage_list_returned_objects", "Objects in them.", lambda cache: cache.stored_lists.returned),
    ("apiserver_cache_list_returned_objects", "Objects in lists from the cache.", lambda cache: cache.lists.returned),
)
_INDEXED: tuple[tuple[str, str, Callable[[WatchCache], float]], ...] = (
    ("apiserver_cache_list", "Lists from the cache.", lambda cache: cache.lists.number),
    ("apiserver_cache_list_fetched_objects", "Objects looked at for them.", lambda cache: cache.lists.fetched),
)


def families(registry: Registry) -> Iterator[Any]:
    """All of them."""
    # Views of one kind hold the same objects.
    by_labels = {(cache.resource.group, cache.resource.plural): cache for cache in registry.caches.values()}
    caches = [(cache, labels) for labels, cache in by_labels.items()]
    for name, text, read in _GAUGES:
        gauge = GaugeMetricFamily(name, text, labels=_LABELS)
        for cache, labels in caches:
            gauge.add_metric(labels, read(cache))
        yield gauge
    for name, text, read in _INDEXED:
        counter = CounterMetricFamily(name, text, labels=("group", "resource", "index"))
        for cache, labels in caches:
            counter.add_metric((*labels, ""), read(cache))
        yield counter
    yield from _waits(caches)
    older = GaugeMetricFamily("apiserver_storage_objects", "Objects stored, by the resource.", labels=["resource"])
    for cache, _ in caches:
        older.add_metric([cache.resource.group_resource], len(cache.items))
    yield older
    for name, text, read in _COUNTERS:
        counter = CounterMetricFamily(name, text, labels=_LABELS)
        for cache, labels in caches:
            counter.add_metric(labels, read(cache))
        yield counter
    yield from _watch_events(registry.caches.values())
    yield from _store(registry.times)


def size(number: int) -> GaugeMetricFamily:
    """The bytes of the database."""
    made = GaugeMetricFamily("apiserver_storage_size_bytes", "Bytes of the database.", labels=["storage_cluster_id"])
    made.add_metric(["etcd-0"], number)
    return made


def _waits(caches: Iterable[tuple[WatchCache, tuple[str, str]]]) -> Iterator[Any]:
    waited = HistogramMetricFamily("apiserver_watch_cache_read_wait_seconds", "Time until fresh.", labels=_LABELS)
    reads = CounterMetricFamily(
        "apiserver_watch_cache_consistent_read", "Lists of the latest.", labels=(*_LABELS, "success", "fallback")
    )
    for cache, labels in caches:
        if number := sum(cache.waits.numbers):
            waited.add_metric(labels, cache.waits.buckets(), cache.waits.total)
            reads.add_metric((*labels, "true", "false"), number)
    yield from (waited, reads)


def _watch_events(caches: Iterable[WatchCache]) -> Iterator[Any]:
    labels = ("group", "version", "resource")
    total = CounterMetricFamily("apiserver_watch_events", "Events sent to watches.", labels=labels)
    sizes = HistogramMetricFamily("apiserver_watch_events_sizes", "Bytes of events sent to watches.", labels=labels)
    tallies: dict[tuple[str, str, str], Tally] = {}
    for codec in {codec for cache in caches for codec in cache.codecs}:
        key = (codec.resource.group, codec.version, codec.resource.plural)
        tallies.setdefault(key, Tally(EVENT_SIZES)).add(codec.told)
    for key, tally in tallies.items():
        total.add_metric(key, sum(tally.numbers))
        sizes.add_metric(key, tally.buckets(), tally.total)
    yield from (total, sizes)


def _store(times: StoreTimes) -> Iterator[Any]:
    labels = ("operation", *_LABELS)
    took = HistogramMetricFamily("etcd_request_duration_seconds", "Time the store took.", labels=labels)
    total = CounterMetricFamily("etcd_requests", "Requests to the store.", labels=labels)
    errors = CounterMetricFamily("etcd_request_errors", "Requests that the store failed.", labels=labels)
    for key, tally in times.tallies.items():
        took.add_metric(key, tally.buckets(), tally.total)
        total.add_metric(key, sum(tally.numbers))
    for key, number in times.errors.items():
        errors.add_metric(key, number)
    yield from (took, total, errors)
