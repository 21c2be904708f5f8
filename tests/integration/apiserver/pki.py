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
_BEGIN = datetime.datetime(2020, 1, 1)
_CERTIFICATE = (
    x509.CertificateBuilder()
    .subject_name(_NAME)
    .issuer_name(_NAME)
    .public_key(_KEY.public_key())
    .serial_number(1)
    .not_valid_before(_BEGIN)
    .not_valid_after(_BEGIN + datetime.timedelta(days=36500))
    .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    .sign(_KEY, None)
)

REQUEST = base64.b64encode(_SIGNED.public_bytes(Encoding.PEM)).decode()
"""A PKCS#10 request in PEM, in base64."""
STUB = base64.b64encode(_SIGNED.public_bytes(Encoding.DER)).decode()
"""The same in DER."""
AUTHORITY = _CERTIFICATE.public_bytes(Encoding.PEM).decode()
"""A CA's certificate in PEM."""
CHAIN = base64.b64encode(AUTHORITY.encode()).decode()
