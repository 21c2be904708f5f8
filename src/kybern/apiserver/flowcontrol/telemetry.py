"""The metrics of API Priority and Fairness, under upstream's names, made when somebody asks.

Source: Kubernetes documentation, "API Priority and Fairness", "Metrics"; "Kubernetes Metrics Reference".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

from kybern.apiserver.flowcontrol.counts import Counts
from kybern.apiserver.flowcontrol.level import Level
from kybern.process.clock import monotonic
from kybern.process.metrics import Tally

_PREFIX = "apiserver_flowcontrol_"
_LEVEL, _FLOW = ("priority_level",), ("priority_level", "flow_schema")

_GAUGES: tuple[tuple[str, str, Callable[[Level], float]], ...] = (
    ("nominal_limit_seats", "Seats by shares.", lambda level: level.nominal),
    ("lower_limit_seats", "Seats at least.", lambda level: level.lower),
    ("upper_limit_seats", "Seats at most.", lambda level: level.upper),
    ("current_limit_seats", "Seats now.", lambda level: level.limit),
    ("target_seats", "Seats it would have.", lambda level: level.target),
    ("demand_seats_high_watermark", "Most seats wanted in the last period.", lambda level: level.demand.high),
    ("demand_seats_average", "Seats wanted in the last period.", lambda level: level.demand.average),
    ("demand_seats_stdev", "How much that varied.", lambda level: level.demand.deviation),
    ("demand_seats_smoothed", "Seats wanted, smoothed.", lambda level: level.demand.smoothed),
    ("current_r", "R at the last change.", lambda level: level.r),
    ("dispatch_r", "R at the last dispatch.", lambda level: level.dispatch_r),
    ("latest_s", "Virtual start of what was dispatched last.", lambda level: level.latest_s),
)
_FLOW_GAUGES: tuple[tuple[str, str, Callable[[Counts], float]], ...] = (
    ("current_inqueue_requests", "Requests waiting.", lambda counts: counts.waiting),
    ("current_inqueue_seats", "Seats waited for.", lambda counts: counts.seats_waiting),
    ("current_executing_requests", "Requests being served.", lambda counts: counts.executing),
    ("current_executing_seats", "Seats taken.", lambda counts: counts.seats_executing),
)
_FLOW_COUNTERS: tuple[tuple[str, str, Callable[[Counts], float]], ...] = (
    ("dispatched_requests", "Requests served.", lambda counts: counts.dispatched),
    ("request_dispatch_no_accommodation", "Dispatches put off for seats.", lambda counts: counts.unaccommodated),
)
_FLOW_HISTOGRAMS: tuple[tuple[str, str, Callable[[Counts], Tally]], ...] = (
    ("work_estimated_seats", "Seats of a request, as estimated.", lambda counts: counts.seats),
    ("request_queue_length_after_enqueue", "Length of the queue joined.", lambda counts: counts.length),
    ("watch_count_samples", "Watches that hear of a write.", lambda counts: counts.watchers),
)


def families(levels: Collection[Level]) -> Iterator[Any]:
    """All of them."""
    now = monotonic()
    for level in levels:
        level.advance(now)
    for name, text, read in _GAUGES:
        gauge = GaugeMetricFamily(_PREFIX + name, text, labels=_LEVEL)
        for level in levels:
            gauge.add_metric([level.name], read(level))
        yield gauge
    shared = next((level.fraction for level in levels if not level.exempt), 0.0)
    yield GaugeMetricFamily(
        f"{_PREFIX}seat_fair_frac", "The part of their targets that levels at neither bound get.", value=shared
    )
    flows = [(level.name, name, counts) for level in levels for name, counts in level.counts.items()]
    for name, text, count in _FLOW_GAUGES:
        gauge = GaugeMetricFamily(_PREFIX + name, text, labels=_FLOW)
        for level_name, schema, counts in flows:
            gauge.add_metric([level_name, schema], count(counts))
        yield gauge
    for name, text, count in _FLOW_COUNTERS:
        counter = CounterMetricFamily(_PREFIX + name, text, labels=_FLOW)
        for level_name, schema, counts in flows:
            counter.add_metric([level_name, schema], count(counts))
        yield counter
    for name, text, tally in _FLOW_HISTOGRAMS:
        histogram = HistogramMetricFamily(_PREFIX + name, text, labels=_FLOW)
        for level_name, schema, counts in flows:
            _add(histogram, [level_name, schema], tally(counts))
        yield histogram
    yield from _durations(flows)
    yield from _uses([level for level in levels if not level.exempt])


def _uses(levels: list[Level]) -> Iterator[Any]:
    phases = (*_LEVEL, "phase")
    seats = HistogramMetricFamily(f"{_PREFIX}priority_level_seat_utilization", "Part of the seats.", labels=phases)
    requests = HistogramMetricFamily(
        f"{_PREFIX}priority_level_request_utilization", "Requests, as part of the places for them.", labels=phases
    )
    demand = HistogramMetricFamily(f"{_PREFIX}demand_seats", "Seats wanted, as part of the nominal.", labels=_LEVEL)
    bounds = [
        GaugeMetricFamily(f"{_PREFIX}next_{name}s_bounds", "Virtual starts of who is next.", labels=(*_LEVEL, "bound"))
        for name in ("", "discounted_")
    ]
    for level in levels:
        uses = level.demand.uses(level.limits)
        _add(seats, [level.name, "executing"], uses.seats)
        _add(demand, [level.name], uses.demand)
        _add(requests, [level.name, "executing"], uses.executing)
        _add(requests, [level.name, "waiting"], uses.waiting)
        least, most, least_discounted, most_discounted = level.next_bounds()
        for gauge, low, high in ((bounds[0], least, most), (bounds[1], least_discounted, most_discounted)):
            gauge.add_metric([level.name, "min"], low)
            gauge.add_metric([level.name, "max"], high)
    yield from (seats, requests, demand, *bounds)


def _durations(flows: list[tuple[str, str, Counts]]) -> Iterator[Any]:
    rejected = CounterMetricFamily(f"{_PREFIX}rejected_requests", "Requests refused.", labels=(*_FLOW, "reason"))
    waited = HistogramMetricFamily(
        f"{_PREFIX}request_wait_duration_seconds", "Time waited.", labels=(*_FLOW, "execute")
    )
    ran = HistogramMetricFamily(f"{_PREFIX}request_execution_seconds", "Time served.", labels=(*_FLOW, "type"))
    for level, schema, counts in flows:
        for reason, number in counts.rejected.items():
            rejected.add_metric([level, schema, reason], number)
        _add(waited, [level, schema, "true"], counts.waited)
        _add(waited, [level, schema, "false"], counts.waited_in_vain)
        _add(ran, [level, schema, "regular"], counts.ran)
        _add(ran, [level, schema, "watch"], counts.ran_watch)
    yield from (rejected, waited, ran)


def _add(family: HistogramMetricFamily, labels: list[str], tally: Tally) -> None:
    if any(tally.numbers):
        family.add_metric(labels, tally.buckets(), tally.total)
