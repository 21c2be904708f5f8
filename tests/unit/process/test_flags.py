"""Values of flags, as Go's components take them."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from kybern.process.daemon import OperatorError
from kybern.process.flags import boolean, duration, server_tls


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("40s", 40), ("1m30s", 90), ("500ms", 0.5), ("1.5h", 5400), ("2h0m1s", 7201)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "5x", "s", "-1s", "1s 2s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a duration"):
        duration(text)


def test_booleans() -> None:
    assert [boolean(text) for text in ("true", "T", "1", "false", "f", "0")] == [True] * 3 + [False] * 3
    with pytest.raises(argparse.ArgumentTypeError, match='"yes" is neither true nor false'):
        boolean("yes")


def test_missing_certificates_are_named(tmp_path: Path) -> None:
    assert server_tls(None, None) is None
    with pytest.raises(OperatorError, match=f"--tls-cert-file {tmp_path}/absent: "):
        server_tls(f"{tmp_path}/absent", None)
