"""What policies decided, under upstream's metric names. Source: "Kubernetes Metrics Reference"."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from kybern.apiserver.app import App

_LABELS = ("policy", "policy_binding", "error_type", "enforcement_action")
_BUCKETS = (0.0000005, 0.001, 0.01, 0.1, 1.0)

NO_ERROR, INVALID, COMPILE, BUDGET = "no_error", "invalid_error", "compile_error", "out_of_budget"
"""The error types."""


class PolicyMetrics:
    """Of one kind of policies: "validating" or "mutating"."""

    def __init__(self, kind: str, app: App) -> None:
        base, registry = f"apiserver_{kind}_admission_policy_check", app.telemetry.registry
        self._checks = Counter(base, "Checks of admission policies.", _LABELS, registry=registry)
        self._seconds = Histogram(
            f"{base}_duration_seconds", "Time a check took.", _LABELS, registry=registry, buckets=_BUCKETS
        )

    def checked(self, policy: str, binding: str, error: str, action: str, seconds: float) -> None:
        """A check was made and something done about it: allow, deny, audit or warn."""
        self._checks.labels(policy, binding, error, action).inc()
        self._seconds.labels(policy, binding, error, action).observe(seconds)


def error_type(text: str) -> str:
    """The error type of what went wrong."""
    if not text:
        return NO_ERROR
    if "compilation failed" in text:
        return COMPILE
    return BUDGET if "cost limit exceeded" in text or "out of budget" in text else INVALID
