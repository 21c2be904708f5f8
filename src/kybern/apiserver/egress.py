"""The ways by which the server reaches what it connects to, where an operator says so: straight, or by an HTTP proxy.

    ways = load(path)                   # of --egress-selector-config-file; raises OperatorError
    ways.cluster                        # how to reach nodes, pods and Services
    ways.controlplane                   # how to reach webhooks at URLs, and reviewers

Source: API reference, EgressSelectorConfiguration (apiserver.k8s.io/v1beta1); KEP-1281; RFC 9110, CONNECT.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kybern.api.field import Errors
from kybern.api.types import Object
from kybern.apiserver import config_files
from kybern.apiserver.app import App
from kybern.process.daemon import OperatorError
from kybern.process.dialing import Dial, P, straight

FLAG, KIND, VERSIONS = "--egress-selector-config-file", "EgressSelectorConfiguration", ("v1beta1", "v1alpha1")
GROUP = "apiserver.k8s.io"
SERVICE = "egress"
NAMES = ("cluster", "controlplane", "etcd")
PROTOCOLS = ("Direct", "HTTPConnect")
SECONDS = 30.0
"""That a proxy may take to be connected."""
MAX_HEAD = 16 * 1024


@dataclass(slots=True, frozen=True)
class Ways:
    """By the networks that there are."""

    cluster: Dial = straight
    controlplane: Dial = straight


def ways_of(app: App) -> Ways:
    """The server's."""
    found = app.services.get(SERVICE)
    return found if isinstance(found, Ways) else Ways()


class _Head(asyncio.Protocol):
    """Takes the proxy's answer in, and what follows it."""

    def __init__(self) -> None:
        self.taken = b""
        self.whole: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.taken += data
        if (b"\r\n\r\n" in self.taken or len(self.taken) > MAX_HEAD) and not self.whole.done():
            self.whole.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.whole.done():
            self.whole.set_exception(ConnectionResetError("the egress proxy closed the connection"))


