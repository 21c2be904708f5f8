"""The listener's TLS: 1.2 and later, HTTP/1.1 only, client certificates welcome where there is a CA to check them.

The files are followed: new connections get what is in them now, those that are open stay as they are.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kybern.apiserver.config_files import Follower
from kybern.process.daemon import OperatorError

log = logging.getLogger(__name__)


VERSIONS = {
    "VersionTLS10": ssl.TLSVersion.TLSv1,
    "VersionTLS11": ssl.TLSVersion.TLSv1_1,
    "VersionTLS12": ssl.TLSVersion.TLSv1_2,
    "VersionTLS13": ssl.TLSVersion.TLSv1_3,
}
_BASES = {"RSA_WITH": "", "ECDHE_RSA_WITH": "ECDHE-RSA-", "ECDHE_ECDSA_WITH": "ECDHE-ECDSA-"}
_ENDS = {
    "AES_128_CBC_SHA": "AES128-SHA", "AES_256_CBC_SHA": "AES256-SHA", "AES_128_CBC_SHA256": "AES128-SHA256",
    "AES_128_GCM_SHA256": "AES128-GCM-SHA256", "AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "CHACHA20_POLY1305": "CHACHA20-POLY1305", "CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
}  # fmt: skip
CIPHERS = {f"TLS_{base}_{end}": start + rest for base, start in _BASES.items() for end, rest in _ENDS.items()}
"""Suites of TLS 1.2 by their names in the registry -> in OpenSSL."""
CIPHERS_OF_13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""Those of TLS 1.3, which are always offered."""


@dataclass(slots=True, frozen=True)
class Named:
    """--tls-sni-cert-key: a certificate for clients that ask for one of these names, its own if none are given. A name
    may begin with `*.`."""

    certificate: Path
    key: Path
    names: tuple[str, ...] = ()


@dataclass(slots=True, frozen=True)
class Files:
    """What the listener serves with, and the authorities of its clients and of front proxies."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    proxy_ca: Path | None = None
    named: tuple[Named, ...] = ()
    least: str = "VersionTLS12"
    """--tls-min-version."""
    ciphers: tuple[str, ...] = ()
    """--tls-cipher-suites; empty for what is usual."""

    def contexts(self) -> tuple[ssl.SSLContext, dict[str, ssl.SSLContext]]:
        """The context that they make, and those for certain names. Raises OperatorError naming the flag whose file is
        wrong."""
        by_name: dict[str, ssl.SSLContext] = {}
        for one in self.named:
            context = self._context(one.certificate, one.key)
            for name in one.names or _names_in(one.certificate):
                by_name.setdefault(name.lower(), context)
        return self._context(self.certificate, self.key), by_name

    def _context(self, certificate: Path, key: Path) -> ssl.SSLContext:
        context = server_context(certificate, key, self.client_ca, self.proxy_ca)
        context.minimum_version = VERSIONS[self.least]
        chosen = [CIPHERS[name] for name in self.ciphers if name in CIPHERS]
        if chosen:
            try:
                context.set_ciphers(":".join(chosen))
            except ssl.SSLError as error:
                raise OperatorError(f"--tls-cipher-suites {','.join(self.ciphers)}: {error}") from error
        return context


def _names_in(certificate: Path) -> list[str]:
    """The DNS names that a certificate is for, else its common name."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    try:
        extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return [str(one.value) for one in found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return extension.value.get_values_for_type(x509.DNSName)


class ListenerTLS:
    """`context` is to listen with; its handshakes go by the files as they are. Raises OperatorError."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self.context, self._by_name = files.contexts()
        self._current = self.context
        self.context.sni_callback = self._choose
        self._told: list[Callable[[], None]] = []
        paths = [files.certificate, files.key, files.client_ca, files.proxy_ca]
        paths += [path for one in files.named for path in (one.certificate, one.key)]
        self._follower = Follower(self._reload, *(path for path in paths if path is not None))

    def on_change(self, tell: Callable[[], None]) -> None:
        """Call `tell` after the files have changed. It may raise OperatorError."""
        self._told.append(tell)

    def start(self) -> None:
        """Follow the files."""
        self._follower.start()

    async def stop(self) -> None:
        """Follow them no longer."""
        await self._follower.stop()

    def _choose(self, connection: Any, name: str | None, context: ssl.SSLContext) -> None:
        chosen = self._named(name.lower()) if name and self._by_name else None
        if chosen is not None or self._current is not self.context:
            connection.context = chosen or self._current

    def _named(self, name: str) -> ssl.SSLContext | None:
        """For a name, else for the names below one of its ends."""
        return self._by_name.get(name) or self._by_name.get(f"*.{name.partition('.')[2]}")

    async def _reload(self) -> None:
        try:
            current, by_name = self._files.contexts()
            for tell in self._told:
                tell()
        except OperatorError as error:
            log.error("the listener's certificates stay as they were: %s", error)
            return
        self._current, self._by_name = current, by_name
        log.info("the listener's certificates changed")


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
