from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from kybern.api.types import Object
from kybern.cluster.pki import Authority
from kybern.controllers import signing_flags
from kybern.controllers.bootstrapsigner import detached_signature, signatures
from kybern.controllers.certificatesigningrequest_cleaner import due
from kybern.controllers.certificatesigningrequest_signing import to_be_signed
from kybern.controllers.manager import discover, select
from kybern.process.clock import clock, format_time
from kybern.process.daemon import OperatorError
from kybern.testing import certificates

CREATED, LATER = 1_700_000_000.0, 1_700_001_000.0


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def test_a_signature_is_a_jws_whose_content_is_left_out() -> None:
    header, left_out, signature = detached_signature("the content", "abcdef", "0123456789abcdef").split(".")
    assert left_out == ""
    assert base64.urlsafe_b64decode(header + "==") == b'{"alg":"HS256","kid":"abcdef"}'
    signed = f"{header}.{encoded(b'the content')}".encode()
    assert signature == encoded(hmac.digest(b"0123456789abcdef", signed, hashlib.sha256))


def secret(name: str = "bootstrap-token-abcdef", **data: str) -> Object:
    found = {
        "token-id": "abcdef",
        "token-secret": "0123456789abcdef",
        "usage-bootstrap-signing": "true",
        **{key.replace("_", "-"): value for key, value in data.items()},
    }
    return {
        "metadata": {"name": name, "namespace": "kube-system"},
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in found.items()},
    }


@pytest.mark.parametrize(
    ("found", "signs"),
    [
        (secret(), True),
        (secret(expiration=format_time(LATER + 1)), True),
        (secret(expiration=format_time(LATER)), False),
        (secret(usage_bootstrap_signing="false"), False),
        (secret(name="bootstrap-token-zzzzzz"), False),
        (secret(token_secret=""), False),
    ],
)
def test_which_tokens_sign(found: Object, signs: bool) -> None:
    assert list(signatures("x", [found], LATER)) == (["jws-kubeconfig-abcdef"] if signs else [])


def request(*types: str, certificate: bytes = b"") -> Object:
    conditions = [{"type": one, "status": "True", "lastUpdateTime": format_time(LATER)} for one in types]
    status: dict[str, Any] = {"conditions": conditions}
    if certificate:
        status["certificate"] = base64.b64encode(certificate).decode()
    return {"metadata": {"name": "x", "creationTimestamp": format_time(CREATED)}, "status": status}


def test_when_requests_are_removed() -> None:
    good = certificates.certificate("alice", certificates.key())
    assert due(request()) == CREATED + 86400
    assert due(request("Approved")) is None
    assert due(request("Denied")) == LATER + 3600
    assert due(request("Approved", "Failed")) == LATER + 3600
    assert due(request("Approved", certificate=good)) == LATER + 3600
    age = timedelta(seconds=clock.time() - CREATED)
    short = certificates.certificate("alice", certificates.key(), age=age, life=timedelta(seconds=2000))
    end = due(request("Approved", certificate=short))
    assert end == pytest.approx(CREATED + 2000, abs=2)


def test_what_is_signed() -> None:
    assert to_be_signed(request("Approved"))
    assert not to_be_signed(request())
    assert not to_be_signed(request("Approved", "Failed"))
    assert not to_be_signed(request("Approved", certificate=b"x"))


def test_controllers_for_bootstrapping_must_be_named() -> None:
    def names(flag: str) -> set[str]:
        return {one.name for one in select(flag, discover())}

    by_default = names("*")
    assert {
        "certificatesigningrequest-approving-controller",
        "certificatesigningrequest-cleaner-controller",
    } < by_default
    assert names("*,bootstrapsigner,tokencleaner") - by_default == {
        "bootstrap-signer-controller",
        "token-cleaner-controller",
    }


def flags(*given: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    signing_flags.add_flags(parser)
    return parser.parse_args(given)


def test_the_signers_files(tmp_path: Path) -> None:
    made = Authority(tmp_path)
    certificate, key = str(made.certificate_path), str(made.key_path)
    assert signing_flags.signers(flags()) == {}
    common = ("--cluster-signing-cert-file", certificate, "--cluster-signing-key-file", key)
    found = signing_flags.signers(flags(*common))
    assert len(found) == 4
    assert set(found.values()) == {(certificate, key)}
    own = ("--cluster-signing-kubelet-client-cert-file", certificate, "--cluster-signing-kubelet-client-key-file", key)
    assert signing_flags.signers(flags(*own)) == {"kubernetes.io/kube-apiserver-client-kubelet": (certificate, key)}
    with pytest.raises(OperatorError, match="exclude each other"):
        signing_flags.signers(flags(*common, *own))
    with pytest.raises(OperatorError, match="go together"):
        signing_flags.signers(flags(*common[:2]))
    with pytest.raises(OperatorError, match="No such file"):
        signing_flags.signers(flags(*common[:3], str(tmp_path / "none")))
    assert flags().cluster_signing_duration == 8760 * 3600
