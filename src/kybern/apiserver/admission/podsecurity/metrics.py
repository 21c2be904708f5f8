"""How often pods were judged, how and by what, under upstream's metric names.

Counting is on the way of every pod that is made, so it is a dictionary; Prometheus' types are made when somebody asks.
Source: Kubernetes documentation, "Kubernetes Metrics Reference".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

from kybern import VERSION
from kybern.apiserver.admission.base import Attributes
from kybern.apiserver.admission.podsecurity.policy import LATEST, PRIVILEGED, Standard, shown

_MINOR = int(VERSION.split(".")[1])
_REQUEST = ["request_operation", "resource", "subresource"]
_FAMILIES = {
    "pod_security_evaluations": (
        "Policy evaluations, without those of requests that are ignored or exempt.",
        ["decision", "policy_level", "policy_version", "mode", *_REQUEST],
    ),
    "pod_security_exemptions": ("Requests that are exempt.", _REQUEST),
    "pod_security_errors": ("Errors that kept a policy from being evaluated as meant.", ["fatal", *_REQUEST]),
}


class PodSecurityMetrics(Collector):
    """The counts of one server. Register it where they are to be shown."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[tuple[str, ...]]] = {name: Counter() for name in _FAMILIES}

    def evaluated(self, a: Attributes, standard: Standard, mode: str, *, allowed: bool) -> None:
        """A pod was held against a standard."""
        minor = LATEST if standard.level == PRIVILEGED else standard.minor
        version = shown(minor) if minor == LATEST or minor <= _MINOR else "future"
        labels = ("allow" if allowed else "deny", standard.level, version, mode, *_request(a))
        self._counts["pod_security_evaluations"][labels] += 1

    def exempted(self, a: Attributes) -> None:
        """A request wasn't looked at because of who makes it, or where."""
        self._counts["pod_security_exemptions"][_request(a)] += 1

    def failed(self, a: Attributes, *, fatal: bool) -> None:
        """A policy couldn't be found out, or read."""
        self._counts["pod_security_errors"]["true" if fatal else "false", *_request(a)] += 1

    def collect(self) -> Iterator[CounterMetricFamily]:
        """For Prometheus' registry."""
        for name, (text, labels) in _FAMILIES.items():
            family = CounterMetricFamily(name, text, labels=labels)
            for values, number in self._counts[name].items():
                family.add_metric(list(values), number)
            yield family


def _request(a: Attributes) -> tuple[str, str, str]:
    plural = a.resource.plural
    resource = "pod" if plural == "pods" else "namespace" if plural == "namespaces" else "controller"
    return a.operation.lower(), resource, a.subresource
