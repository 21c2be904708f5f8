"""Durations as Go writes them."""

from __future__ import annotations

import pytest

from kybern.api.durations import go_duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.5012, "501.2ms"), (0.9999999, "1s"), (10, "10s"), (1.25, "1.25s"), (60, "1m0s"), (61.25, "1m1.25s"),
        (3600, "1h0m0s"), (7322.000001, "2h2m2.000001s"),
    ],
)  # fmt: skip
def test_durations_are_gos(seconds: float, text: str) -> None:
    assert go_duration(seconds) == text
