"""Values of flags, as Go's components take them."""

from __future__ import annotations

import argparse
import asyncio
import ssl
from pathlib import Path

import pytest

from kybern.process.daemon import OperatorError
from kybern.process.flags import boolean, duration, server_tls
from kybern.process.health import serve_health


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


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "192.0.2.7", "node.example"])
async def test_nobody_elsewhere_is_served_in_plain_text(address: str) -> None:
    served = server_tls(None, None, address)
    assert served is not None
    assert served.minimum_version == ssl.TLSVersion.TLSv1_2
    health = await serve_health("127.0.0.1", 0, {}, served)
    anyone = ssl.create_default_context()
    anyone.check_hostname, anyone.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", health.port, ssl=anyone)
    writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 200 OK")
    writer.close()
    await health.close()
    assert server_tls(None, None, "localhost") is server_tls(None, None, "::1") is None
