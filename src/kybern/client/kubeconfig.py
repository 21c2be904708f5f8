"""Where the server is and who we are: kubeconfig files and the service account mounted into a pod.

Source: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/ (certificates and tokens; no auth plugins).
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import os
import re
import ssl
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kybern.client.rest import Client
from kybern.client.transport import HTTPTransport
from kybern.process.clock import clock, monotonic
from kybern.process.daemon import OperatorError

SERVICE_ACCOUNT_DIR = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_TOKEN_LIFE = 60.0
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----")
_TIME = rb"(?:\x17\x0d\d{12}Z|\x18\x0f\d{14}Z)"
_VALIDITY = re.compile(rb"\x30[\x1e\x20\x22]" + _TIME + rb"(" + _TIME + rb")")
"""In a certificate's DER: a SEQUENCE of two times, for which DER has no other forms."""


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """A server and an identity. `*_data` are PEM bytes. `token_file` is read anew every minute."""

    server: str
    ca_data: bytes = b""
    cert_data: bytes = b""
    key_data: bytes = b""
    token: str = ""
    token_file: str = ""
    namespace: str = "default"
    insecure: bool = False
    server_name: str = ""


def load(path: str | Path | None = None, *, context: str = "") -> ClientConfig:
    """Read a kubeconfig: `path`, else $KUBECONFIG's first file, else ~/.kube/config. Raises OperatorError."""
    import yaml

    first = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    file = Path(path or first or Path.home() / ".kube" / "config")
    try:
        document = yaml.load(file.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError:
        raise OperatorError(f"there is no kubeconfig at {file}; name one with --kubeconfig") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OperatorError(f"can't read the kubeconfig {file}: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise OperatorError(f"{file} is not a kubeconfig")
    return _resolve(document, file, context)


def in_cluster() -> ClientConfig:
    """The configuration of a pod: its service account's token. Raises OperatorError outside of one."""
    host, port = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "")
    token = SERVICE_ACCOUNT_DIR / "token"
    if not host or not port or not token.exists():
        raise OperatorError("not inside a pod, and no kubeconfig given; name one with --kubeconfig")
    namespace = SERVICE_ACCOUNT_DIR / "namespace"
    return ClientConfig(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        ca_data=(SERVICE_ACCOUNT_DIR / "ca.crt").read_bytes(),
        token_file=str(token),
        namespace=namespace.read_text().strip() if namespace.exists() else "default",
    )


def connect(config: ClientConfig, user_agent: str = "kybern", *, quiet: bool = False) -> Client:
    """A client over HTTP(S). It logs outages unless `quiet`: a command says itself what failed. Raises OperatorError
    for certificates that can't be used."""
    expires = expiry(config.cert_data)
    if expires is not None and expires < clock.now():
        said = f"the client certificate for {config.server} expired on {expires:%Y-%m-%d}"
        raise OperatorError(f"{said}; have a new one issued")
    tls = tls_context(config) if config.server.startswith("https") else None
    transport = HTTPTransport(
        config.server, tls=tls, bearer=bearer(config), identified=bool(config.cert_data), quiet=quiet
    )
    return Client(transport, user_agent=user_agent)


def expiry(pem: bytes) -> datetime | None:
    """When the first certificate in `pem` ends; None without one. A whole library of certificates only for this would
    be the largest part of some components."""
    found = _CERTIFICATE.search(pem)
    try:
        times = _VALIDITY.search(base64.b64decode(found[1])) if found else None
    except binascii.Error:
        return None
    if not times:
        return None
    # RFC 5280, 4.1.2.5: UTCTime has two digits of the year, 1950 to 2049.
    text = times[1][2:-1].decode()
    century = "" if len(text) == 14 else "19" if text >= "5" else "20"
    return datetime.strptime(f"{century}{text}", "%Y%m%d%H%M%S").replace(tzinfo=UTC)


def _resolve(document: dict[str, Any], file: Path, context: str) -> ClientConfig:
    chosen = context or document.get("current-context") or ""
    if not chosen:
        raise OperatorError(f"{file} has no current-context")
    entry = _named(document, "contexts", "context", chosen, file)
    cluster = _named(document, "clusters", "cluster", entry.get("cluster", ""), file)
    user = _named(document, "users", "user", entry["user"], file) if entry.get("user") else {}
    _check_user(user, file)
    return ClientConfig(
        server=_server(cluster, file),
        ca_data=_data(cluster, "certificate-authority", file),
        cert_data=_data(user, "client-certificate", file),
        key_data=_data(user, "client-key", file),
        token=user.get("token", ""),
        token_file=str(file.parent / user["tokenFile"]) if user.get("tokenFile") else "",
        namespace=entry.get("namespace") or "default",
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        server_name=cluster.get("tls-server-name", ""),
    )


def _named(document: dict[str, Any], section: str, field: str, name: str, file: Path) -> dict[str, Any]:
    entries = document.get(section) or []
    if not isinstance(entries, list):
        raise OperatorError(f"{file}: {section} is not a list")
    for entry in entries:
        if isinstance(entry, dict) and entry.get("name") == name:
            found = entry.get(field) or {}
            if not isinstance(found, dict):
                raise OperatorError(f'{file}: {field} "{name}" has no fields')
            return found
    raise OperatorError(f'{file} has no {field} "{name}"; see its {section}')


def _server(cluster: dict[str, Any], file: Path) -> str:
    server = str(cluster.get("server") or "")
    try:
        address = urlsplit(server)
        good = address.scheme in ("http", "https") and address.hostname and (address.port is None or address.port)
    except ValueError:
        good = False
    if not good:
        raise OperatorError(f'{file}: the cluster\'s server is "{server}"; write it like https://192.0.2.1:6443')
    return server


def _check_user(user: dict[str, Any], file: Path) -> None:
    for field in ("exec", "auth-provider"):
        if field in user:
            raise OperatorError(f"{file}: {field} can't be used here; give the user a certificate or a token")
    if _has(user, "client-certificate") and not _has(user, "client-key"):
        raise OperatorError(f"{file}: the user has a client-certificate but no client-key; add that")
    token_file = user.get("tokenFile")
    if token_file and not os.access(file.parent / str(token_file), os.R_OK):
        raise OperatorError(f"{file}: can't read the user's tokenFile {token_file}; make it, or name another")


def _has(entry: dict[str, Any], field: str) -> bool:
    return bool(entry.get(field) or entry.get(f"{field}-data"))


def _data(entry: dict[str, Any], field: str, file: Path) -> bytes:
    """PEM bytes given inline (base64) or by a path relative to the kubeconfig."""
    try:
        if inline := entry.get(f"{field}-data"):
            return base64.b64decode(inline, validate=True)
        if path := entry.get(field):
            return Path(file.parent / path).read_bytes()
    except (OSError, binascii.Error, ValueError, TypeError) as error:
        raise OperatorError(f"{file}: can't read {field}: {error}") from error
    return b""


def tls_context(config: ClientConfig) -> ssl.SSLContext:
    """TLS as the configuration has it. Raises OperatorError."""
    try:
        context = ssl.create_default_context(cadata=config.ca_data.decode("ascii") if config.ca_data else None)
        # Cluster CAs made by common tools lack the extensions that newer Pythons insist on.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        if config.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if config.cert_data and config.key_data:
            _load_identity(context, config)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise OperatorError(f"the certificates for {config.server} can't be used: {error}") from error
    return context


def _load_identity(context: ssl.SSLContext, config: ClientConfig) -> None:
    # The ssl module takes certificates from files only; this one is gone before anybody else can open it.
    with tempfile.NamedTemporaryFile() as file:
        # A file that holds both is named for both.
        both = config.cert_data if config.cert_data == config.key_data else config.cert_data + b"\n" + config.key_data
        file.write(both)
        file.flush()
        context.load_cert_chain(file.name)


def bearer(config: ClientConfig) -> Callable[[], str] | None:
    """What gives the token for a request; None without one."""
    if not config.token_file:
        return (lambda: config.token) if config.token else None
    held = config.token
    expires = 0.0

    def current() -> str:
        nonlocal held, expires
        if monotonic() >= expires:
            # A token that is being replaced right now stays the old one until the next look.
            with contextlib.suppress(OSError):
                held = Path(config.token_file).read_text().strip() or held
            expires = monotonic() + _TOKEN_LIFE
        return held

    return current
