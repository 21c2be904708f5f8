"""The kubelet's certificates: asked for with a bootstrap token, kept in --cert-dir, renewed before they expire.

    kubelet-client-current.pem    who we are to the API server (--bootstrap-kubeconfig, --rotate-certificates)
    kubelet-server-current.pem    what we listen with (--rotate-server-certificates)

Each is a link to the newest of several dated files that hold certificate and key.
Source: Kubernetes documentation, "TLS bootstrapping".
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from kybern.api.certificates import requests
from kybern.api.certificates.certificatesigningrequest import (
    APPROVED,
    DENIED,
    FAILED,
    KUBELET_CLIENT,
    KUBELET_SERVING,
    condition,
)
from kybern.api.errors import AlreadyExists, APIError
from kybern.api.types import Object
from kybern.client import kubeconfig
from kybern.client.kubeconfig import ClientConfig
from kybern.client.rest import Client
from kybern.client.transport import HTTPTransport
from kybern.kubelet.config import Config
from kybern.process.clock import clock, random
from kybern.process.daemon import OperatorError

log = logging.getLogger(__name__)

PATIENCE = 900.0
"""Seconds to wait for one request to be approved and signed, before a new one is made."""
FIRST_BACKOFF, MAX_BACKOFF = 2.0, 60.0
_LOOK_SECONDS = 60.0
"""The time is looked at this often, as machines sleep and clocks are set."""
_API = ("certificates.k8s.io/v1", "certificatesigningrequests")
_PENDING_KEY = "kubelet-client.key.tmp"

Key = ec.EllipticCurvePrivateKey


class Refused(Exception):
    """The request was denied, or its signer can't sign it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The certificate to ask for."""

    signer: str
    usages: tuple[str, ...]
    subject: x509.Name
    names: tuple[x509.GeneralName, ...] = ()

    def met_by(self, certificate: x509.Certificate) -> bool:
        """Whether the certificate says all of this."""
        try:
            names = set(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
        except x509.ExtensionNotFound:
            names = set()
        return certificate.subject == self.subject and names >= set(self.names)

    def request(self, key: Key) -> bytes:
        """The PKCS#10 request, in PEM."""
        builder = x509.CertificateSigningRequestBuilder().subject_name(self.subject)
        if self.names:
            builder = builder.add_extension(x509.SubjectAlternativeName(self.names), critical=False)
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def client_certificate(config: Config) -> Wanted:
    """Who the kubelet is to the API server."""
    return Wanted(KUBELET_CLIENT, ("digital signature", "client auth"), _subject(config))


def server_certificate(config: Config) -> Wanted:
    """What the kubelet listens with."""
    addresses = [x509.IPAddress(ipaddress.ip_address(ip)) for ip in config.node_ips]
    names = (x509.DNSName(config.hostname), *addresses)
    return Wanted(KUBELET_SERVING, ("digital signature", "server auth"), _subject(config), names)


def _subject(config: Config) -> x509.Name:
    group = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "system:nodes")
    return x509.Name([group, x509.NameAttribute(NameOID.COMMON_NAME, f"system:node:{config.node_name}")])


