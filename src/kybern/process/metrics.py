"""The process's metrics, in Prometheus' text format under upstream's names. Counters are named without `_total`."""

from __future__ import annotations

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest

__all__ = ["CONTENT_TYPE", "REGISTRY", "Counter", "Gauge", "Histogram", "page"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def page() -> bytes:
    """All metrics, as /metrics answers."""
    return generate_latest(REGISTRY)
