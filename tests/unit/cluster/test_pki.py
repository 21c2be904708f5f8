"""Certificates: chained, named, kept, renewed; and a clear word when they can't be used."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kybern.cluster.pki import Authority, Identity, signing_key, write_kubeconfig
from kybern.process.clock import clock
from kybern.process.daemon import OperatorError


def certificate(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_a_leaf_says_who_it_is_for(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    path, key = authority.issue("kubelet", Identity("system:node:n", ("system:nodes",), ("n", "10.0.0.1")))
    found = certificate(path)
    found.verify_directly_issued_by(authority.certificate)
    assert found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "system:node:n"
    assert found.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "system:nodes"
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == ["n", "10.0.0.1"]
    usages = set(found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert usages == {ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH}
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_a_leaf_is_kept_until_it_no_longer_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority, one = Authority(tmp_path), Identity("a", names=("a",))
    first = authority.issue("a", one)[0].read_bytes()
    assert Authority(tmp_path).issue("a", one)[0].read_bytes() == first
    other = authority.issue("a", Identity("a", names=("a", "b")))[0].read_bytes()
    assert other != first
    now = clock.time()
    monkeypatch.setattr(clock, "now_fn", lambda: now + 340 * 86400)
    assert authority.issue("a", Identity("a", names=("a", "b")))[0].read_bytes() != other


def test_an_expired_or_damaged_ca_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Authority(tmp_path)
    now = clock.time()
    with monkeypatch.context() as patch:
        patch.setattr(clock, "now_fn", lambda: now + 11 * 365 * 86400)
        with pytest.raises(OperatorError, match="has expired"):
            Authority(tmp_path)
    (tmp_path / "ca.crt").write_text("nonsense")
    with pytest.raises(OperatorError, match="can't read the CA"):
        Authority(tmp_path)


@pytest.mark.parametrize("lost", ["ca.key", "ca.crt"])
def test_a_ca_of_which_half_is_lost_is_not_made_anew(tmp_path: Path, lost: str) -> None:
    Authority(tmp_path)
    (tmp_path / lost).unlink()
    (left,) = tmp_path.iterdir()
    before = left.read_bytes()
    with pytest.raises(OperatorError, match=rf"can't read the CA in .*{lost}.*; restore it"):
        Authority(tmp_path)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before]


def test_signing_keys_are_kept(tmp_path: Path) -> None:
    private, public = signing_key(tmp_path)
    before = private.read_bytes(), public.read_bytes()
    signing_key(tmp_path)
    assert (private.read_bytes(), public.read_bytes()) == before


def test_a_kubeconfig_stands_alone(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    crt, key = authority.issue("admin", Identity("admin", ("system:masters",)))
    write_kubeconfig(tmp_path / "admin.conf", "https://h:1", authority, crt, key, "admin")
    content = yaml.safe_load((tmp_path / "admin.conf").read_text())
    assert content["clusters"][0]["cluster"]["server"] == "https://h:1"
    assert base64.b64decode(content["users"][0]["user"]["client-key-data"]) == key.read_bytes()
    assert content["current-context"] == content["contexts"][0]["name"]
