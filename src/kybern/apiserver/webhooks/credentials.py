"""Who this server says it is to a webhook: the users of the kubeconfig that --admission-control-config-file names.

A user is chosen by its name, which is that of the server called: `host:port`, `host` where the port is 443, or with `*`
for leading labels; `*` alone is for all.
Source: Kubernetes documentation, "Dynamic Admission Control", "Authenticate API servers".
"""

from __future__ import annotations

import base64
import binascii
import ssl
import tempfile
from pathlib import Path
from typing import Any

from kybern.process.daemon import OperatorError


class Identity:
    """A certificate or a token, or neither."""

    def __init__(self, user: dict[str, Any] | None = None, file: Path = Path()) -> None:
        self._user, self._file = user or {}, file

    def bearer(self) -> str:
        """The token to send; "" for none. A token file is read each time, as it may be replaced."""
        if path := self._user.get("tokenFile"):
            try:
                return (self._file.parent / str(path)).read_text().strip()
            except OSError:
                return ""
        return str(self._user.get("token") or "")

    def load_into(self, context: ssl.SSLContext) -> None:
        """Have TLS show the certificate. Raises OSError, ssl.SSLError, binascii.Error."""
        certificate, key = self._pem("client-certificate"), self._pem("client-key")
        if not certificate:
            return
        # The ssl module takes certificates from files only; this one is gone before anybody else can open it.
        with tempfile.NamedTemporaryFile() as file:
            file.write(certificate + b"\n" + key)
            file.flush()
            context.load_cert_chain(file.name)

    def _pem(self, field: str) -> bytes:
        if inline := self._user.get(f"{field}-data"):
            return base64.b64decode(inline, validate=True)
        path = self._user.get(field)
        return (self._file.parent / str(path)).read_bytes() if path else b""


NOBODY = Identity()


class Credentials:
    """The users of one kubeconfig. Raises OperatorError where it can't be read."""

    def __init__(self, file: Path) -> None:
        import yaml

        try:
            document = yaml.safe_load(file.read_text())
            users = {str(one["name"]): one.get("user") or {} for one in document.get("users") or ()}
        except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
            raise OperatorError(f"can't read the kubeconfig {file} for webhooks: {error}") from error
        self._identities = {name: Identity(user, file) for name, user in users.items()}
        for name, found in self._identities.items():
            try:
                found.load_into(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
            except (OSError, ssl.SSLError, binascii.Error) as error:
                raise OperatorError(f'the certificate of user "{name}" in {file} can\'t be used: {error}') from error

    def identity(self, target: str) -> Identity:
        """Who to be for a server, given as `host:port`."""
        names = [target]
        host, _, port = target.rpartition(":")
        if port == "443":
            names.append(host)
        labels = host.split(".")
        for index in range(1, len(labels)):
            rest = ".".join(labels[index:])
            names += [f"*.{rest}:{port}"] + ([f"*.{rest}"] if port == "443" else [])
        return next((self._identities[name] for name in [*names, "*"] if name in self._identities), NOBODY)
