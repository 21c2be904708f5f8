"""The cluster's certificates and kubeconfigs, made with `cryptography`: one CA, P-256 keys, files 0600.

Existing files are kept, so that every `up` brings back the same cluster; a certificate that expires within thirty days,
or whose addresses no longer fit, is made anew.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kybern.cluster.identity import Identity
from kybern.cluster.layout import write_private
from kybern.process.clock import clock
from kybern.process.daemon import OperatorError

_CA_DAYS, _LEAF_DAYS, _RENEW_DAYS = 3650, 365, 30


class Authority:
    """A CA on disk (`STEM.crt`, `STEM.key`), made at first use."""

    def __init__(self, directory: Path, name: str = "kybern-ca", stem: str = "ca") -> None:
        self.certificate_path, self.key_path = directory / f"{stem}.crt", directory / f"{stem}.key"
        self.directory = directory
        # One of which only the key is gone must not be replaced: all that it signed would be worthless.
        if not self.key_path.exists() and not self.certificate_path.exists():
            self._make(name)
        try:
            self.certificate = x509.load_pem_x509_certificate(self.certificate_path.read_bytes())
            self.key = _load_key(self.key_path)
        except (OSError, ValueError) as error:
            raise OperatorError(
                f"can't read the CA in {directory}: {error}; restore it, or `kybern down`"
            ) from error
        if self.certificate.not_valid_after_utc < clock.now():
            raise OperatorError(f"the CA {self.certificate_path} has expired; `kybern down` and start anew")

    def _make(self, name: str) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(True, False, True, False, False, True, True, False, False)
        builder = (
            _builder(subject, subject, key.public_key(), _CA_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        write_private(self.certificate_path, _pem(builder.sign(key, hashes.SHA256())))
        write_private(self.key_path, _key_pem(key))

    def issue(
        self, stem: str, identity: Identity, directory: Path | None = None, *, anew: bool = False
    ) -> tuple[Path, Path]:
        """`STEM.crt` and `STEM.key` in `directory` (beside the CA if None), made or renewed if need be, or `anew`."""
        directory = directory or self.directory
        certificate_path, key_path = directory / f"{stem}.crt", directory / f"{stem}.key"
        there = certificate_path.exists() and key_path.exists() and not anew
        if not (there and self._still_good(certificate_path, identity)):
            key = ec.generate_private_key(ec.SECP256R1())
            write_private(key_path, _key_pem(key))
            write_private(certificate_path, _pem(self._sign(key.public_key(), identity)))
        return certificate_path, key_path

    def _still_good(self, path: Path, identity: Identity) -> bool:
        try:
            found = x509.load_pem_x509_certificate(path.read_bytes())
            found.verify_directly_issued_by(self.certificate)
        except Exception as error:  # any way of being broken ends the same: it is made anew
            _ = error
            return False
        fresh = found.not_valid_after_utc - clock.now() > timedelta(days=_RENEW_DAYS)
        return fresh and found.subject == _subject(identity) and set(_names_of(found)) == set(identity.names)

    def _sign(self, public_key: ec.EllipticCurvePublicKey, identity: Identity) -> x509.Certificate:
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH] if identity.client else []
        builder = _builder(_subject(identity), self.certificate.subject, public_key, _LEAF_DAYS)
        if identity.names:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
            builder = builder.add_extension(x509.SubjectAlternativeName(_general_names(identity.names)), critical=False)
        digital_signature = x509.KeyUsage(True, False, True, False, False, False, False, False, False)
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(digital_signature, critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(authority_key, critical=False)
            .sign(self.key, hashes.SHA256())
        )


def identity_of(certificate: x509.Certificate) -> Identity:
    """Whom a certificate speaks for, as `issue` takes it."""
    names, organizations = ([str(one.value) for one in certificate.subject.get_attributes_for_oid(oid)]
                            for oid in (NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME))  # fmt: skip
    usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    client = ExtendedKeyUsageOID.CLIENT_AUTH in usages
    return Identity(names[0], tuple(organizations), tuple(_names_of(certificate)), client)


def signing_key(directory: Path, stem: str = "sa") -> tuple[Path, Path]:
    """A key pair `STEM.key`, `STEM.pub` for service account tokens (ES256)."""
    private, public = directory / f"{stem}.key", directory / f"{stem}.pub"
    if not private.exists():
        write_private(private, _key_pem(ec.generate_private_key(ec.SECP256R1())))
    key = _load_key(private).public_key()
    encoded = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    write_private(public, encoded)
    return private, public


def write_kubeconfig(path: Path, server: str, authority: Authority, certificate: Path, key: Path, user: str) -> None:
    """A kubeconfig with everything inside it, so that it can be copied elsewhere."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "kybern",
                "cluster": {"server": server, **_data("certificate-authority", authority.certificate_path)},
            }
        ],
        "users": [{"name": user, "user": {**_data("client-certificate", certificate), **_data("client-key", key)}}],
        "contexts": [{"name": "kybern", "context": {"cluster": "kybern", "user": user}}],
        "current-context": "kybern",
    }
    write_private(path, yaml.safe_dump(content, sort_keys=False).encode())


def _data(name: str, path: Path) -> dict[str, str]:
    return {f"{name}-data": base64.b64encode(path.read_bytes()).decode()}


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, days: int
) -> x509.CertificateBuilder:
    now = clock.now()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        # Machines' clocks differ a little: a certificate is good from five minutes ago.
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=days))
    )


def _subject(identity: Identity) -> x509.Name:
    groups = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in identity.organizations]
    return x509.Name([*groups, x509.NameAttribute(NameOID.COMMON_NAME, identity.common_name)])


def _general_names(names: Sequence[str]) -> list[x509.GeneralName]:
    return [_general_name(name) for name in names]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names_of(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [str(name.value) for name in found]


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise OperatorError(f"{path} is not an elliptic-curve key; remove it to have one made")
    return key


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
