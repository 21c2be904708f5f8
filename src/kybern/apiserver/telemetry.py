"""How many requests of each sort there were, how long they took and how large they were, under upstream's metric names.

Counting is on every request's way, so it is a dictionary of numbers; Prometheus' families are made when somebody asks.
Source: Kubernetes documentation, "Kubernetes Metrics Reference".
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from kybern.api.scheme import Scheme
from kybern.apiserver import audit_metrics, deadline, storage_metrics
from kybern.apiserver.auth_metrics import AuthCollector
from kybern.apiserver.cel_metrics import CelCollector
from kybern.apiserver.following import followed
from kybern.apiserver.request import Request, RequestInfo, Response, Stream, Upgrade
from kybern.process.clock import monotonic
from kybern.process.metrics import Tally, shown
from kybern.store.base import StoreError

if TYPE_CHECKING:
    from kybern.apiserver.app import App

SECONDS = (0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60)
SLI_SECONDS = SECONDS[2:]
WATCH_LIST_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2, 4, 6, 8, 10, 15, 20, 30, 45, 60)
SIZES = tuple(10.0**power for power in range(3, 10))
BODY_SIZES = tuple(50_000.0 + 100_000 * step for step in range(31))
KINDS = (("readOnly", False), ("mutating", True))
LONG = frozenset(("WATCH", "CONNECT"))
MAX_SORTS = 10_000
_VERBS = {"create": "POST", "update": "PUT", "head": "GET"}
_LABELS = ("verb", "group", "version", "resource", "subresource", "scope", "component")
_CONNECTS = frozenset(("log", "exec", "attach", "portforward", "proxy"))


class Sort:
    """The requests of one verb of one resource, in one scope."""

    __slots__ = ("aborted", "bodies", "codes", "labels", "running", "seconds", "sizes", "sli", "terminated")

    def __init__(self, labels: tuple[str, ...]) -> None:
        self.labels = labels
        self.codes: dict[tuple[int, str], int] = {}
        """(code, dryRun) -> how many."""
        self.seconds = {"": Tally(SECONDS)}
        """By dryRun."""
        self.sli = Tally(SLI_SECONDS)
        self.sizes, self.bodies = Tally(SIZES), Tally(BODY_SIZES)
        self.terminated: dict[int, int] = {}
        """By code: how many the server gave up."""
        self.aborted = 0
        """How many answers were cut short."""
        self.running = 0
        """Of long ones: how many there are now."""


class Telemetry(Collector):
    """One server's counts. Tell it of each answer by `answered`; `page` shows them."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._sorts: dict[tuple[str, ...], Sort] = {}
        self._by_labels: dict[tuple[str, ...], Sort] = {}
        self.registry = CollectorRegistry()
        """Where other parts of the server register what they count."""
        self.registry.register(self)
        self.registry.register(AuthCollector())
        self.registry.register(CelCollector())
        self.watch_lists: dict[tuple[str, ...], Tally] = {}
        """Times until a watch had told what there was, by its labels."""
        self.store_size = 0
        """Bytes of the database, when last asked for."""

    def answered(self, request: Request, response: Response, began: float) -> Response:
        """Count a request, at the end of its answer; gives what is to be sent."""
        info = request.info
        # Paths of nothing would make label values without end.
        if (request.resource is None and not self._known(info, response)) or (
            info.subresource and response.status == 404
        ):
            return response
        sort = self._sort(request, info)
        dry = "All" if request.query and "dryRun=All" in request.query else ""
        if type(response.body) is bytes and not isinstance(response, Stream | Upgrade):
            self._count(sort, request, response, dry, began)
            return response
        sort.running += 1

        def over() -> None:
            sort.running -= 1
            self._count(sort, request, response, dry, began)

        return followed(response, over)

    def terminated(self, request: Request, code: int) -> None:
        """Note a request that the server gave up, to protect itself."""
        info = request.info
        if self._exists(info):
            sort = self._sort(request, info)
            sort.terminated[code] = sort.terminated.get(code, 0) + 1

    def aborted(self, request: Request) -> None:
        """Note an answer that was cut short, because its client took it in too slowly."""
        if self._exists(request.info):
            self._sort(request, request.info).aborted += 1

    def watch_begins(self, request: Request, begun: Callable[[], None]) -> Callable[[], None]:
        """What a watch is to call once it has told what there was; it calls `begun`."""
        if not request.flag("sendInitialEvents"):
            return begun
        began, labels = monotonic(), self._sort(request, request.info).labels

        def told() -> None:
            self.watch_lists.setdefault(labels, Tally(WATCH_LIST_SECONDS)).observe(monotonic() - began)
            begun()

        return told

    def _known(self, info: RequestInfo, response: Response) -> bool:
        """Whether a request that came to no resource is one of those there are: a path, or refused before."""
        return (not info.is_resource or response.status == 429) and self._exists(info)

    def _exists(self, info: RequestInfo) -> bool:
        if not info.is_resource:
            return info.path in self._app.routes
        return self._app.registry.scheme.resource(info.group, info.resource, info.version) is not None

    def _sort(self, request: Request, info: RequestInfo) -> Sort:
        verb = info.verb
        if not info.is_resource:
            key: tuple[str, ...] = (verb, info.path)
        else:
            scope = "resource" if info.name or verb == "create" else "namespace" if info.namespace else "cluster"
            kind = request.headers.get("content-type", "") if verb == "patch" else ""
            key = (verb, info.group, info.version, info.resource, info.subresource, scope, kind)
        found = self._sorts.get(key)
        if found is None:
            if len(self._sorts) > MAX_SORTS:  # clients can make up content types
                self._sorts.clear()
            labels = _labels(*key)
            found = self._sorts[key] = self._by_labels.setdefault(labels, Sort(labels))
        return found

    def _count(self, sort: Sort, request: Request, response: Response, dry: str, began: float) -> None:
        seconds = monotonic() - began
        key = (response.status, dry)
        sort.codes[key] = sort.codes.get(key, 0) + 1
        tally = sort.seconds.get(dry)
        if tally is None:
            tally = sort.seconds[dry] = Tally(SECONDS)
        tally.observe(seconds)
        sort.sli.observe(max(seconds - request.elsewhere, 0.0))
        if request.body:
            sort.bodies.observe(len(request.body))
        elif request.method == "GET" and not isinstance(response, Stream | Upgrade):
            sort.sizes.observe(_size(response))

    async def measure(self) -> None:
        """Look at what can't be looked at while the page is made."""
        with contextlib.suppress(StoreError):
            self.store_size = await self._app.registry.store.size()

    def page(self) -> bytes:
        """In Prometheus' text format."""
        return shown(self.registry)

    def collect(self) -> Iterator[Any]:
        """For Prometheus' registry."""
        sorts = list(self._by_labels.values())
        yield from _requests(sorts)
        yield from _cut_short(sorts)
        yield _deprecated(self._app.registry.scheme, sorts)
        yield from _running(self._app)
        yield _watch_lists(self.watch_lists)
        yield from storage_metrics.families(self._app.registry)
        yield storage_metrics.size(self.store_size)
        yield from audit_metrics.families(self._app.audit)
        flows = self._app.flows
        if flows is not None:
            yield from flows.collect()


