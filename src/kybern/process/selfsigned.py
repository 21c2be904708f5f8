"""A certificate that a listener makes for itself where it is given none: in memory, as upstream's managers do.

Loaded only where it is needed: the library of certificates is large.
"""

from __future__ import annotations

import socket
import ssl
import tempfile
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kybern.process.clock import clock

_LIFETIME = timedelta(days=365)
_BACKDATED = timedelta(hours=1)
"""Clocks of clients may be late."""


def load_into(context: ssl.SSLContext) -> None:
    """Serve with a new certificate, for this host's name, and its key."""
    key, now, host = ec.generate_private_key(ec.SECP256R1()), clock.now(), socket.gethostname()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{host[:40]}@{int(now.timestamp())}")])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host), x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    # OpenSSL takes files only; the directory is nobody else's, and gone at once.
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "pair.pem")
        private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain)
        path.write_bytes(made.public_bytes(encoding) + private)
        context.load_cert_chain(path)
