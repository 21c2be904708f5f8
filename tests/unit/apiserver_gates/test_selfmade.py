from __future__ import annotations

from pathlib import Path

import pytest

from kybern.apiserver import selfmade
from kybern.process.clock import clock


def test_a_certificate_is_kept_while_it_is_for_all_the_addresses(tmp_path: Path) -> None:
    certificate, key = selfmade.serving_certificate(tmp_path, ["192.0.2.1", "2001:DB8::1", "api.example"])
    first = certificate.read_bytes()
    for addresses in (["192.0.2.1"], ["2001:db8:0::1", "::1", "localhost"], ["api.example"]):
        assert selfmade.serving_certificate(tmp_path, addresses) == (certificate, key)
        assert certificate.read_bytes() == first
    selfmade.serving_certificate(tmp_path, ["192.0.2.2"])
    assert certificate.read_bytes() != first


def test_what_is_no_certificate_or_soon_none_any_more_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, _ = selfmade.serving_certificate(tmp_path, ["192.0.2.1"])
    first = certificate.read_bytes()
    certificate.write_bytes(first[:100])
    selfmade.serving_certificate(tmp_path, ["192.0.2.1"])
    second = certificate.read_bytes()
    assert second not in (first, first[:100])
    then = clock.time() + (selfmade.LIFETIME - selfmade.RENEW_BEFORE).total_seconds() + 60
    monkeypatch.setattr(clock, "now_fn", lambda: then)
    selfmade.serving_certificate(tmp_path, ["192.0.2.1"])
    assert certificate.read_bytes() != second
