"""Servers outside that an API server asks: aiohttp behind TLS on loopback, with a CA of the test's own."""

from __future__ import annotations

import base64
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.integration.apiserver.inprocess import Api

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Authority:
    """A CA, and certificates of it."""

    def __init__(self, name: str = "test-ca") -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._signed(self.name, self.key, x509.BasicConstraints(ca=True, path_length=None))

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def bundle(self) -> str:
        """As a caBundle."""
        return base64.b64encode(self.pem).decode()

    def issue(self, name: str, *names: str, groups: tuple[str, ...] = ()) -> tuple[bytes, bytes]:
        """A certificate for a common name, and for DNS names and addresses; and its key, both PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        subject += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        sans = x509.SubjectAlternativeName([_general(each) for each in names or (name,)])
        made = self._signed(x509.Name(subject), key, sans)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return made.public_bytes(serialization.Encoding.PEM), private

    def _signed(self, subject: x509.Name, key: Any, extension: x509.ExtensionType) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        made = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(key.public_key())
        made = made.serial_number(x509.random_serial_number()).not_valid_before(now - datetime.timedelta(hours=1))
        made = made.not_valid_after(now + datetime.timedelta(days=1)).add_extension(extension, critical=False)
        return made.sign(self.key, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@cache
def authority() -> Authority:
    """The CA of all tests."""
    return Authority()


def server_tls(*names: str, clients: bytes = b"", own: tuple[bytes, bytes] | None = None) -> ssl.SSLContext:
    """TLS to serve these names with; `clients` is the CA of client certificates, which are then demanded. `own` is the
    certificate and key instead of ones that `authority` issues."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate, key = own or authority().issue(names[0], *names)
    with TemporaryDirectory() as directory:
        file = Path(directory) / "both.pem"
        file.write_bytes(certificate + key)
        context.load_cert_chain(file)
    if clients:
        context.load_verify_locations(cadata=clients.decode())
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@asynccontextmanager
async def listening(
    answer: Answer, *names: str, clients: bytes = b"", own: tuple[bytes, bytes] | None = None
) -> AsyncIterator[int]:
    """A server that answers every request so; gives its port."""
    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    tls = server_tls(*(names or ("127.0.0.1",)), clients=clients, own=own)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def stand_in(api: Api, name: str, namespace: str, port: int, target: int) -> None:
    """A Service and its EndpointSlice that lead to a port on loopback, where no endpoint may be by the rules."""
    ports = [{"name": "https", "port": port, "protocol": "TCP"}]
    slice_ = {
        "metadata": {"name": f"{name}-1", "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": True}}],
        "ports": [{**ports[0], "port": target}],
    }
    made = {"metadata": {"name": name}, "spec": {"ports": ports}}
    await api.ok("POST", f"/api/v1/namespaces/{namespace}/services", made)
    registry = api.app.registry
    resource = registry.scheme.resource("discovery.k8s.io", "endpointslices")
    assert resource is not None
    await registry.create(resource, slice_)