class Kept:
    """Certificates of one purpose in a directory; `name` is kubelet-client or kubelet-server."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory, self._name = directory, name
        self.current = directory / f"{name}-current.pem"

    def load(self, wanted: Wanted) -> x509.Certificate | None:
        """The current one, if it is what is wanted and hasn't expired."""
        try:
            found = x509.load_pem_x509_certificate(self.current.read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        return found if wanted.met_by(found) and found.not_valid_after_utc > clock.now() else None

    def save(self, certificate: bytes, key: bytes) -> None:
        """Make this pair, in PEM, the current one. Raises OSError."""
        self._directory.mkdir(parents=True, exist_ok=True)
        path = self._directory / f"{self._name}-{clock.now():%Y-%m-%d-%H-%M-%S}.pem"
        write_private(path, certificate.rstrip() + b"\n" + key)
        link = self.current.with_suffix(".new")
        link.unlink(missing_ok=True)
        link.symlink_to(path.name)
        link.replace(self.current)


def client_store(config: Config) -> Kept:
    return Kept(config.cert_dir, "kubelet-client")


def server_store(config: Config) -> Kept:
    return Kept(config.cert_dir, "kubelet-server")


def write_private(path: Path, data: bytes) -> None:
    """A file that is there whole or not at all, and readable by its owner only."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    temporary.replace(path)


def _key_pem(key: Key) -> bytes:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


# Asking.


async def obtain(client: Client, wanted: Wanted, key: Key, name: str = "") -> bytes:
    """Ask for a certificate and wait for it; in PEM. A request of that name that is there already is taken up again.
    Raises APIError, Refused."""
    resource = client.resource(*_API, namespaced=False)
    spec = {
        "request": base64.b64encode(wanted.request(key)).decode(),
        "signerName": wanted.signer,
        "usages": list(wanted.usages),
    }
    meta = {"name": name} if name else {"generateName": "csr-"}
    body = {"apiVersion": _API[0], "kind": "CertificateSigningRequest", "metadata": meta, "spec": spec}
    try:
        made = await resource.create(body)
    except AlreadyExists:
        made = await resource.get(name)
    name = made["metadata"]["name"]
    log.info("asked %s for a certificate: %s", wanted.signer, name)
    while (pem := issued(made)) is None:
        events = resource.watch(
            field_selector=f"metadata.name={name}", resource_version=made["metadata"]["resourceVersion"],
            bookmarks=False,
        )  # fmt: skip
        try:
            async for event in events:
                made = event.object
                if event.type == "DELETED":
                    raise Refused(f"certificate signing request {name} was removed")
                if issued(made) is not None:
                    break
        finally:
            await events.aclose()
    return pem


def issued(found: Object) -> bytes | None:
    """The certificate of a request, once it has one. Raises Refused."""
    for kind, said in ((DENIED, "is denied"), (FAILED, "failed")):
        if refusal := condition(found, kind):
            raise Refused(
                f"certificate signing request {said}, reason: {refusal.get('reason', '')}, "
                f"message: {refusal.get('message', '')}"
            )
    certificate = (found.get("status") or {}).get("certificate")
    return requests.decoded(certificate) if certificate and condition(found, APPROVED) else None


# The first one.


async def bootstrap(config: Config) -> None:
    """Make --kubeconfig with the credentials of --bootstrap-kubeconfig, unless there is one that can still be used;
    tries until it works. Raises OperatorError where a file is at fault."""
    if still_good(config.kubeconfig):
        return
    found = kubeconfig.load(config.bootstrap_kubeconfig)
    client, wanted, kept = kubeconfig.connect(found, "kubelet"), client_certificate(config), client_store(config)
    try:
        key = _pending_key(config.cert_dir)
        pem = await _persistently(client, wanted, key)
        kept.save(pem, _key_pem(key))
        write_private(Path(config.kubeconfig), _kubeconfig(found, kept.current.absolute()))
        (config.cert_dir / _PENDING_KEY).unlink(missing_ok=True)
    except OSError as error:
        raise OperatorError(f"can't write {error.filename}: {error.strerror}; see --cert-dir, --kubeconfig") from error
    finally:
        await client.close()
    log.info("got a client certificate as system:node:%s", config.node_name)


def still_good(path: str) -> bool:
    """Whether it is a kubeconfig whose client certificate, if it has one, hasn't expired."""
    if not Path(path).exists():
        return False
    try:
        found = kubeconfig.load(path)
        certificate = x509.load_pem_x509_certificate(found.cert_data) if found.cert_data else None
    except (OperatorError, ValueError) as error:
        log.warning("%s can't be used (%s): asking for a new certificate", path, error)
        return False
    if certificate is None or certificate.not_valid_after_utc > clock.now():
        return True
    log.warning("the client certificate in %s has expired: asking for a new one", path)
    return False


async def _persistently(client: Client, wanted: Wanted, key: Key) -> bytes:
    backoff = FIRST_BACKOFF
    while True:
        try:
            return await obtain(client, wanted, key, _name(wanted, key))
        except (APIError, Refused) as error:
            log.warning("no client certificate yet: %s", error)
        await asyncio.sleep(backoff * random.uniform(0.8, 1.2))
        backoff = min(backoff * 2, MAX_BACKOFF)


def _pending_key(directory: Path) -> Key:
    """The key of a request that may be waiting already: a kubelet that starts again asks with the same one."""
    path = directory / _PENDING_KEY
    try:
        found = serialization.load_pem_private_key(path.read_bytes(), None)
        if isinstance(found, ec.EllipticCurvePrivateKey):
            return found
    except (FileNotFoundError, ValueError):
        pass
    key = ec.generate_private_key(ec.SECP256R1())
    directory.mkdir(parents=True, exist_ok=True)
    write_private(path, _key_pem(key))
    return key


def _name(wanted: Wanted, key: Key) -> str:
    """The same for the same key and wish."""
    encoding = serialization.Encoding.DER
    parts = [
        key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo),
        wanted.subject.public_bytes(),
        ",".join(wanted.usages).encode(),
    ]
    digest = hashlib.sha256(b"\0".join(parts)).digest()
    return f"node-csr-{base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def _kubeconfig(found: ClientConfig, pem: Path) -> bytes:
    """The server of `found`, and the identity in `pem`."""
    cluster: Object = {"server": found.server}
    if found.ca_data:
        cluster["certificate-authority-data"] = base64.b64encode(found.ca_data).decode()
    if found.insecure:
        cluster["insecure-skip-tls-verify"] = True
    if found.server_name:
        cluster["tls-server-name"] = found.server_name
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "default-cluster", "cluster": cluster}],
        "users": [{"name": "default-auth", "user": {"client-certificate": str(pem), "client-key": str(pem)}}],
        "contexts": [{"name": "default-context", "context": {"cluster": "default-cluster", "user": "default-auth"}}],
        "current-context": "default-context",
    }
    return yaml.safe_dump(content, sort_keys=False).encode()


