"""What audit counts, under upstream's metric names; zero where it is off.

Source: Kubernetes documentation, "Auditing"; "Kubernetes Metrics Reference".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily

if TYPE_CHECKING:
    from kybern.apiserver.audit import Audit


def families(audit: Audit | None) -> Iterator[CounterMetricFamily]:
    """All of them."""
    events = CounterMetricFamily("apiserver_audit_event", "Audit events.")
    events.add_metric((), audit.events if audit else 0)
    rejected = CounterMetricFamily("apiserver_audit_requests_rejected", "Requests refused for want of an audit.")
    rejected.add_metric((), audit.rejected if audit else 0)
    levels = CounterMetricFamily("apiserver_audit_level", "Requests by audit level.", labels=["level"])
    errors = CounterMetricFamily("apiserver_audit_error", "Audit events lost.", labels=["plugin"])
    if audit:
        for level, number in audit.levels.items():
            levels.add_metric([level], number)
        for output in audit.outputs:
            errors.add_metric([output.plugin], output.lost)
    yield from (events, rejected, levels, errors)
