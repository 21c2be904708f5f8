"""Where a node's kubelet listens, and how the server proves to it who it is."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache

from kybern.api.errors import APIError, InternalError
from kybern.api.types import Object
from kybern.apiserver.app import App

DEFAULT_PORT = 10250
ADDRESS_TYPES = ("InternalIP", "ExternalIP", "InternalDNS", "ExternalDNS", "Hostname")


def trusting() -> ssl.SSLContext:
    """TLS without checking who answers: for kubelets where no CA is given, as upstream does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@cache
def anybody() -> ssl.SSLContext:
    """The same without a certificate of ours, one for all."""
    return trusting()


@dataclass(slots=True, frozen=True)
class Kubelets:
    """How to reach kubelets. Left in `app.services["kubelet"]` by the command."""

    ssl: ssl.SSLContext = field(default_factory=trusting)
    address_types: Sequence[str] = ADDRESS_TYPES
    """The node address types to try, the preferred first (--kubelet-preferred-address-types)."""
    port: int = DEFAULT_PORT
    """Used where a node's status names none (--kubelet-port)."""

    @classmethod
    def made(
        cls,
        *,
        certificate: str = "",
        key: str = "",
        authority: str = "",
        address_types: Sequence[str] = ADDRESS_TYPES,
        port: int = DEFAULT_PORT,
    ) -> Kubelets:
        """From the paths in --kubelet-client-certificate, --kubelet-client-key and --kubelet-certificate-authority.
        Raises OSError, ssl.SSLError."""
        context = ssl.create_default_context(cafile=authority) if authority else trusting()
        if certificate:
            context.load_cert_chain(certificate, key or None)
        return cls(context, address_types, port)

    def address(self, node: Object) -> str:
        """Host of a node. Raises InternalError."""
        known = (node.get("status") or {}).get("addresses") or []
        for wanted in self.address_types:
            for address in known:
                if address.get("type") == wanted and address.get("address"):
                    return str(address["address"])
        listed = ", ".join(f"{a.get('type')}:{a.get('address')}" for a in known)
        raise InternalError(f"Internal error occurred: no preferred addresses found; known addresses: [{listed}]")

    def port_of(self, node: Object) -> int:
        """The kubelet's port."""
        endpoints = (node.get("status") or {}).get("daemonEndpoints") or {}
        return int((endpoints.get("kubeletEndpoint") or {}).get("Port") or self.port)

    def url(self, node: Object) -> str:
        """The kubelet's base URL. Raises InternalError."""
        return f"https://{authority(self.address(node), self.port_of(node))}"


def kubelets_of(app: App) -> Kubelets:
    """The server's way to kubelets; without a client certificate where the command left none."""
    found = app.services.get("kubelet")
    if not isinstance(found, Kubelets):
        found = app.services["kubelet"] = Kubelets()
    return found


async def kubelet_url(app: App, node_name: str) -> str:
    """The base URL of a node's kubelet. Raises NotFound, InternalError."""
    nodes = app.registry.scheme.resource("", "nodes")
    assert nodes is not None
    return kubelets_of(app).url(await app.registry.get(nodes, "", node_name))


def authority(host: str, port: int | str) -> str:
    """`host:port`, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def unreachable(error: Exception) -> APIError:
    """A backend that could not be dialled, as upstream words it."""
    failed = APIError(f"error dialing backend: {dialling(error)}")
    failed.reason = ""
    return failed


def dialling(error: Exception) -> str:
    """Why there is no connection, in a line."""
    if isinstance(error, TimeoutError):
        return "dial tcp: i/o timeout"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"tls: failed to verify certificate: {error.verify_message}"
    return f"dial tcp: connect: {getattr(error, 'strerror', None) or error}".lower()
