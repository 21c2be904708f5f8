"""The listener's TLS: 1.2 and later, HTTP/1.1 only, client certificates welcome where there is a CA to check them."""

from __future__ import annotations

import ssl
from pathlib import Path

from kybern.process.daemon import OperatorError


def server_context(
    certificate: Path, key: Path, client_ca: Path | None, proxy_ca: Path | None = None
) -> ssl.SSLContext:
    """The context to listen with. Raises OperatorError naming the flag whose file is wrong."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    _readable("--tls-cert-file", certificate)
    _readable("--tls-private-key-file", key)
    try:
        context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        raise OperatorError(
            f"--tls-cert-file {certificate} and --tls-private-key-file {key} are no certificate and its key: {error}"
        ) from error
    for flag, authority in (("--client-ca-file", client_ca), ("--requestheader-client-ca-file", proxy_ca)):
        if authority is None:
            continue
        _readable(flag, authority)
        try:
            context.load_verify_locations(authority)
        except (ssl.SSLError, OSError) as error:
            raise OperatorError(f"{flag} {authority} has no certificates in PEM form: {error}") from error
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _readable(flag: str, path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise OperatorError(f"{flag} {path}: {error.strerror}") from error
