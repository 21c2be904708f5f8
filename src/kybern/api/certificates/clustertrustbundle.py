"""ClusterTrustBundle, certificates.k8s.io/v1beta1 and v1alpha1: certificates that a cluster's pods may trust.

Source: API reference, ClusterTrustBundle v1beta1 certificates.k8s.io; KEP-3257.
"""

from __future__ import annotations

from collections.abc import Mapping

from kybern.api import names, validation
from kybern.api.cells import at, text
from kybern.api.certificates.requests import blocks
from kybern.api.certificates.signernames import check_signer
from kybern.api.field import Errors
from kybern.api.resource import Column, Deprecated, Resource
from kybern.api.types import Object

_SIZE = 1024 * 1024
_PATH = "spec.trustBundle"


class ClusterTrustBundle(Resource):
    group, kind, plural = "certificates.k8s.io", "ClusterTrustBundle", "clustertrustbundles"
    versions = ("v1beta1", "v1alpha1")
    gate = "ClusterTrustBundle"
    deprecated = {"v1beta1": Deprecated(36, 39), "v1alpha1": Deprecated(34, 37)}
    namespaced = False
    has_generation = False
    validates_name = "path_segment"
    columns = (Column("SignerName", "string", text("spec", "signerName")),)
    selectable_fields = ("spec.signerName",)

    def selectable(self, obj: Object) -> Mapping[str, str]:
        return {"spec.signerName": str(at(obj, "spec", "signerName") or "")}

    def validate(self, obj: Object, errors: Errors) -> None:
        _check_name(obj, errors)
        _check_bundle(at(obj, "spec", "trustBundle") or "", errors)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        bundle, signer = at(obj, "spec", "trustBundle"), at(obj, "spec", "signerName")
        _check_name(obj, errors)
        if bundle != at(old, "spec", "trustBundle"):
            _check_bundle(bundle or "", errors)
        validation.unchanged(signer, at(old, "spec", "signerName"), "spec.signerName", errors)


def _check_name(obj: Object, errors: Errors) -> None:
    """Bundles of a signer have its name in theirs, and no others have a colon."""
    name, signer = obj["metadata"].get("name") or "", at(obj, "spec", "signerName") or ""
    if signer:
        check_signer(signer, errors)
        prefix = f"{signer.replace('/', ':')}:"
        problems = [f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"]
        if name.startswith(prefix):
            problems = names.dns_subdomain(name.removeprefix(prefix))
    elif ":" in name:
        problems = ['ClusterTrustBundle without signer name must not have ":" in its name']
    else:
        problems = names.dns_subdomain(name)
    for problem in problems:
        errors.invalid("metadata.name", name, problem)


def _check_bundle(bundle: str, errors: Errors) -> None:
    if len(bundle.encode()) > _SIZE:
        errors.too_long(_PATH, _SIZE)
        return
    seen: dict[bytes, list[int]] = {}
    before = len(errors)
    for index, block in enumerate(blocks(bundle.encode())):
        problem = "" if block.label == "CERTIFICATE" else f"has bad block type: {block.label}"
        if not problem and block.headers:
            problem = "has PEM block headers"
        if not problem:
            problem = _problem(block.data)
        if not problem:
            seen.setdefault(block.data, []).append(index)
        else:
            errors.invalid(_PATH, "<value omitted>", f"entry {index} {problem}")
    twice = [places for places in seen.values() if len(places) > 1]
    for places in twice:
        listed = " ".join(map(str, places))
        errors.invalid(_PATH, "<value omitted>", f"duplicate trust anchor (indices [{listed}])")
    if not seen and len(errors) == before:
        errors.invalid(_PATH, "<value omitted>", "at least one trust anchor must be provided")


def _problem(data: bytes) -> str:
    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(data)
    except ValueError:
        return "does not parse as X.509"
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, ValueError):
        return "does not have the CA bit set"
    return "" if constraints.ca else "does not have the CA bit set"
