"""The certificate of a kubelet that is given none: made by itself and kept in its certificate directory."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kybern.kubelet import certificates
from kybern.kubelet.config import Config
from kybern.process.clock import clock
from kybern.process.daemon import OperatorError

_LIFETIME = timedelta(days=365)
_BACKDATED = timedelta(hours=1)
"""Clocks of clients may be late."""


def pair(config: Config) -> tuple[Path, Path]:
    """kubelet.crt and kubelet.key, made at first use and anew once expired. Raises OperatorError."""
    certificate, key = config.cert_dir / "kubelet.crt", config.cert_dir / "kubelet.key"
    try:
        if not (key.exists() and _is_valid(certificate)):
            config.cert_dir.mkdir(parents=True, exist_ok=True)
            _make(config, certificate, key)
    except OSError as error:
        raise OperatorError(f"can't write a certificate to --cert-dir {config.cert_dir}: {error.strerror}") from error
    return certificate, key


def _is_valid(path: Path) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    return certificate.not_valid_after_utc > clock.now()


def _make(config: Config, certificate_path: Path, key_path: Path) -> None:
    key, now = ec.generate_private_key(ec.SECP256R1()), clock.now()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{config.hostname[:40]}@{int(now.timestamp())}")])
    names: list[x509.GeneralName] = [x509.DNSName(config.hostname)]
    names += [x509.IPAddress(ipaddress.ip_address(ip)) for ip in dict.fromkeys(("127.0.0.1", *config.node_ips))]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    certificates.write_private(key_path, key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain))
    certificates.write_private(certificate_path, made.public_bytes(encoding))
