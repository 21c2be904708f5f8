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


@dataclass(slots=True, frozen=True)
class Files:
    """What the listener serves with, and the authorities of its clients and of front proxies."""

    certificate: Path
    key: Path
    client_ca: Path | None = None
    proxy_ca: Path | None = None

    def context(self) -> ssl.SSLContext:
        """The context that they make. Raises OperatorError naming the flag whose file is wrong."""
        return server_context(self.certificate, self.key, self.client_ca, self.proxy_ca)


class ListenerTLS:
    """`context` is to listen with; its handshakes go by the files as they are. Raises OperatorError."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self.context = files.context()
        self._current = self.context
        self.context.sni_callback = self._choose
        self._told: list[Callable[[], None]] = []
        paths = (files.certificate, files.key, files.client_ca, files.proxy_ca)
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
        if self._current is not self.context:
            connection.context = self._current

    async def _reload(self) -> None:
        try:
            current = self._files.context()
            for tell in self._told:
                tell()
        except OperatorError as error:
            log.error("the listener's certificates stay as they were: %s", error)
            return
        self._current = current
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
