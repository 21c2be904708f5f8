"""PodCertificateRequest, certificates.k8s.io/v1beta1: a kubelet asks for a certificate for one of its pods.

Nobody changes the spec; the signer writes how it ended through `status`, once.
Source: API reference, PodCertificateRequest v1beta1 certificates.k8s.io; KEP-4317.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from kybern.api import meta, names, validation
from kybern.api.cells import at, text
from kybern.api.certificates.requests import blocks, decoded
from kybern.api.certificates.signernames import check_signer
from kybern.api.conditions import validate_conditions
from kybern.api.core.podspec_checks import required
from kybern.api.field import Errors
from kybern.api.resource import AGE, METADATA, Column, Preparation, Resource
from kybern.api.types import Object
from kybern.process.clock import parse_time

ISSUED, DENIED, FAILED = "Issued", "Denied", "Failed"
_ENDS = (ISSUED, DENIED, FAILED)
_DAY, _LEAST = 24 * 3600, 3600
_MOST, _MARGIN = 91 * _DAY, 600
_KEYS = "RSA3072, RSA4096, ECDSAP256, ECDSAP384, ECDSAP521, ED25519"
_SUBJECTS = ("podName", "serviceAccountName", "nodeName")
_REQUEST_SIZE, _CHAIN_SIZE = 10 * 1024, 100 * 1024
_WRITTEN = ("certificateChain", "notBefore", "beginRefreshAt", "notAfter")


def _state(obj: Object) -> str:
    kinds = [one.get("type") for one in at(obj, "status", "conditions") or () if one.get("status") == "True"]
    return next((end for end in _ENDS if end in kinds), "Pending")


class PodCertificateRequest(Resource):
    group, kind, plural = "certificates.k8s.io", "PodCertificateRequest", "podcertificaterequests"
    versions = ("v1beta1",)
    short_names = ("pcr",)
    has_status = True
    status_keeps = METADATA
    has_generation = False
    columns = (
        Column("PodName", "string", text("spec", "podName")),
        Column("ServiceAccountName", "string", text("spec", "serviceAccountName")),
        Column("NodeName", "string", text("spec", "nodeName")),
        Column("SignerName", "string", text("spec", "signerName")),
        Column("State", "string", _state),
        AGE,
    )
    selectable_fields = ("spec.signerName", "spec.podName", "spec.nodeName")

    def selectable(self, obj: Object) -> Mapping[str, str]:
        return {field: str(at(obj, *field.split(".")) or "") for field in self.selectable_fields}

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("maxExpirationSeconds") is None:
            spec["maxExpirationSeconds"] = _DAY

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {}

    def validate(self, obj: Object, errors: Errors) -> None:
        spec = obj["spec"]
        check_signer(spec.get("signerName") or "", errors)
        for name in _SUBJECTS:
            required(names.dns_subdomain, spec.get(name), f"spec.{name}", errors)
        for key in ("podUID", "serviceAccountUID", "nodeUID"):
            _check_uid(spec.get(key) or "", f"spec.{key}", errors)
        _check_expiry(spec, errors)
        for key in spec.get("unverifiedUserAnnotations") or ():
            validation.domain_prefixed_path(key, f"spec.unverifiedUserAnnotations[{key}]", errors)
        _check_request(spec, errors)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        validation.unchanged(obj["spec"], old["spec"], "spec", errors)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        status, before = obj.get("status") or {}, old.get("status") or {}
        if before.get("conditions"):
            if not meta.same(status, before):
                errors.invalid("status", status, "immutable after PodCertificateRequest is issued, denied, or failed")
            return
        conditions = status.get("conditions") or []
        validate_conditions(conditions, "status.conditions", errors)
        if len(conditions) > 1:
            detail = "There may be at most one condition with type Issued, Denied, or Failed"
            errors.invalid("status.conditions", conditions, detail)
        for index, condition in enumerate(conditions):
            path = f"status.conditions[{index}]"
            if condition.get("type") not in _ENDS:
                errors.unsupported(f"{path}.type", condition.get("type") or "", _ENDS)
            if condition.get("status") != "True":
                errors.unsupported(f"{path}.status", condition.get("status") or "", ("True",))
        _check_certificate(obj, {one.get("type") for one in conditions}, errors)


def _check_uid(value: str, path: str, errors: Errors) -> None:
    if not value:
        errors.required(path, "must not be empty")
    elif len(value) > 128:
        errors.too_long(path, 128)


def _check_expiry(spec: Object, errors: Errors) -> None:
    seconds, path = spec.get("maxExpirationSeconds") or 0, "spec.maxExpirationSeconds"
    domain = (spec.get("signerName") or "").partition("/")[0]
    most = _DAY if domain == "kubernetes.io" or domain.endswith(".kubernetes.io") else _MOST
    if not _LEAST <= seconds <= most:
        errors.invalid(path, seconds, f"must be in the range [{_LEAST}, {most}]")


def _check_request(spec: Object, errors: Errors) -> None:
    """A request for the key that the certificate is to be for, signed with it."""
    path, data = "spec.stubPKCS10Request", decoded(spec.get("stubPKCS10Request"))
    for other in ("pkixPublicKey", "proofOfPossession"):
        if spec.get(other):
            errors.invalid(f"spec.{other}", "<value omitted>", "must be empty if stubPKCS10Request is set")
    if not data:
        errors.required(path, "must not be empty")
        return
    if len(data) > _REQUEST_SIZE:
        errors.too_long(path, _REQUEST_SIZE)
        return
    try:
        asked = x509.load_der_x509_csr(data)
        valid, known = asked.is_signature_valid, _is_known(asked.public_key())
    except (ValueError, UnsupportedAlgorithm) as error:
        errors.invalid(path, "<value omitted>", f"must be a valid PKCS#10 CSR: {error}")
        return
    if not valid:
        errors.invalid(path, "<value omitted>", "must carry a valid proof-of-possession signature")
    if not known:
        errors.invalid(path, "<value omitted>", f"unsupported key type; must be one of {_KEYS}")


def _is_known(key: object) -> bool:
    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size in (3072, 4096)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.name in ("secp256r1", "secp384r1", "secp521r1")
    return isinstance(key, ed25519.Ed25519PublicKey)


def _check_certificate(obj: Object, ends: set[Any], errors: Errors) -> None:
    """The certificate and its times are there where it was issued, and nowhere else."""
    status = obj.get("status") or {}
    for key in _WRITTEN:
        if ISSUED in ends and not status.get(key):
            errors.required(f"status.{key}", "must be set when the request is issued")
        elif ISSUED not in ends and status.get(key):
            errors.invalid(f"status.{key}", status[key], "must be set if and only if the request is issued")
    chain = status.get("certificateChain") or ""
    if len(chain.encode()) > _CHAIN_SIZE:
        errors.too_long("status.certificateChain", _CHAIN_SIZE)
    elif ISSUED in ends and all(status.get(key) for key in _WRITTEN):
        leaf = _leaf(chain, errors)
        if leaf is not None:
            _check_leaf(leaf, obj["spec"], status, errors)


def _leaf(chain: str, errors: Errors) -> x509.Certificate | None:
    """The first certificate of a chain, where all of it can be read."""
    path, found = "status.certificateChain", []
    for index, block in enumerate(blocks(chain.encode())):
        try:
            if block.label != "CERTIFICATE":
                raise ValueError(f'only CERTIFICATE PEM blocks are allowed, found "{block.label}"')
            found.append(x509.load_der_x509_certificate(block.data))
        except ValueError as error:
            errors.invalid(path, "<value omitted>", f"entry {index}: {error}")
            return None
    if not found:
        errors.invalid(path, "<value omitted>", "must contain at least one certificate")
    return found[0] if found else None


def _check_leaf(leaf: x509.Certificate, spec: Object, status: Object, errors: Errors) -> None:
    """It is for the key that was asked for, as long as was allowed, and the times are its own."""
    path, asked = "status.certificateChain", x509.load_der_x509_csr(decoded(spec.get("stubPKCS10Request")))
    if leaf.public_key() != asked.public_key():
        errors.invalid(path, "<value omitted>", "leaf certificate was not issued to the requested public key")
    begin, end = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    most = spec.get("maxExpirationSeconds") or 0
    if end - begin < _LEAST:
        errors.invalid(path, "<value omitted>", "leaf certificate lifetime must be >= 1 hour")
    if end - begin > most:
        detail = f"leaf certificate lifetime must be <= spec.maxExpirationSeconds ({most})"
        errors.invalid(path, "<value omitted>", detail)
    for field, own, word in (("notBefore", begin, "NotBefore"), ("notAfter", end, "NotAfter")):
        if parse_time(status[field]) != own:
            detail = f"must be set to the {word} time encoded in the leaf certificate"
            errors.invalid(f"status.{field}", status[field], detail)
    refresh, here = parse_time(status["beginRefreshAt"]), "status.beginRefreshAt"
    if refresh < begin + _MARGIN:
        errors.invalid(here, status["beginRefreshAt"], "must be at least 10 minutes after status.notBefore")
    if refresh > end - _MARGIN:
        errors.invalid(here, status["beginRefreshAt"], "must be at least 10 minutes before status.notAfter")
