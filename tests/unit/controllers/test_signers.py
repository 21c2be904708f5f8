from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from kybern.api.certificates.certificatesigningrequest import KUBELET_CLIENT
from kybern.cluster.pki import Authority as ClusterAuthority
from kybern.controllers import signers
from kybern.controllers.certificatesigningrequest_approving import recognized
from kybern.controllers.signers import Authority, issue, life
from kybern.process.clock import clock
from kybern.testing import certificates
from kybern.testing.certificates import ip, request, signing_request, subject

CLIENT = ("digital signature", "client auth")
SERVER = ("digital signature", "server auth")
NODE = ("system:node:n1", ("system:nodes",))


def parsed(pem: bytes) -> x509.CertificateSigningRequest:
    return x509.load_pem_x509_csr(pem)


def refusal(accept: signers.Accepts, pem: bytes, usages: tuple[str, ...]) -> str:
    try:
        accept(parsed(pem), usages)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("pem", "usages", "said"),
    [
        (request(*NODE), CLIENT, ""),
        (request(*NODE), (*CLIENT, "key encipherment"), ""),
        (request("system:node:n1"), CLIENT, "subject organization is not system:nodes"),
        (request("system:node:n1", ["system:nodes", "dev"]), CLIENT, "subject organization is not system:nodes"),
        (request("n1", ["system:nodes"]), CLIENT, "subject common name does not begin with system:node:"),
        (request(*NODE, [x509.DNSName("n1")]), CLIENT, "DNS subjectAltNames are not allowed"),
        (request(*NODE, [ip("10.0.0.1")]), CLIENT, "IP subjectAltNames are not allowed"),
        (request(*NODE, [x509.RFC822Name("a@b")]), CLIENT, "Email subjectAltNames are not allowed"),
        (
            request(*NODE), SERVER,
            "usages did not match [client auth digital signature key encipherment]",
        ),
    ],
)  # fmt: skip
def test_kubelet_client(pem: bytes, usages: tuple[str, ...], said: str) -> None:
    assert refusal(signers.accept_kubelet_client, pem, usages) == said


@pytest.mark.parametrize(
    ("pem", "usages", "said"),
    [
        (request(*NODE, [x509.DNSName("n1"), ip("10.0.0.1")]), SERVER, ""),
        (request(*NODE, [ip("10.0.0.1")]), (*SERVER, "key encipherment"), ""),
        (request(*NODE), SERVER, "DNS or IP subjectAltName is required"),
        (
            request(*NODE, [ip("10.0.0.1"), x509.UniformResourceIdentifier("spiffe://a")]), SERVER,
            "URI subjectAltNames are not allowed",
        ),
        (
            request(*NODE, [ip("10.0.0.1")]), CLIENT,
            "usages did not match [digital signature key encipherment server auth]",
        ),
        (
            request("n1", ["system:nodes"], [ip("10.0.0.1")]), SERVER,
            "subject common name does not begin with system:node:",
        ),
    ],
)  # fmt: skip
def test_kubelet_serving(pem: bytes, usages: tuple[str, ...], said: str) -> None:
    assert refusal(signers.accept_kubelet_serving, pem, usages) == said


def test_apiserver_client() -> None:
    accept = signers.accept_apiserver_client
    assert refusal(accept, request("alice"), ("client auth",)) == ""
    assert refusal(accept, request("alice"), SERVER) == "invalid usage for client certificate: server auth"
    assert (
        refusal(accept, request("alice"), ("key encipherment",))
        == "missing required usage for client certificate: client auth"
    )


def test_who_renews_their_own_certificate_is_told_apart() -> None:
    made = signing_request("x", request(*NODE), KUBELET_CLIENT, CLIENT, username="system:bootstrap:abcdef")
    assert recognized(made, parsed(request(*NODE))) == ["nodeclient"]
    made["spec"]["username"] = "system:node:n1"
    assert recognized(made, parsed(request(*NODE))) == ["selfnodeclient", "nodeclient"]
    assert recognized(made, parsed(request("n1"))) == []
    made["spec"]["signerName"] = "example.com/other"
    assert recognized(made, parsed(request(*NODE))) == []


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    made = ClusterAuthority(tmp_path)
    return Authority.read(str(made.certificate_path), str(made.key_path))


def test_the_certificate_is_what_was_asked_for(authority: Authority) -> None:
    private = certificates.key()
    names = [ip("10.0.0.1"), x509.DNSName("n1")]
    now = clock.now().replace(microsecond=0)
    pem = issue(authority, parsed(request(*NODE, names, private)), SERVER, timedelta(days=30), now)
    made = x509.load_pem_x509_certificate(pem)
    made.verify_directly_issued_by(authority.certificate)
    assert made.subject == subject(*NODE)
    assert made.public_key() == private.public_key()
    assert made.not_valid_before_utc == now - timedelta(minutes=5)
    assert made.not_valid_after_utc == now + timedelta(days=30, minutes=-5)
    value = made.extensions.get_extension_for_class
    assert list(value(x509.SubjectAlternativeName).value) == [x509.DNSName("n1"), ip("10.0.0.1")]
    assert list(value(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    usage = value(x509.KeyUsage).value
    assert (usage.digital_signature, usage.key_encipherment, usage.key_cert_sign) == (True, False, False)
    assert not value(x509.BasicConstraints).value.ca


def test_a_short_life_is_not_cut_shorter(authority: Authority) -> None:
    now = clock.now().replace(microsecond=0)
    pem = issue(authority, parsed(request("alice")), CLIENT, timedelta(hours=1), now)
    assert x509.load_pem_x509_certificate(pem).not_valid_after_utc == now + timedelta(hours=1)


def test_no_certificate_outlives_its_authority(authority: Authority) -> None:
    end = authority.certificate.not_valid_after_utc
    pem = issue(authority, parsed(request("alice")), CLIENT, timedelta(days=30), end - timedelta(days=1))
    assert x509.load_pem_x509_certificate(pem).not_valid_after_utc == end
    with pytest.raises(ValueError, match="refusing to sign a certificate that expired in the past"):
        issue(authority, parsed(request("alice")), CLIENT, timedelta(days=30), end)


def test_life() -> None:
    year = timedelta(days=365)
    assert life(None, year) == year
    assert life(86400, year) == timedelta(days=1)
    assert life(1, year) == timedelta(minutes=10)
    assert life(10**9, year) == year


@pytest.mark.parametrize(
    "private", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1()),
                ed25519.Ed25519PrivateKey.generate()]
)  # fmt: skip
def test_authorities_with_other_keys(private: ed25519.Ed25519PrivateKey, authority: Authority) -> None:
    pem = issue(Authority(authority.certificate, private), parsed(request("alice")), CLIENT, timedelta(1), clock.now())
    assert x509.load_pem_x509_certificate(pem).subject == subject("alice")


def test_an_authority_is_a_certificate_and_its_key(tmp_path: Path) -> None:
    one, other = ClusterAuthority(tmp_path / "one"), ClusterAuthority(tmp_path / "other")
    with pytest.raises(ValueError, match="is not the key of"):
        Authority.read(str(one.certificate_path), str(other.key_path))
