"""--cluster-signing-*: the CA of the signers of kubernetes.io, one for all of them or one for each."""

from __future__ import annotations

import argparse
import ssl

from kybern.api.certificates.certificatesigningrequest import (
    APISERVER_CLIENT,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    LEGACY_UNKNOWN,
)
from kybern.controllers.options import Options
from kybern.process.daemon import OperatorError
from kybern.process.flags import duration

_WORDS = {
    "kubelet-serving": KUBELET_SERVING,
    "kubelet-client": KUBELET_CLIENT,
    "kube-apiserver-client": APISERVER_CLIENT,
    "legacy-unknown": LEGACY_UNKNOWN,
}
"""--cluster-signing-<word>-{cert,key}-file -> signer."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--cluster-signing-cert-file", metavar="FILE", help="CA that signs approved certificate signing requests")
    add("--cluster-signing-key-file", metavar="FILE", help="its key")
    for word, signer in _WORDS.items():
        add(f"--cluster-signing-{word}-cert-file", metavar="FILE", help=f"CA of {signer} alone")
        add(f"--cluster-signing-{word}-key-file", metavar="FILE", help="its key")
    default = Options().cluster_signing_duration
    add("--cluster-signing-duration", type=duration, default=default, help="longest life of a certificate (1 year)")


def signers(args: argparse.Namespace) -> dict[str, tuple[str, str]]:
    """Signer -> files of certificate and key. Raises OperatorError for files that don't go together."""
    common = _pair(args, "")
    own = {signer: pair for word, signer in _WORDS.items() if (pair := _pair(args, f"{word}-"))}
    if common and own:
        raise OperatorError(
            "--cluster-signing-{cert,key}-file and the flags of single signers exclude each other; give the one or "
            "the others"
        )
    return dict.fromkeys(_WORDS.values(), common) if common else own


def _pair(args: argparse.Namespace, word: str) -> tuple[str, str] | None:
    flags = [f"--cluster-signing-{word}{part}-file" for part in ("cert", "key")]
    certificate, key = (getattr(args, flag[2:].replace("-", "_")) or "" for flag in flags)
    if not certificate and not key:
        return None
    if not certificate or not key:
        raise OperatorError(f"{flags[0]} and {flags[1]} go together; give both or neither")
    try:
        _check(certificate, key)
    except (OSError, ValueError) as error:
        raise OperatorError(f"{flags[0]} {certificate}, {flags[1]} {key}: {error}") from error
    return certificate, key


def _check(certificate: str, key: str) -> None:
    """Raises OSError or ValueError for what can't sign. The library that says why is large: it is loaded only then."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: b"")
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        from kybern.controllers.signers import Authority

        Authority.read(certificate, key)
