"""Certificates and requests for them, as the fields of objects hold them."""

from __future__ import annotations

import base64
import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

_KEY = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "filled")])
_SIGNED = x509.CertificateSigningRequestBuilder().subject_name(_NAME).sign(_KEY, None)


def _certificate(begin: datetime.datetime, days: int) -> str:
    """A certificate of a CA in PEM."""
    made = (
        x509.CertificateBuilder()
        .subject_name(_NAME)
        .issuer_name(_NAME)
        .public_key(_KEY.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(_KEY, None)
    )
    return made.public_bytes(Encoding.PEM).decode()


REQUEST = base64.b64encode(_SIGNED.public_bytes(Encoding.PEM)).decode()
"""A PKCS#10 request in PEM, in base64."""
STUB = base64.b64encode(_SIGNED.public_bytes(Encoding.DER)).decode()
"""The same in DER."""
AUTHORITY = _certificate(datetime.datetime(2020, 1, 1), 36500)
"""A CA's certificate in PEM."""
CHAIN = base64.b64encode(AUTHORITY.encode()).decode()


def issued() -> dict[str, str]:
    """What is said of a certificate for the key of the requests that begins now and is good for two days."""
    begin = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    written = [(begin + datetime.timedelta(days=days)).strftime("%Y-%m-%dT%H:%M:%SZ") for days in range(3)]
    times = dict(zip(("notBefore", "beginRefreshAt", "notAfter"), written, strict=True))
    return {"certificateChain": _certificate(begin.replace(tzinfo=None), 2), **times}
