"""Whether a certificate and a key belong together; imported only where a Secret holds such a pair."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

_FORMS = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def problem(certificate: bytes, key: bytes) -> str:
    """What a TLS server would complain of, in upstream's words; "" where the two can be used."""
    for what, data in (("certificate", certificate), ("key", key)):
        if b"-----BEGIN" not in data:
            return f"tls: failed to find any PEM data in {what} input"
    try:
        ours = x509.load_pem_x509_certificate(certificate).public_key().public_bytes(*_FORMS)
    except (ValueError, UnsupportedAlgorithm):
        return "x509: malformed certificate"
    try:
        theirs = load_pem_private_key(key, None).public_key().public_bytes(*_FORMS)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "tls: failed to parse private key"
    return "" if ours == theirs else "tls: private key does not match public key"