def _size(response: Response) -> int:
    """The bytes of an answer; of one in pieces, what its headers say."""
    if type(response.body) is bytes:
        return len(response.body)
    return next((int(value) for name, value in response.headers if name == "content-length"), 0)


def _labels(verb: str, *rest: str) -> tuple[str, ...]:
    """The values of _LABELS: of a resource's (verb, group, ..., scope, content type), or of (method, path)."""
    if len(rest) == 1:
        return (verb.upper(), "", "", "", rest[0], "", "apiserver")
    *about, kind = rest
    said = _VERBS.get(verb) or verb.upper()
    if about[3] in _CONNECTS:
        said = "CONNECT"
    elif kind.startswith("application/apply-patch"):
        said = "APPLY"
    return (said, *about, "apiserver")


def _requests(sorts: list[Sort]) -> Iterator[Metric]:
    verb, *rest = _LABELS
    labels = [verb, "dry_run", *rest]
    total = CounterMetricFamily("apiserver_request", "Requests answered.", labels=[*labels, "code"])
    took = HistogramMetricFamily("apiserver_request_duration_seconds", "Time to the answer.", labels=labels)
    sli = HistogramMetricFamily(
        "apiserver_request_sli_duration_seconds", "The same, without waiting for its turn and for webhooks.",
        labels=_LABELS,
    )  # fmt: skip
    sizes = HistogramMetricFamily("apiserver_response_sizes", "Bytes of answers to reads.", labels=_LABELS)
    long = GaugeMetricFamily("apiserver_longrunning_requests", "Requests that last, now.", labels=_LABELS)
    bodies: dict[tuple[str, str, str], Tally] = {}
    for sort in sorts:
        first, *others = sort.labels
        for (code, dry), number in sort.codes.items():
            total.add_metric([first, dry, *others, str(code)], number)
        for dry, tally in sort.seconds.items():
            took.add_metric([first, dry, *others], tally.buckets(), tally.total)
        sli.add_metric(sort.labels, sort.sli.buckets(), sort.sli.total)
        if first in ("GET", "LIST"):
            sizes.add_metric(sort.labels, sort.sizes.buckets(), sort.sizes.total)
        if first in LONG:
            long.add_metric(sort.labels, sort.running)
        if any(sort.bodies.numbers):
            key = (sort.labels[1], sort.labels[3], sort.labels[0].lower())
            bodies.setdefault(key, Tally(BODY_SIZES)).add(sort.bodies)
    sent = HistogramMetricFamily(
        "apiserver_request_body_size_bytes", "Bytes of what clients send.", labels=("group", "resource", "verb")
    )
    for key, tally in bodies.items():
        sent.add_metric(key, tally.buckets(), tally.total)
    yield from (total, took, sli, sizes, long, sent)


