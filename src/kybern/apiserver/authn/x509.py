"""Client certificates: the common name is the user, the organizations are the groups.

The listener has verified the chain in the handshake; validity is looked at again as connections outlive certificates.
Source: Kubernetes documentation, "X.509 client certificates".
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from kybern.api.errors import Unauthorized
from kybern.apiserver import auth_metrics
from kybern.apiserver.authn.authorities import Authorities
from kybern.apiserver.authn.base import CREDENTIAL_ID, authenticated
from kybern.apiserver.request import Request, UserInfo
from kybern.process.clock import clock

_MAX_CACHED = 4096
_UID = "1.3.6.1.4.1.57683.2"
"""The attribute of the subject that is the user's uid."""


@dataclass(slots=True, frozen=True)
class Certificate:
    """What a certificate says. `for_clients`: it may be used to authenticate clients. `user` is None without a common
    name, or where the subject names several uids."""

    start: float
    end: float
    for_clients: bool
    common_name: str
    user: UserInfo | None
    ambiguous: bool = False

    def usable(self) -> bool:
        """Whether it is good for a client now."""
        return self.for_clients and self.start <= clock.time() <= self.end


class Certificates:
    """Certificates by their DER, each read once."""

    def __init__(self) -> None:
        self._known: dict[bytes, Certificate] = {}

    def read(self, der: bytes) -> Certificate:
        known = self._known.get(der)
        if known is None:
            if len(self._known) >= _MAX_CACHED:
                self._known.clear()
            known = self._known[der] = _read(der)
        return known


class ClientCertificate:
    """Authenticates by the certificate of the TLS handshake. `authorities` must vouch for it, where the listener
    trusts others too."""

    def __init__(self, authorities: Authorities | None = None) -> None:
        self._authorities = authorities
        self._certificates = Certificates()

    async def authenticate(self, request: Request) -> UserInfo | None:
        der = request.peer_certificate
        if der is None:
            return None
        certificate = self._certificates.read(der)
        if certificate.ambiguous or not certificate.usable():
            raise Unauthorized
        if self._authorities is not None and not self._authorities.vouch_for(request.peer_chain):
            raise Unauthorized
        auth_metrics.client_certificate_life.observe(certificate.end - clock.time())
        return certificate.user


def _read(der: bytes) -> Certificate:
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    certificate = x509.load_der_x509_certificate(der)
    start, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    names = [str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        usable = ExtendedKeyUsageOID.CLIENT_AUTH in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages
    except x509.ExtensionNotFound:
        usable = True
    uids = [str(a.value) for a in certificate.subject.get_attributes_for_oid(x509.ObjectIdentifier(_UID))]
    if not names or not names[-1]:
        return Certificate(start, end, usable, "", None)
    groups = [str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    extra = {CREDENTIAL_ID: (f"X509SHA256={hashlib.sha256(der).hexdigest()}",)}
    # Of several names Go's parser keeps the last.
    user = authenticated(names[-1], groups, "".join(uids[:1]), extra)
    return Certificate(start, end, usable, names[-1], user, ambiguous=len(uids) > 1 or "" in uids)