class HTTPConnect:
    """A Dial by way of a proxy: at `socket`, a unix socket's path, or at `host` and `port`, over TLS if there is
    `tls`, where it must be called `name`."""

    def __init__(
        self, *, socket: str = "", host: str = "", port: int = 0, tls: ssl.SSLContext | None = None, name: str = ""
    ) -> None:
        self._socket, self._host, self._port, self._tls, self._name = socket, host, port, tls, name

    async def __call__(
        self, protocol: Callable[[], P], host: str, port: int, tls: ssl.SSLContext | None, name: str | None = None
    ) -> tuple[asyncio.Transport, P]:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(SECONDS):
            transport, rest = await self._tunnel(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
            made = protocol()
            try:
                transport.set_protocol(made)
                if tls is not None:
                    transport = await loop.start_tls(transport, made, tls, server_hostname=name or host)  # type: ignore[assignment]
            except BaseException:
                transport.abort()
                raise
        made.connection_made(transport)
        if rest and isinstance(made, asyncio.Protocol):
            made.data_received(rest)
        return transport, made

    async def _tunnel(self, where: str) -> tuple[asyncio.Transport, bytes]:
        """A connection that the proxy has passed on; and what came over it already."""
        loop = asyncio.get_running_loop()
        transport: asyncio.Transport
        if self._socket:
            transport, head = await loop.create_unix_connection(_Head, self._socket)
        else:
            expected = (self._name or self._host) if self._tls is not None else None
            transport, head = await loop.create_connection(
                _Head, self._host, self._port, ssl=self._tls, server_hostname=expected
            )
        try:
            transport.write(f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n\r\n".encode("ascii", "replace"))
            await head.whole
            text, end, rest = head.taken.partition(b"\r\n\r\n")
            status = text.split(b"\r\n", 1)[0].split(b" ", 2)
            if not end or len(status) < 2 or status[1] != b"200":
                said = b" ".join(status[1:]).decode("latin-1") or "no answer in HTTP"
                raise ConnectionRefusedError(f"error from proxy while CONNECT {where}: {said}")
        except BaseException:
            transport.abort()
            raise
        return transport, rest


def load(path: Path) -> Ways:
    """The ways of a file. Raises OperatorError, which names all that is wrong."""
    document = config_files.read(FLAG, path, KIND, VERSIONS, group=GROUP)
    errors = Errors()
    config_files.fields(errors, "", document, ("apiVersion", "kind", "egressSelections"))
    found: dict[str, Dial] = {}
    for number, one in enumerate(config_files.items(errors, "egressSelections", document.get("egressSelections"))):
        where = f"egressSelections[{number}]"
        selection = config_files.fields(errors, where, one, ("name", "connection"))
        name = config_files.text(errors, f"{where}.name", selection.get("name"))
        if name not in NAMES:
            errors.unsupported(f"{where}.name", name, NAMES)
        elif name in found:
            errors.duplicate(f"{where}.name", name)
        else:
            found[name] = _dial(errors, f"{where}.connection", selection.get("connection"))
            if name == "etcd" and found[name] is not straight:
                errors.invalid(f"{where}.connection.proxyProtocol", "HTTPConnect", "etcd is only reached directly")
    if errors:
        raise OperatorError(f"{FLAG} {path}: {'; '.join(map(str, errors))}")
    return Ways(found.get("cluster", straight), found.get("controlplane", straight))


def _dial(errors: Errors, path: str, found: Any) -> Dial:
    connection = config_files.fields(errors, path, found, ("proxyProtocol", "transport"))
    protocol = config_files.text(errors, f"{path}.proxyProtocol", connection.get("proxyProtocol"))
    transport = connection.get("transport")
    if protocol not in PROTOCOLS:
        errors.unsupported(f"{path}.proxyProtocol", protocol, PROTOCOLS)
        return straight
    if protocol == "Direct":
        if transport is not None:
            errors.invalid(f"{path}.transport", "direct", "Transport config should be absent for direct connect")
        return straight
    given = config_files.fields(errors, f"{path}.transport", transport, ("tcp", "uds"))
    if (given.get("tcp") is None) is (given.get("uds") is None):
        errors.invalid(f"{path}.transport", "", "one of tcp and uds must be set, and only one")
        return straight
    if given.get("uds") is not None:
        uds = config_files.fields(errors, f"{path}.transport.uds", given["uds"], ("udsName",))
        socket = config_files.text(errors, f"{path}.transport.uds.udsName", uds.get("udsName"))
        if not socket:
            errors.required(f"{path}.transport.uds.udsName")
        return HTTPConnect(socket=socket)
    return _over_tcp(errors, f"{path}.transport.tcp", given["tcp"])


def _over_tcp(errors: Errors, path: str, found: Any) -> Dial:
    tcp = config_files.fields(errors, path, found, ("url", "tlsConfig"))
    url = config_files.text(errors, f"{path}.url", tcp.get("url"))
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        errors.invalid(f"{path}.url", url, "needs the scheme http or https, and a host")
        return straight
    if parts.scheme == "http":
        if tcp.get("tlsConfig") is not None:
            errors.invalid(f"{path}.tlsConfig", "present", "TLS config should not be present when using HTTP")
        return HTTPConnect(host=parts.hostname, port=parts.port or 80)
    names = ("caBundle", "clientKey", "clientCert", "tlsServerName")
    given = config_files.fields(errors, f"{path}.tlsConfig", tcp.get("tlsConfig"), names)
    values = {name: config_files.text(errors, f"{path}.tlsConfig.{name}", given.get(name)) for name in names}
    context = _context(errors, f"{path}.tlsConfig", values)
    return HTTPConnect(host=parts.hostname, port=parts.port or 443, tls=context, name=values["tlsServerName"])


def _context(errors: Errors, path: str, given: Object) -> ssl.SSLContext | None:
    """What to show the proxy, and whom to trust."""
    if bool(given["clientCert"]) is not bool(given["clientKey"]):
        errors.invalid(path, "", "clientCert and clientKey go together")
        return None
    for name in ("caBundle", "clientCert", "clientKey"):
        if given[name] and not os.path.exists(given[name]):
            errors.invalid(f"{path}.{name}", given[name], "TLS config file does not exist")
            return None
    try:
        context = ssl.create_default_context(cafile=given["caBundle"] or None)
        if given["clientCert"]:
            context.load_cert_chain(given["clientCert"], given["clientKey"])
    except (OSError, ssl.SSLError) as error:
        errors.invalid(path, "", f"can't be used: {error}")
        return None
    return context
