"""Keys and certificates that a server makes for itself where none are given: kept in --data-dir, made once.

`apiserver.crt` is self-signed, for the names and addresses clients use; `sa.key` signs service account tokens (ES256).
The library of certificates is loaded only to make one: it is a tenth of a start.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kybern.process.clock import clock
from kybern.process.daemon import OperatorError

if TYPE_CHECKING:
    from cryptography import x509

LIFETIME = datetime.timedelta(days=365)
RENEW_BEFORE = datetime.timedelta(days=30)
_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
          "kubernetes.default.svc.cluster.local")  # fmt: skip


def serving_certificate(directory: Path, addresses: Sequence[str]) -> tuple[Path, Path]:
    """(certificate, key) to serve with, made unless there are ones that still hold. Raises OperatorError."""
    certificate, key = directory / "apiserver.crt", directory / "apiserver.key"
    if not (certificate.exists() and key.exists() and _holds(certificate, addresses)):
        private = ec.generate_private_key(ec.SECP256R1())
        _write(key, _pem(private))
        _write(certificate, _self_signed(private, addresses).public_bytes(serialization.Encoding.PEM))
    return certificate, key


def signing_key(directory: Path) -> Path:
    """The key that signs service account tokens, made unless it is there. Raises OperatorError."""
    key = directory / "sa.key"
    if not key.exists():
        _write(key, _pem(ec.generate_private_key(ec.SECP256R1())))
    return key


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f"{path.suffix}.new")
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(content)
        temporary.replace(path)
    except OSError as error:
        raise OperatorError(f"can't write {path}: {error.strerror}; choose another --data-dir") from error


def _holds(path: Path, addresses: Sequence[str]) -> bool:
    """Whether the certificate lasts and is for all the addresses."""
    reader = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        reader.load_verify_locations(path)
        (found,) = reader.get_ca_certs()
        end = ssl.cert_time_to_seconds(str(found["notAfter"]))
    except (OSError, ValueError, KeyError):
        return False
    names: Any = found.get("subjectAltName", ())
    covered = {_normal(name) for _, name in names}
    return end - RENEW_BEFORE.total_seconds() > clock.time() and {_normal(one) for one in addresses} <= covered


def _normal(name: str) -> str:
    """OpenSSL shows addresses of IPv6 in full and in capitals."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name


def _self_signed(key: ec.EllipticCurvePrivateKey, addresses: Sequence[str]) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    host = socket.gethostname()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{host}@{int(clock.time())}"[:64])])
    sans = [_name(text) for text in dict.fromkeys((*addresses, "127.0.0.1", "::1", host, *_NAMES))]
    now = clock.now()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectAlternativeName(sans), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )


def _name(text: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
