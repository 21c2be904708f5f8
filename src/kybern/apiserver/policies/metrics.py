"""What policies decided, under upstream's metric names. Source: "Kubernetes Metrics Reference"."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

from kybern.apiserver.app import App

_LABELS = ("policy", "policy_binding", "error_type")
_BUCKETS = (0.0000005, 0.001, 0.01, 0.1, 1.0)

NO_ERROR, INVALID, COMPILE, BUDGET = "no_error", "invalid_error", "compile_error", "out_of_budget"
"""The error types."""


class PolicyMetrics:
    """Of one kind of policies: "validating" or "mutating". What was done about a check is known of validating ones."""

    def __init__(self, kind: str, app: App) -> None:
        base, registry = f"apiserver_{kind}_admission_policy_check", app.telemetry.registry
        labels = (*_LABELS, "enforcement_action") if kind == "validating" else _LABELS
        self._checks = Counter(base, "Checks of admission policies.", labels, registry=registry)
        self._seconds = Histogram(
            f"{base}_duration_seconds", "Time a check took.", labels, registry=registry, buckets=_BUCKETS
        )

    def checked(self, seconds: float, policy: str, binding: str, error: str, *action: str) -> None:
        """A check was made and something done about it: allow, deny, audit or warn."""
        labels = (policy, binding, error, *action)
        self._checks.labels(*labels).inc()
        self._seconds.labels(*labels).observe(seconds)


def error_type(text: str) -> str:
    """The error type of a message; as upstream, of a refusal too."""
    if text.startswith("compilation"):
        return COMPILE
    return BUDGET if text.startswith("validation failed due to running out of cost budget") else INVALID
