"""The flags of `kybern apiserver` about how it speaks TLS, and the files they come to."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kybern.apiserver.tls import CIPHERS, CIPHERS_OF_13, VERSIONS, Files, Named
from kybern.process.daemon import OperatorError

Add = Callable[..., Any]


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _named(text: str) -> Named:
    """`cert,key` or `cert,key:name,name`."""
    files, _, names = text.partition(":")
    certificate, comma, key = files.partition(",")
    if not comma or not certificate or not key:
        raise argparse.ArgumentTypeError(f'"{text}" is not certificate,key or certificate,key:names')
    return Named(Path(certificate), Path(key), tuple(_list(names)))


def add_flags(add: Add) -> None:
    """All of them."""
    path = {"type": Path, "default": None, "metavar": "FILE"}
    add("--tls-cert-file", **path, help="certificate to serve with; self-made if absent")
    add("--tls-private-key-file", **path, help="its key")
    add("--tls-sni-cert-key", type=_named, action="append", default=[], metavar="CERT,KEY[:NAMES]",
        help="certificate and key for clients that ask for certain names; repeatable")  # fmt: skip
    add("--tls-min-version", choices=tuple(VERSIONS), default="VersionTLS12", help="oldest TLS that is spoken")
    add("--tls-cipher-suites", type=_list, default=[], metavar="NAMES", help="cipher suites of TLS 1.2 and older")


def check(args: argparse.Namespace) -> None:
    """Raises OperatorError for what can't be."""
    if bool(args.tls_cert_file) is not bool(args.tls_private_key_file):
        raise OperatorError("--tls-cert-file and --tls-private-key-file go together; give both or neither")
    for name in args.tls_cipher_suites:
        if name not in CIPHERS and name not in CIPHERS_OF_13:
            raise OperatorError(f"--tls-cipher-suites: Cipher suite {name} not supported or doesn't exist")


def files(args: argparse.Namespace, certificate: Path, key: Path) -> Files:
    """What to listen with; the certificate and its key may be self-made."""
    return Files(
        certificate,
        key,
        args.client_ca_file,
        args.requestheader_client_ca_file,
        tuple(args.tls_sni_cert_key),
        args.tls_min_version,
        tuple(args.tls_cipher_suites),
    )
