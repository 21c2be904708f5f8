"""Client certificates: the common name is the user, the organizations are the groups.

The listener has verified the chain in the handshake; validity is looked at again as connections outlive certificates.
"""

from __future__ import annotations

import hashlib

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kybern.api.errors import Unauthorized
from kybern.apiserver.authn.base import CREDENTIAL_ID, authenticated
from kybern.apiserver.request import Request, UserInfo
from kybern.process.clock import clock

_MAX_CACHED = 4096


class ClientCertificate:
    """Authenticates by the certificate of the TLS handshake."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[float, float, UserInfo | None]] = {}

    async def authenticate(self, request: Request) -> UserInfo | None:
        der = request.peer_certificate
        if der is None:
            return None
        known = self._known.get(der)
        if known is None:
            if len(self._known) >= _MAX_CACHED:
                self._known.clear()
            known = self._known[der] = _read(der)
        start, end, user = known
        if user is not None and not start <= clock.time() <= end:
            raise Unauthorized
        return user


def _read(der: bytes) -> tuple[float, float, UserInfo | None]:
    """(not before, not after, user); no user without a common name or without leave for client authentication."""
    certificate = x509.load_der_x509_certificate(der)
    start, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        usable = ExtendedKeyUsageOID.CLIENT_AUTH in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages
    except x509.ExtensionNotFound:
        usable = True
    if not names or not usable:
        return start, end, None
    groups = [str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    extra = {CREDENTIAL_ID: (f"X509SHA256={hashlib.sha256(der).hexdigest()}",)}
    return start, end, authenticated(str(names[0].value), groups, extra=extra)
