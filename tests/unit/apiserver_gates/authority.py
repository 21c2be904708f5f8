"""A certificate authority for tests, and what it issues."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from kybern.process.clock import clock
from kybern.testing import certificates

UID = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")


class Authority:
    """Keeps its files in a directory."""

    def __init__(self, directory: Path, name: str) -> None:
        self.directory, self.name = directory, name
        self.key = certificates.key()
        self.subject = certificates.subject(name)
        self.path = directory / f"{name}.crt"
        self.certificate = self._build(self.subject, self.key.public_key(), ca=True)
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _build(
        self, subject: x509.Name, public: object, *, ca: bool = False, names: Sequence[x509.GeneralName] = ()
    ) -> x509.Certificate:
        now = clock.now()
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.subject)
            .public_key(public)  # type: ignore[arg-type]
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca, None), critical=True)
        )
        if not ca:
            usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, common_name: str, organizations: Sequence[str] = (), uids: Sequence[str] = ()) -> tuple[Path, Path]:
        """Files of a certificate for 127.0.0.1 and its key."""
        key = certificates.key()
        subject = [*certificates.subject(common_name, organizations), *(x509.NameAttribute(UID, uid) for uid in uids)]
        made = self._build(x509.Name(subject), key.public_key(), names=[certificates.ip("127.0.0.1")])
        crt, pem = self.directory / f"{self.name}-{common_name}.crt", self.directory / f"{self.name}-{common_name}.key"
        crt.write_bytes(made.public_bytes(serialization.Encoding.PEM))
        pem.write_bytes(certificates.key_pem(key))
        return crt, pem

    def client_context(self, files: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """One that trusts this authority and shows a certificate."""
        context = ssl.create_default_context(cafile=str(self.path))
        if files:
            context.load_cert_chain(*files)
        return context

    def server_context(self) -> ssl.SSLContext:
        """Of a server on 127.0.0.1."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue("server"))
        return context
