"""Keys, certificate requests and certificates for tests."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Sequence
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kybern.api.types import Object
from kybern.process.clock import clock


def key() -> ec.EllipticCurvePrivateKey:
    """A fresh P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(of: ec.EllipticCurvePrivateKey) -> bytes:
    """PKCS#8, not encrypted."""
    plain = serialization.NoEncryption()
    return of.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


def subject(common_name: str, organizations: Sequence[str] = ()) -> x509.Name:
    """O= ..., CN=."""
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in organizations]
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def request(
    common_name: str,
    organizations: Sequence[str] = (),
    names: Sequence[x509.GeneralName] = (),
    private: ec.EllipticCurvePrivateKey | None = None,
) -> bytes:
    """A PKCS#10 request in PEM."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject(common_name, organizations))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(private or key(), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def ip(address: str) -> x509.IPAddress:
    """A name that is an address."""
    return x509.IPAddress(ipaddress.ip_address(address))


def certificate(
    common_name: str,
    private: ec.EllipticCurvePrivateKey,
    organizations: Sequence[str] = (),
    *,
    age: timedelta = timedelta(0),
    life: timedelta = timedelta(days=1),
) -> bytes:
    """A self-signed certificate in PEM that began `age` ago and is good for `life` in all."""
    name, begin = subject(common_name, organizations), clock.now() - age
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + life)
        .sign(private, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def signing_request(name: str, pem: bytes, signer: str, usages: Sequence[str], **spec: object) -> Object:
    """A CertificateSigningRequest."""
    return {
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": {"name": name},
        "spec": {
            "request": base64.b64encode(pem).decode(),
            "signerName": signer,
            "usages": list(usages),
            **spec,
        },
    }
