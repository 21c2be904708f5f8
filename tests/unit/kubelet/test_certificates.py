from __future__ import annotations

import argparse
import stat
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509

from kybern.api.certificates import requests
from kybern.client import kubeconfig
from kybern.client.kubeconfig import ClientConfig
from kybern.kubelet import certificates
from kybern.kubelet.certificates import Kept, Refused, issued, renewal
from kybern.kubelet.command import add_flags, configure
from kybern.kubelet.config import Config
from kybern.kubelet.http.tls import server_context
from kybern.kubelet.paths import Paths
from kybern.process.daemon import OperatorError
from kybern.testing import certificates as making

NODE = ("system:node:n1", ("system:nodes",))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    paths = Paths(tmp_path, tmp_path / "logs", tmp_path / "containers")
    return Config("n1", "n1", paths, cert_dir=tmp_path / "pki", node_ips=("10.0.0.1",))


def client_pair(**more: Any) -> tuple[bytes, bytes]:
    private = making.key()
    return making.certificate(NODE[0], private, NODE[1], **more), making.key_pem(private)


def test_what_is_asked_for(config: Config) -> None:
    server = certificates.server_certificate(config)
    asked = x509.load_pem_x509_csr(server.request(making.key()))
    assert asked.subject == making.subject(*NODE)
    assert requests.alternative_names(asked) == [x509.DNSName("n1"), making.ip("10.0.0.1")]
    asked = x509.load_pem_x509_csr(certificates.client_certificate(config).request(making.key()))
    assert requests.alternative_names(asked) == []


def test_the_newest_pair_is_the_current_one(config: Config) -> None:
    kept, wanted = certificates.client_store(config), certificates.client_certificate(config)
    assert kept.load(wanted) is None
    old, new = client_pair(), client_pair()
    kept.save(*old)
    kept.save(*new)
    assert kept.load(wanted) == x509.load_pem_x509_certificate(new[0])
    assert kept.current.name == "kubelet-client-current.pem"
    assert kept.current.read_bytes() == new[0] + new[1]
    assert stat.S_IMODE(kept.current.stat().st_mode) == 0o600
    assert kept.current.readlink().name.startswith("kubelet-client-2")


@pytest.mark.parametrize(
    "pem",
    [
        client_pair(age=timedelta(days=2))[0],
        making.certificate("system:node:other", making.key(), ("system:nodes",)),
        b"damaged",
    ],
)
def test_what_does_not_count_as_current(config: Config, pem: bytes) -> None:
    kept = certificates.client_store(config)
    kept.save(pem, b"")
    assert kept.load(certificates.client_certificate(config)) is None


def test_a_serving_certificate_for_other_addresses_does_not_count(config: Config) -> None:
    kept = Kept(config.cert_dir, "kubelet-server")
    kept.save(*client_pair())
    assert kept.load(certificates.client_certificate(config)) is not None
    assert kept.load(certificates.server_certificate(config)) is None


def test_renewal_is_counted_from_the_beginning() -> None:
    made = x509.load_pem_x509_certificate(making.certificate("a", making.key(), life=timedelta(days=10)))
    assert renewal(made, 0.8) == made.not_valid_before_utc.timestamp() + 8 * 86400


def request(*conditions: dict[str, str], certificate: str = "") -> dict[str, Any]:
    status: dict[str, Any] = {"conditions": list(conditions)}
    return {"status": {**status, "certificate": certificate} if certificate else status}


def test_a_request_is_over_when_issued_or_refused() -> None:
    approved = {"type": "Approved", "status": "True"}
    assert issued({"status": {}}) is None
    assert issued(request(approved)) is None
    assert issued(request(approved, certificate=requests.encoded(b"pem"))) == b"pem"
    denied = {"type": "Denied", "status": "True", "reason": "KubectlDeny", "message": "no"}
    with pytest.raises(Refused, match="is denied, reason: KubectlDeny, message: no"):
        issued(request(denied))
    with pytest.raises(Refused, match="failed, reason: SignerValidationFailure"):
        issued(request(approved, {"type": "Failed", "reason": "SignerValidationFailure"}))


def written(path: Path, pem: Path) -> str:
    found = ClientConfig("https://127.0.0.1:1", ca_data=making.certificate("ca", making.key()))
    path.write_bytes(certificates._kubeconfig(found, pem))
    return str(path)


def test_a_kubeconfig_is_good_while_its_certificate_is(config: Config, tmp_path: Path) -> None:
    path, kept = tmp_path / "kubelet.conf", certificates.client_store(config)
    assert not certificates.still_good(str(path))
    name = written(path, kept.current)
    assert not certificates.still_good(name)
    kept.save(*client_pair())
    assert certificates.still_good(name)
    kept.save(*client_pair(age=timedelta(days=2)))
    assert not certificates.still_good(name)
    path.write_text("damaged: [")
    assert not certificates.still_good(name)


def test_the_kubeconfig_leads_to_what_is_current(config: Config, tmp_path: Path) -> None:
    kept = certificates.client_store(config)
    kept.save(*client_pair())
    name = written(tmp_path / "kubelet.conf", kept.current)
    user = yaml.safe_load(Path(name).read_text())["users"][0]["user"]
    assert user == {"client-certificate": str(kept.current), "client-key": str(kept.current)}
    kubeconfig.connect(kubeconfig.load(name))


def test_renewed_certificates_count_more_than_the_kubeconfigs(config: Config) -> None:
    given, renewed = client_pair(), client_pair()
    found = ClientConfig("https://127.0.0.1:1", cert_data=given[0], key_data=given[1])
    assert certificates.adopt(config, found) == found
    kept = certificates.client_store(config)
    assert kept.current.read_bytes() == given[0] + given[1]
    kept.save(*renewed)
    assert certificates.adopt(config, found).cert_data == renewed[0] + renewed[1]


def test_the_same_key_asks_by_the_same_name(config: Config) -> None:
    wanted = certificates.client_certificate(config)
    key = certificates._pending_key(config.cert_dir)
    again = certificates._pending_key(config.cert_dir)
    assert certificates._name(wanted, key) == certificates._name(wanted, again)
    assert certificates._name(wanted, key) != certificates._name(wanted, making.key())
    assert certificates._name(wanted, key).startswith("node-csr-")


def test_a_kubelet_that_waits_for_its_certificate_makes_none(config: Config) -> None:
    config.rotate_server_certificates = True
    server_context(config)
    assert not config.cert_dir.exists()
    config.rotate_server_certificates = False
    server_context(config)
    assert (config.cert_dir / "kubelet.crt").exists()


@pytest.fixture
def parse() -> Iterator[Any]:
    parser = argparse.ArgumentParser()
    add_flags(parser)
    yield lambda *flags: configure(parser.parse_args(["--fail-swap-on=false", "--node-ip=10.0.0.1", *flags]))


def test_flags(parse: Any, tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="needs --kubeconfig"):
        parse("--bootstrap-kubeconfig=b")
    found = parse("--bootstrap-kubeconfig=b", "--kubeconfig=k", "--rotate-certificates")
    assert (found.bootstrap_kubeconfig, found.rotate_certificates, found.rotate_server_certificates) == (
        "b",
        True,
        False,
    )
    file = tmp_path / "config.yaml"
    content = {"rotateCertificates": True, "serverTLSBootstrap": True}
    head = {"kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1"}
    file.write_text(yaml.safe_dump({**head, **content}))
    found = parse(f"--config={file}", "--kubeconfig=k")
    assert (found.rotate_certificates, found.rotate_server_certificates) == (True, True)
