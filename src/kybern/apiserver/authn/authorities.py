"""Who vouches for a client's certificate, where the listener trusts several authorities for different ends."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from kybern.process.daemon import OperatorError


class Authorities:
    """The certificates of one CA file."""

    def __init__(self, flag: str, path: Path) -> None:
        self._flag, self._path = flag, path
        self._known: frozenset[bytes] = frozenset()
        self.reload()

    def reload(self) -> None:
        """Read the file, which may be another now. Raises OperatorError."""
        try:
            trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            trusting.load_verify_locations(self._path)
        except OSError as error:
            raise OperatorError(f"{self._flag} {self._path} has no certificates in PEM form: {error}") from error
        self._known = frozenset(trusting.get_ca_certs(binary_form=True))

    def vouch_for(self, chain: Iterable[bytes]) -> bool:
        """Whether one of these is in a verified chain (DER, the client's own certificate first) above its first."""
        return any(certificate in self._known for certificate in tuple(chain)[1:])


def verified_chain(tls: Any) -> tuple[bytes, ...]:
    """The chain that a handshake verified, as DER, the peer's own certificate first. Empty without a certificate."""
    public = getattr(tls, "get_verified_chain", None)
    if public is not None:
        return tuple(public())
    # Before Python 3.13 only the object beneath knows.
    chain = tls._sslobj.get_verified_chain() or ()
    return tuple(certificate.public_bytes(_DER) for certificate in chain)


_DER: int = getattr(ssl, "_ssl").ENCODING_DER  # noqa: B009
