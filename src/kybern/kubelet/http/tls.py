"""The certificate the kubelet listens with: a given one, one of the cluster's (certificates.py), else one it makes
(own_certificate.py)."""

from __future__ import annotations

import ssl
from pathlib import Path

from kybern.kubelet.config import Config
from kybern.process.daemon import OperatorError


def server_context(config: Config) -> ssl.SSLContext:
    """TLS 1.2 and later. With a client CA, certificates of clients are welcome and their chains checked in the
    handshake. Raises OperatorError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    pair = _pair(config)
    if pair:
        try:
            context.load_cert_chain(*pair)
        except (ssl.SSLError, OSError) as error:
            raise OperatorError(
                f"{pair[0]} and {pair[1]} are no certificate and its key: {error}; "
                "mend --tls-cert-file and --tls-private-key-file"
            ) from error
    if config.client_ca_file:
        try:
            context.load_verify_locations(config.client_ca_file)
        except (ssl.SSLError, OSError) as error:
            raise OperatorError(f"--client-ca-file {config.client_ca_file} has no certificates: {error}") from error
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def _pair(config: Config) -> tuple[Path, Path] | None:
    """Certificate and key; None while the cluster has given none: nobody can connect then."""
    if config.tls_cert_file or config.tls_key_file:
        return Path(config.tls_cert_file), Path(config.tls_key_file)
    # The library of certificates is a fifth of an idle kubelet: it is loaded only where it is needed.
    if config.rotate_server_certificates:
        from kybern.kubelet import certificates

        kept = certificates.server_store(config)
        found = kept.load(certificates.server_certificate(config))
        return (kept.current, kept.current) if found else None
    from kybern.kubelet.http import own_certificate

    return own_certificate.pair(config)
