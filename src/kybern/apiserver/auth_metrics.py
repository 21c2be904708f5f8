"""What authentication and authorization count, under upstream's metric names.

Counting is on every request's way, so it is dictionaries and lists; Prometheus' types are made when somebody asks.
Source: Kubernetes documentation, "Kubernetes Metrics Reference".
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from kybern.process.clock import clock
from kybern.process.metrics import Counts

FAST = tuple(0.001 * 2**power for power in range(15))
"""Upper bounds in seconds of what takes milliseconds."""
CONDITIONS = (0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25)
WEBHOOK = (0.25, 0.5, 0.7, 1.0, 1.5, 3.0, 5.0, 10.0)
CERTIFICATES = (0, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 345600, 604800, 2592000, 7776000, 15552000, 31104000)


class Durations:
    """A histogram with labels."""

    def __init__(self, name: str, text: str, bounds: Sequence[float], labels: Sequence[str] = ()) -> None:
        self._name, self._text, self._bounds, self._labels = name, text, bounds, labels
        self._rows: dict[tuple[str, ...], tuple[list[int], list[float]]] = {}

    def observe(self, value: float, *labels: str) -> None:
        """Note one."""
        row = self._rows.get(labels)
        if row is None:
            row = self._rows[labels] = ([0] * (len(self._bounds) + 1), [0.0])
        row[0][bisect_left(self._bounds, value)] += 1
        row[1][0] += value

    def family(self) -> Metric:
        """For Prometheus."""
        made = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for labels, (numbers, (total,)) in self._rows.items():
            buckets, below = [], 0
            for bound, number in zip([*map(floatToGoString, self._bounds), "+Inf"], numbers, strict=True):
                below += number
                buckets.append((bound, float(below)))
            made.add_metric(labels, buckets, total)
        return made


attempts = Counts("authentication_attempts", "Counter of authenticated attempts.", "result", bare=True)
users = Counts(
    "authenticated_user_requests", "Counter of authenticated requests broken out by username.", "username", bare=True
)
authentication_time = Durations(
    "authentication_duration_seconds", "Authentication duration in seconds broken out by result.", FAST, ["result"]
)
token_cache = Counts("authentication_token_cache_request", "Requests to the token cache.", "status")
token_fetches = Counts("authentication_token_cache_fetch", "Lookups behind the token cache.", "status")
client_certificate_life = Durations(
    "apiserver_client_certificate_expiration_seconds",
    "Distribution of the remaining lifetime on the certificate used to authenticate a request.",
    CERTIFICATES,
)
authorizations = Counts("authorization_attempts", "Counter of authorization attempts by result.", "result")
authorization_time = Durations(
    "authorization_duration_seconds", "Authorization duration in seconds broken out by result.", FAST, ["result"]
)
decisions = Counts(
    "apiserver_authorization_decisions",
    "Terminal decisions made by an authorizer.",
    "type", "name", "decision",
)  # fmt: skip
webhook_authorizations = Counts(
    "apiserver_authorization_webhook_evaluations", "Round-trips to authorization webhooks.", "name", "result"
)
webhook_authorization_time = Durations(
    "apiserver_authorization_webhook_duration_seconds", "Request latency in seconds.", WEBHOOK, ["name", "result"]
)
webhook_fail_open = Counts(
    "apiserver_authorization_webhook_evaluations_fail_open", "No opinion because of a failure.", "name", "result"
)
match_condition_errors = Counts(
    "apiserver_authorization_match_condition_evaluation_errors", "Match conditions that failed.", "type", "name"
)
match_condition_exclusions = Counts(
    "apiserver_authorization_match_condition_exclusions", "Requests match conditions kept away.", "type", "name"
)
match_condition_time = Durations(
    "apiserver_authorization_match_condition_evaluation_seconds", "Time that match conditions took.", CONDITIONS,
    ["type", "name"],
)  # fmt: skip
delegated_tokens = Counts("apiserver_delegated_authn_request", "Requests to token webhooks by status code.", "code")
delegated_token_time = Durations(
    "apiserver_delegated_authn_request_duration_seconds", "Request latency in seconds.", WEBHOOK, ["code"]
)
jwt_time = Durations(
    "apiserver_authentication_jwt_authenticator_latency_seconds",
    "Latency of jwt authentication operations in seconds.",
    FAST,
    ["result", "jwt_issuer_hash"],
)
legacy_tokens = Counts("serviceaccount_legacy_tokens", "Requests with legacy service account tokens.")
auto_tokens = Counts("serviceaccount_legacy_auto_token_uses", "Uses of legacy tokens that were made by themselves.")
manual_tokens = Counts("serviceaccount_legacy_manual_token_uses", "Uses of legacy tokens that somebody asked for.")
stale_tokens = Counts("serviceaccount_stale_tokens", "Requests with tokens that should have been renewed.")
valid_tokens = Counts("serviceaccount_valid_tokens", "Requests with valid projected tokens.")
reloads = {
    kind: Counts(f"apiserver_{kind}_config_controller_automatic_reloads", "Reloads of the file by status.", "status")
    for kind in ("authentication", "authorization")
}
reload_times: dict[tuple[str, str], float] = {}
"""(authentication or authorization, success or failure) -> when last, in epoch seconds."""

_SHOWN_USERS = frozenset(
    {"admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default", "system:anonymous"}
)


def user_label(name: str) -> str:
    """Names of everybody would be label values without end."""
    return name if name in _SHOWN_USERS else "other"


def reloaded(kind: str, status: str) -> None:
    """Note that a configuration file was taken (success) or not (failure)."""
    reloads[kind][status] += 1
    reload_times[kind, status] = clock.time()


_FAMILIES: tuple[Counts | Durations, ...] = (
    attempts, users, authentication_time, token_cache, token_fetches, client_certificate_life, authorizations,
    authorization_time, decisions, webhook_authorizations, webhook_authorization_time, webhook_fail_open,
    match_condition_errors, match_condition_exclusions, match_condition_time, delegated_tokens, delegated_token_time,
    jwt_time, legacy_tokens, auto_tokens, manual_tokens, stale_tokens, valid_tokens, *reloads.values(),
)  # fmt: skip


class AuthCollector(Collector):
    """All of them."""

    def collect(self) -> Iterator[Metric]:
        for family in _FAMILIES:
            yield family.family()
        for kind in reloads:
            made = GaugeMetricFamily(
                f"apiserver_{kind}_config_controller_automatic_reload_last_timestamp_seconds",
                "Timestamp of the last reload by status.",
                labels=["status"],
            )
            for (which, status), when in reload_times.items():
                if which == kind:
                    made.add_metric([status], when)
            yield made
