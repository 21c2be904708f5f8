"""Keys and certificates that a server makes for itself where none are given: kept in --data-dir, made once.

`apiserver.crt` is self-signed, for the names and addresses clients use; `sa.key` signs service account tokens.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import socket
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kybern.process.clock import clock
from kybern.process.daemon import OperatorError

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
        _write(key, _pem(rsa.generate_private_key(public_exponent=65537, key_size=2048)))
    return key


def _pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
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
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    covered = {str(ip) for ip in names.get_values_for_type(x509.IPAddress)}
    covered |= set(names.get_values_for_type(x509.DNSName))
    return found.not_valid_after_utc - RENEW_BEFORE > clock.now() and set(addresses) <= covered


def _self_signed(key: ec.EllipticCurvePrivateKey, addresses: Sequence[str]) -> x509.Certificate:
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
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
