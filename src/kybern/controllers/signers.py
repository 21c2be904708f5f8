"""The signers of kubernetes.io: what each accepts, and the certificates they make.

Source: Kubernetes documentation, "Kubernetes signers".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from kybern.api.certificates import requests
from kybern.api.certificates.certificatesigningrequest import (
    APISERVER_CLIENT,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    LEGACY_UNKNOWN,
)

NODE_PREFIX, NODES = "system:node:", "system:nodes"
BACKDATED = timedelta(minutes=5)
"""Clocks differ a little: certificates are good from before they are made."""
SHORT = timedelta(hours=8)
"""A certificate of less than this has its backdating on top of its life."""
MIN_LIFE = timedelta(minutes=10)

Accepts = Callable[[x509.CertificateSigningRequest, Collection[str]], None]
"""Raises ValueError saying why a request, with its usages, is not for the signer."""


def accept_kubelet_client(request: x509.CertificateSigningRequest, usages: Collection[str]) -> None:
    """A node that wants to speak to the API server."""
    _check_organization(request)
    for kind, said in (
        (x509.DNSName, "DNS"), (x509.RFC822Name, "Email"), (x509.IPAddress, "IP"),
        (x509.UniformResourceIdentifier, "URI"),
    ):  # fmt: skip
        _refuse(request, kind, said)
    _check_node_name(request)
    _check_usages(usages, "client auth")


def accept_kubelet_serving(request: x509.CertificateSigningRequest, usages: Collection[str]) -> None:
    """A node that wants to be spoken to."""
    _check_organization(request)
    if not any(isinstance(name, x509.DNSName | x509.IPAddress) for name in requests.alternative_names(request)):
        raise ValueError("DNS or IP subjectAltName is required")
    _refuse(request, x509.RFC822Name, "Email")
    _refuse(request, x509.UniformResourceIdentifier, "URI")
    _check_usages(usages, "server auth")
    _check_node_name(request)


def accept_apiserver_client(request: x509.CertificateSigningRequest, usages: Collection[str]) -> None:
    """Anybody who wants to speak to the API server; who that is, the approver has looked at."""
    for usage in usages:
        if usage not in ("digital signature", "key encipherment", "client auth"):
            raise ValueError(f"invalid usage for client certificate: {usage}")
    if "client auth" not in usages:
        raise ValueError("missing required usage for client certificate: client auth")


def accept_anything(request: x509.CertificateSigningRequest, usages: Collection[str]) -> None:
    """No rules."""


SIGNERS: dict[str, Accepts] = {
    KUBELET_SERVING: accept_kubelet_serving,
    KUBELET_CLIENT: accept_kubelet_client,
    APISERVER_CLIENT: accept_apiserver_client,
    LEGACY_UNKNOWN: accept_anything,
}


def _check_organization(request: x509.CertificateSigningRequest) -> None:
    if requests.organizations(request.subject) != [NODES]:
        raise ValueError(f"subject organization is not {NODES}")


def _check_node_name(request: x509.CertificateSigningRequest) -> None:
    if not requests.common_name(request.subject).startswith(NODE_PREFIX):
        raise ValueError(f"subject common name does not begin with {NODE_PREFIX}")


def _refuse(request: x509.CertificateSigningRequest, kind: type[x509.GeneralName], said: str) -> None:
    if any(isinstance(name, kind) for name in requests.alternative_names(request)):
        raise ValueError(f"{said} subjectAltNames are not allowed")


def _check_usages(usages: Collection[str], purpose: str) -> None:
    """RSA keys may also encipher keys."""
    least = {"digital signature", purpose}
    most = least | {"key encipherment"}
    if set(usages) not in (least, most):
        raise ValueError(f"usages did not match [{' '.join(sorted(most))}]")


@dataclass(frozen=True, slots=True)
class Authority:
    """Who signs."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

    @classmethod
    def read(cls, certificate: str, key: str) -> Authority:
        """From PEM files. Raises OSError, ValueError."""
        found = x509.load_pem_x509_certificate(Path(certificate).read_bytes())
        private = serialization.load_pem_private_key(Path(key).read_bytes(), None)
        if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
            raise ValueError(f"{key} is neither an RSA, an ECDSA nor an Ed25519 key")
        if private.public_key() != found.public_key():
            raise ValueError(f"{key} is not the key of {certificate}")
        return cls(found, private)


def life(asked: int | None, longest: timedelta) -> timedelta:
    """How long the certificate is good for: what was asked for in seconds, within limits."""
    if asked is None:
        return longest
    return min(longest, max(MIN_LIFE, timedelta(seconds=asked)))


def issue(
    authority: Authority,
    request: x509.CertificateSigningRequest,
    usages: Sequence[str],
    lasting: timedelta,
    now: datetime,
) -> bytes:
    """The certificate, in PEM: subject, names and key of the request, the usages asked for, never a CA. It ends with
    its authority at the latest. Raises ValueError (the authority has expired)."""
    begin = now - BACKDATED
    end = (now if lasting < SHORT else begin) + lasting
    last = authority.certificate.not_valid_after_utc
    if now >= last:
        raise ValueError(f"refusing to sign a certificate that expired in the past: NotAfter={last:%Y-%m-%dT%H:%M:%SZ}")
    builder = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(authority.certificate.subject)
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(min(end, last))
    )
    for extension, critical in _extensions(authority, request, usages):
        builder = builder.add_extension(extension, critical)
    # Ed25519 has its hash built in.
    algorithm = None if isinstance(authority.key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(authority.key, algorithm).public_bytes(serialization.Encoding.PEM)


def _extensions(
    authority: Authority, request: x509.CertificateSigningRequest, usages: Sequence[str]
) -> list[tuple[x509.ExtensionType, bool]]:
    found: list[tuple[x509.ExtensionType, bool]] = []
    if (usage := _key_usage(usages)) is not None:
        found.append((usage, True))
    if purposes := [oid for name, oid in _PURPOSES.items() if name in usages]:
        found.append((x509.ExtendedKeyUsage(list(dict.fromkeys(purposes))), False))
    found.append((x509.BasicConstraints(ca=False, path_length=None), True))
    try:
        identifier = authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        found.append((x509.AuthorityKeyIdentifier(identifier.digest, None, None), False))
    except x509.ExtensionNotFound:
        pass
    if names := requests.alternative_names(request):
        found.append((x509.SubjectAlternativeName(names), not list(request.subject)))
    return found


def _key_usage(usages: Sequence[str]) -> x509.KeyUsage | None:
    agreement = "key agreement" in usages
    bits = {
        "digital_signature": "signing" in usages or "digital signature" in usages,
        "content_commitment": "content commitment" in usages,
        "key_encipherment": "key encipherment" in usages,
        "data_encipherment": "data encipherment" in usages,
        "key_agreement": agreement,
        "key_cert_sign": "cert sign" in usages,
        "crl_sign": "crl sign" in usages,
        # Without key agreement these two mean nothing (RFC 5280, 4.2.1.3).
        "encipher_only": agreement and "encipher only" in usages,
        "decipher_only": agreement and "decipher only" in usages,
    }
    return x509.KeyUsage(**bits) if any(bits.values()) else None


_PURPOSES = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
}
"""Usage -> extended key usage, in the order certificates list them."""