def _cut_short(sorts: list[Sort]) -> Iterator[Metric]:
    ended = CounterMetricFamily(
        "apiserver_request_terminations", "Requests given up to protect the server.", labels=[*_LABELS, "code"]
    )
    aborted = CounterMetricFamily("apiserver_request_aborts", "Answers cut short.", labels=_LABELS[:-1])
    for sort in sorts:
        for code, number in sort.terminated.items():
            ended.add_metric([*sort.labels, str(code)], number)
        if sort.aborted:
            aborted.add_metric(sort.labels[:-1], sort.aborted)
    yield from (ended, aborted, deadline.family())


def _deprecated(scheme: Scheme, sorts: list[Sort]) -> Metric:
    """Which versions that will be gone somebody asked for."""
    names = ("group", "version", "resource", "subresource", "removed_release")
    made = GaugeMetricFamily("apiserver_requested_deprecated_apis", "Deprecated and asked for.", labels=names)
    asked = {sort.labels[1:5] for sort in sorts if sort.codes and sort.labels[3]}
    for group, version, plural, subresource in sorted(asked):
        resource = scheme.resource(group, plural, version)
        if resource is not None and resource.warnings_of(version):
            made.add_metric((group, version, plural, subresource, resource.gone_in(version)), 1)
    return made


def _watch_lists(lists: dict[tuple[str, ...], Tally]) -> Metric:
    names = ("group", "version", "resource", "scope")
    made = HistogramMetricFamily(
        "apiserver_watch_list_duration_seconds", "Time until a watch told what there was.", labels=names
    )
    for (_, group, version, resource, _, scope, _), tally in lists.items():
        made.add_metric((group, version, resource, scope), tally.buckets(), tally.total)
    return made


def _running(app: App) -> Iterator[Metric]:
    running = GaugeMetricFamily("apiserver_current_inflight_requests", "Being served.", labels=["request_kind"])
    for kind, writes in KINDS:
        running.add_metric([kind], app.watermarks[writes].value(app.running[writes]))
    waiting = GaugeMetricFamily("apiserver_current_inqueue_requests", "Waiting their turn.", labels=["request_kind"])
    flows = app.flows
    for kind, writes in KINDS:
        waiting.add_metric([kind], flows.waiting(writes=writes) if flows is not None else 0)
    handshakes = CounterMetricFamily("apiserver_tls_handshake_errors", "Connections that failed at TLS.")
    handshakes.add_metric((), app.handshake_errors)
    yield from (running, waiting, handshakes)
