from __future__ import annotations

from typing import Any

import pytest

from kybern.api.legacytokens import INVALID_SINCE, LAST_USED
from kybern.controllers.serviceaccount_token_cleaner import mounted_secrets, to_do
from kybern.process.clock import format_time, parse_time

NOW = parse_time("2026-06-15T12:00:00Z")
DAY = 86400.0


def secret(age: float = 40, **labels: str) -> dict[str, Any]:
    return {"metadata": {"creationTimestamp": format_time(NOW - age * DAY), "labels": labels}}


@pytest.mark.parametrize(
    ("labels", "age", "what"),
    [
        ({}, 5, ""),
        ({}, 40, "mark"),
        ({LAST_USED: "2026-06-14"}, 40, ""),
        ({LAST_USED: "2026-05-01"}, 40, "mark"),
        ({LAST_USED: "2026-05-01", INVALID_SINCE: "2026-06-10"}, 40, ""),
        ({LAST_USED: "2026-05-01", INVALID_SINCE: "2026-06-01"}, 40, "delete"),
        ({LAST_USED: "2026-06-14", INVALID_SINCE: "2026-06-01"}, 40, "unmark"),
        ({INVALID_SINCE: "nonsense"}, 40, "mark"),
    ],
)
def test_what_becomes_of_a_token_after_ten_days(labels: dict[str, str], age: float, what: str) -> None:
    assert to_do(secret(age, **labels), NOW, 10 * DAY) == what


def test_mounted_secrets() -> None:
    pod = {
        "metadata": {"namespace": "ci"},
        "spec": {"volumes": [{"secret": {"secretName": "a"}}, {"emptyDir": {}}, {"name": "x"}]},
    }
    assert mounted_secrets([pod, {"metadata": {"namespace": "x"}, "spec": {}}]) == {"ci/a"}
