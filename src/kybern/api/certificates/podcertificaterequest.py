"""PodCertificateRequest, certificates.k8s.io/v1beta1: a kubelet asks for a certificate for one of its pods.

Nobody changes the spec; the signer writes how it ended through `status`, once.
Source: API reference, PodCertificateRequest v1beta1 certificates.k8s.io; KEP-4317.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from kybern.api import meta, names, validation
from kybern.api.cells import at, text
from kybern.api.certificates.requests import Block, blocks, decoded
from kybern.api.certificates.signernames import check_signer
from kybern.api.conditions import validate_conditions
from kybern.api.core.podspec_checks import follows
from kybern.api.field import OMITTED, Errors
from kybern.api.resource import AGE, METADATA, Column, Preparation, Resource
from kybern.api.types import Object
from kybern.process.clock import clock, parse_time

if TYPE_CHECKING:
    from cryptography import x509

ISSUED, DENIED, FAILED = "Issued", "Denied", "Failed"
_ENDS = (ISSUED, DENIED, FAILED)
_DAY, _LEAST = 24 * 3600, 3600
_MOST, _MARGIN, _SKEW = 91 * _DAY, 600, 300
_KEYS = "RSA3072, RSA4096, ECDSAP256, ECDSAP384, ECDSAP521, ED25519"
_SUBJECTS = ("podName", "serviceAccountName", "nodeName")
_REQUEST_SIZE, _CHAIN_SIZE = 10 * 1024, 100 * 1024
_CONSISTENT = "must be present and consistent with the issued certificate"
_TIMES = {
    "notBefore": _CONSISTENT,
    "notAfter": _CONSISTENT,
    "beginRefreshAt": "must be present and in the range [notbefore+10min, notafter-10min]",
}


def _state(obj: Object) -> str:
    kinds = [one.get("type") for one in at(obj, "status", "conditions") or () if one.get("status") == "True"]
    return next((end for end in _ENDS if end in kinds), "Pending")


class PodCertificateRequest(Resource):
    group, kind, plural = "certificates.k8s.io", "PodCertificateRequest", "podcertificaterequests"
    versions = ("v1beta1",)
    gate = "PodCertificateRequest"
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
            follows(names.dns_subdomain, spec.get(name) or "", f"spec.{name}", errors)
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
        conditions = status.get("conditions") or []
        _check_conditions(conditions, errors)
        if errors:
            return
        ends, ended = ({one.get("type") for one in part.get("conditions") or ()} for part in (status, before))
        if ended:
            _same(status, before, "immutable after PodCertificateRequest is issued, denied, or failed", errors)
        elif ISSUED in ends:
            _check_issued(obj["spec"], status, errors)
        elif ends:
            detail = "non-condition status fields must be empty when denying or failing the PodCertificateRequest"
            _same(status, {"conditions": conditions}, detail, errors)
        else:
            detail = 'status is immutable unless transitioning to "Issued", "Denied", or "Failed"'
            _same(status, before, detail, errors)


def _same(status: Object, wanted: Object, detail: str, errors: Errors) -> None:
    if not meta.same(status, wanted):
        errors.invalid("status", OMITTED, detail)


def _check_conditions(conditions: list[Object], errors: Errors) -> None:
    """At most one, which says how it ended."""
    for index, condition in enumerate(conditions):
        path, kind = f"status.conditions.[{index}]", condition.get("type") or ""
        if kind not in _ENDS:
            errors.unsupported(f"{path}.type", kind, _ENDS)
            continue
        if index:
            detail = 'There may be at most one condition with type "Issued", "Denied", or "Failed"'
            errors.invalid(f"{path}.type", kind, detail)
        if condition.get("status") != "True":
            errors.unsupported(f"{path}.status", condition.get("status") or "", ("True",))
    validate_conditions(conditions, "status.conditions", errors)


def _check_uid(value: str, path: str, errors: Errors) -> None:
    if not value:
        errors.invalid(path, value, "must not be empty")
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
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

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
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(key, rsa.RSAPublicKey):
        return key.key_size in (3072, 4096)
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.curve.name in ("secp256r1", "secp384r1", "secp521r1")
    return isinstance(key, ed25519.Ed25519PublicKey)


def _check_issued(spec: Object, status: Object, errors: Errors) -> None:
    """The chain and its times, in upstream's order: the first complaint is the last."""
    from cryptography import x509

    path, chain = "status.certificateChain", status.get("certificateChain") or ""
    if len(chain.encode()) > _CHAIN_SIZE:
        errors.too_long(path, _CHAIN_SIZE)
        return
    found = list(blocks(chain.encode()))
    if not found:
        errors.invalid(path, chain, "issued certificate chain must contain at least one certificate")
        return
    problem = _unread(found[0], "leaf")
    if problem:
        errors.invalid(path, chain, problem)
        return
    _check_leaf(x509.load_der_x509_certificate(found[0].data), spec, status, errors)
    problem = next(filter(None, (_unread(block, "intermediate") for block in found[1:])), "")
    if problem and not errors:
        errors.invalid(path, chain, problem)


def _unread(block: Block, which: str) -> str:
    """What is wrong with a block of a chain."""
    from cryptography import x509

    if block.label != "CERTIFICATE":
        return "issued certificate chain must consist entirely of CERTIFICATE PEM blocks"
    try:
        x509.load_der_x509_certificate(block.data)
    except ValueError:
        return f"{which} certificate does not parse as valid X.509"
    return ""


def _check_leaf(leaf: x509.Certificate, spec: Object, status: Object, errors: Errors) -> None:
    """It is for the key that was asked for, begins now, and the times are its own."""
    from cryptography import x509

    asked = x509.load_der_x509_csr(decoded(spec.get("stubPKCS10Request")))
    if leaf.public_key() != asked.public_key():
        detail = "leaf certificate was not issued to the requested public key"
        errors.invalid("status.certificateChain", status["certificateChain"], detail)
        return
    for field, detail in _TIMES.items():
        if not status.get(field):
            errors.required(f"status.{field}", detail)
    if errors:
        return
    begin, end = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    field, detail = _wrong_time(status, begin, end, int(spec.get("maxExpirationSeconds") or 0))
    if field:
        errors.invalid(f"status.{field}", status[field], detail)


def _wrong_time(status: Object, begin: float, end: float, most: int) -> tuple[str, str]:
    """The first field that is wrong, and why; ("", "") if none is."""
    if parse_time(status["notBefore"]) != begin:
        return "notBefore", "must be set to the NotBefore time encoded in the leaf certificate"
    if abs(begin - clock.time()) >= _SKEW:
        return "notBefore", "must be set to within 5 minutes of kube-apiserver's current time"
    if parse_time(status["notAfter"]) != end:
        return "notAfter", "must be set to the NotAfter time encoded in the leaf certificate"
    if end - begin < _LEAST:
        return "certificateChain", "leaf certificate lifetime must be >= 1 hour"
    if end - begin > most:
        return "certificateChain", f"leaf certificate lifetime must be <= spec.maxExpirationSeconds ({most})"
    refresh = parse_time(status["beginRefreshAt"])
    if refresh < begin + _MARGIN:
        return "beginRefreshAt", "must be at least 10 minutes after status.notBefore"
    if refresh > end - _MARGIN:
        return "beginRefreshAt", "must be at least 10 minutes before status.notAfter"
    return "", ""