# The next ones.


def adopt(config: Config, found: ClientConfig) -> ClientConfig:
    """What to speak to the API server with where certificates are renewed: the newest in --cert-dir counts more than
    the kubeconfig's, which is copied there if there is none. Raises OSError."""
    kept = client_store(config)
    if kept.load(client_certificate(config)):
        pem = kept.current.read_bytes()
        return replace(found, cert_data=pem, key_data=pem)
    if found.cert_data and found.key_data:
        kept.save(found.cert_data, found.key_data)
    return found


class Rotation:
    """Keeps one certificate fresh: `apply` is told where each new one is."""

    def __init__(self, client: Client, wanted: Wanted, kept: Kept, apply: Callable[[Path], Awaitable[None]]) -> None:
        self._client, self._wanted, self._kept, self._apply = client, wanted, kept, apply

    async def run(self) -> None:
        """Until cancelled."""
        backoff = FIRST_BACKOFF
        while True:
            await self._due()
            try:
                async with asyncio.timeout(PATIENCE):
                    await self._renew()
                backoff = FIRST_BACKOFF
                continue
            except (APIError, Refused, OSError) as error:  # TimeoutError is an OSError
                log.warning("no new certificate from %s: %s", self._wanted.signer, error or "nobody has signed it")
            await asyncio.sleep(backoff * random.uniform(0.8, 1.2))
            backoff = min(backoff * 2, MAX_BACKOFF)

    async def _due(self) -> None:
        certificate = self._kept.load(self._wanted)
        if certificate is None:
            return
        due = renewal(certificate, random.uniform(0.7, 0.9))
        while (left := due - clock.time()) > 0:
            await asyncio.sleep(min(left, _LOOK_SECONDS))

    async def _renew(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        pem = await obtain(self._client, self._wanted, key)
        self._kept.save(pem, _key_pem(key))
        await self._apply(self._kept.current)
        log.info("new certificate from %s in %s", self._wanted.signer, self._kept.current.resolve())


def renewal(certificate: x509.Certificate, part: float) -> float:
    """When that part of the certificate's life is over, in seconds since the epoch."""
    begin, end = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    return begin + (end - begin) * part


def client_rotation(config: Config, client: Client) -> Rotation:
    """Renews who we are to the API server; connections are made anew with each certificate."""

    async def apply(pem: Path) -> None:
        if isinstance(client.transport, HTTPTransport):
            await client.transport.change_identity(pem)

    return Rotation(client, client_certificate(config), client_store(config), apply)


def server_rotation(config: Config, client: Client, use: Callable[[Path], None]) -> Rotation:
    """Renews what we listen with."""

    async def apply(pem: Path) -> None:
        use(pem)

    return Rotation(client, server_certificate(config), server_store(config), apply)
