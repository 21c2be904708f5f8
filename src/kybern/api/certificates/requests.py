"""PEM, PKCS#10 requests and certificates as the fields of CertificateSigningRequests hold them: base64 over PEM.

The library of certificates is imported where it is used: components that only know the kinds do without its 8 MiB.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cryptography import x509

_BLOCK = re.compile(
    rb"(?:\A|\n)-----BEGIN ([^\r\n]*?)-----[ \t]*\r?\n(.*?)-----END \1-----[ \t]*(?=\r?\n|\Z)", re.DOTALL
)


class Block(NamedTuple):
    """One PEM block: its label, whether it has headers, and what it encodes."""

    label: str
    headers: bool
    data: bytes


def blocks(pem: bytes) -> Iterator[Block]:
    """The PEM blocks in a text; what stands around them, and what is no base64, is passed over."""
    for label, body in _BLOCK.findall(pem):
        lines = body.splitlines()
        headers = any(b":" in line for line in lines)
        text = b"".join(line.strip() for line in lines if b":" not in line)
        try:
            yield Block(label.decode(errors="replace"), headers, base64.b64decode(text, validate=True))
        except binascii.Error:
            continue


def decoded(field: str | None) -> bytes:
    """The bytes of a base64 field; empty for what is none."""
    try:
        return base64.b64decode(field or "", validate=True)
    except (binascii.Error, ValueError):
        return b""


def encoded(pem: bytes) -> str:
    """Bytes as a field holds them."""
    return base64.b64encode(pem).decode()


def parse(field: str | None) -> x509.CertificateSigningRequest:
    """The request in `spec.request`. Raises ValueError, in upstream's words where it has any."""
    from cryptography import x509

    first = next(blocks(decoded(field)), None)
    if first is None or first.label != "CERTIFICATE REQUEST":
        raise ValueError("PEM block type must be CERTIFICATE REQUEST")
    try:
        return x509.load_der_x509_csr(first.data)
    except ValueError as error:
        raise ValueError(f"x509: malformed certificate request: {error}") from error


def verified(field: str | None) -> x509.CertificateSigningRequest:
    """`parse`, and its signature is that of its own key. Raises ValueError."""
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    found = parse(field)
    if not found.is_signature_valid:
        key = found.public_key()
        if isinstance(key, rsa.RSAPublicKey):
            raise ValueError("crypto/rsa: verification error")
        kind = "ECDSA" if isinstance(key, ec.EllipticCurvePublicKey) else "Ed25519"
        raise ValueError(f"x509: {kind} verification failure")
    return found


def check_certificates(pem: bytes) -> None:
    """Raises ValueError unless `pem` holds certificates, at least one, and nothing else."""
    from cryptography import x509

    count = 0
    for block in blocks(pem):
        if block.label != "CERTIFICATE":
            raise ValueError(f'only CERTIFICATE PEM blocks are allowed, found "{block.label}"')
        if block.headers:
            raise ValueError("no PEM block headers are permitted")
        try:
            x509.load_der_x509_certificate(block.data)
        except ValueError as error:
            raise ValueError(f"x509: malformed certificate: {error}") from error
        count += 1
    if not count:
        raise ValueError("must contain at least one CERTIFICATE PEM block")


def common_name(name: x509.Name) -> str:
    """The subject's CN; the last one counts."""
    from cryptography.x509.oid import NameOID

    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[-1].value) if found else ""


def organizations(name: x509.Name) -> list[str]:
    """The subject's O values."""
    from cryptography.x509.oid import NameOID

    return [str(one.value) for one in name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]


def alternative_names(request: x509.CertificateSigningRequest) -> list[x509.GeneralName]:
    """The DNS, email, IP and URI names that are asked for, in the order certificates list them."""
    from cryptography import x509

    try:
        names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    kinds = (x509.DNSName, x509.RFC822Name, x509.IPAddress, x509.UniformResourceIdentifier)
    return [name for kind in kinds for name in names if isinstance(name, kind)]
