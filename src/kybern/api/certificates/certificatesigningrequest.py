"""CertificateSigningRequest, certificates.k8s.io/v1. Source: API reference, CertificateSigningRequest v1.

Nobody changes the spec. Who approves writes conditions through `approval`, who signs writes the certificate (and
other conditions) through `status`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kybern.api import durations
from kybern.api.cells import at, text
from kybern.api.certificates import requests
from kybern.api.certificates.signernames import check_signer
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource, Subresource
from kybern.api.types import Object
from kybern.process.clock import clock

APISERVER_CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET_CLIENT = "kubernetes.io/kube-apiserver-client-kubelet"
KUBELET_SERVING = "kubernetes.io/kubelet-serving"
LEGACY_UNKNOWN = "kubernetes.io/legacy-unknown"

APPROVED, DENIED, FAILED = "Approved", "Denied", "Failed"

KEY_USAGES = (
    "signing", "digital signature", "content commitment", "key encipherment", "key agreement", "data encipherment",
    "cert sign", "crl sign", "encipher only", "decipher only",
)  # fmt: skip
EXTENDED_USAGES = (
    "any", "server auth", "client auth", "code signing", "email protection", "s/mime", "ipsec end system",
    "ipsec tunnel", "ipsec user", "timestamping", "ocsp signing", "microsoft sgc", "netscape sgc",
)  # fmt: skip
MIN_SECONDS = 600

_LASTING = (APPROVED, DENIED, FAILED)
"""Conditions that are True or absent, and never go away again."""


def condition(obj: Object, kind: str) -> Object | None:
    """The request's condition of a type, if it has one."""
    found: list[Object] = [one for one in at(obj, "status", "conditions") or () if one.get("type") == kind]
    return found[0] if found else None


def _progress(obj: Object) -> str:
    word = "Denied" if condition(obj, DENIED) else "Approved" if condition(obj, APPROVED) else "Pending"
    word += ",Failed" if condition(obj, FAILED) else ""
    return f"{word},Issued" if at(obj, "status", "certificate") else word


def _duration(obj: Object) -> str:
    seconds = at(obj, "spec", "expirationSeconds")
    return "<none>" if seconds is None else durations.human(seconds)


class CertificateSigningRequest(Resource):
    group, kind, plural = "certificates.k8s.io", "CertificateSigningRequest", "certificatesigningrequests"
    short_names = ("csr",)
    namespaced = False
    has_status = True
    has_generation = False
    validates_name = "path_segment"
    subresources = (
        Subresource(
            "approval", "CertificateSigningRequest", group="certificates.k8s.io", verbs=("get", "patch", "update")
        ),
    )
    status_writers = frozenset({"approval"})
    columns = (
        AGE,
        Column("SignerName", "string", text("spec", "signerName", default="<none>"), "Who is asked to sign"),
        Column("Requestor", "string", text("spec", "username"), "Who asks"),
        Column("RequestedDuration", "string", _duration, "How long the certificate is asked to be good for"),
        Column("Condition", "string", _progress, "How far the request has come"),
    )
    selectable_fields = ("spec.signerName",)

    def selectable(self, obj: Object) -> Mapping[str, str]:
        return {"spec.signerName": at(obj, "spec", "signerName") or ""}

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})
        obj.setdefault("status", {})

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        asked = {key: value for key, value in obj["spec"].items() if key not in ("username", "uid", "groups", "extra")}
        who: Object = {"username": prep.user, "uid": prep.uid, "groups": list(prep.groups)}
        who["extra"] = {key: list(values) for key, values in prep.extra.items()}
        obj["spec"] = {**asked, **{key: value for key, value in who.items() if value}}
        obj["status"] = {}

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        obj["spec"] = old["spec"]
        if not prep.subresource:
            return
        before = at(old, "status", "conditions") or []
        conditions = [dict(one) for one in at(obj, "status", "conditions") or ()]
        if prep.subresource == "approval":
            obj["status"] = dict(old.get("status") or {})
        else:
            for kind in (APPROVED, DENIED):
                _keep(kind, conditions, before)
        _stamp(conditions, before)
        obj["status"] = {**obj["status"], "conditions": conditions}
        if not conditions:
            del obj["status"]["conditions"]

    def validate(self, obj: Object, errors: Errors) -> None:
        spec, status = obj["spec"], obj.get("status") or {}
        try:
            requests.verified(spec.get("request"))
        except ValueError as error:
            errors.invalid("spec.request", spec.get("request"), str(error))
        _check_usages(spec.get("usages") or [], errors)
        if spec.get("signerName") == LEGACY_UNKNOWN:
            detail = "the legacy signerName is not allowed via this API version"
            errors.invalid("spec.signerName", LEGACY_UNKNOWN, detail)
        else:
            check_signer(spec.get("signerName") or "", errors)
        seconds = spec.get("expirationSeconds")
        if seconds is not None and seconds < MIN_SECONDS:
            said = "may not specify a duration less than 600 seconds (10 minutes)"
            errors.invalid("spec.expirationSeconds", seconds, said)
        _check_conditions(status.get("conditions") or [], errors)
        if status.get("certificate"):
            try:
                requests.check_certificates(requests.decoded(status["certificate"]))
            except ValueError as error:
                errors.invalid("status.certificate", "<certificate data>", str(error))

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        _check_lasting(obj, old, errors)

    def validate_part(self, subresource: str, obj: Object, old: Object, errors: Errors) -> None:
        _check_lasting(obj, old, errors)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        self.validate(obj, errors)
        _check_lasting(obj, old, errors)
        for kind in (APPROVED, DENIED):
            if _count(obj, kind) > _count(old, kind):
                errors.forbidden("status.conditions", f'updates may not add a condition of type "{kind}"')
        before, after = at(old, "status", "certificate"), at(obj, "status", "certificate")
        if before and before != after:
            errors.forbidden("status.certificate", "updates may not modify existing certificate content")


def _keep(kind: str, conditions: list[Object], before: list[Object]) -> None:
    """Conditions of the type stay as they were, unless some came or went: validation refuses that."""
    was = [one for one in before if one.get("type") == kind]
    places = [index for index, one in enumerate(conditions) if one.get("type") == kind]
    if len(was) == len(places):
        for index, one in zip(places, was, strict=True):
            conditions[index] = one


def _stamp(conditions: list[Object], before: list[Object]) -> None:
    """Fill in the times that are missing."""
    now = clock.stamp()
    for one in conditions:
        one["lastUpdateTime"] = one.get("lastUpdateTime") or now
        if not one.get("lastTransitionTime"):
            same = [
                old["lastTransitionTime"]
                for old in before
                if old.get("lastTransitionTime")
                and (old.get("type"), old.get("status")) == (one.get("type"), one.get("status"))
            ]
            one["lastTransitionTime"] = same[0] if same else now


def _check_usages(usages: list[str], errors: Errors) -> None:
    if not usages:
        errors.required("spec.usages")
    known = (*KEY_USAGES, *EXTENDED_USAGES)
    for index, usage in enumerate(usages):
        if usage not in known:
            errors.unsupported(f"spec.usages[{index}]", usage, known)
    for index, usage in enumerate(usages):
        if usage in usages[:index]:
            errors.duplicate(f"spec.usages[{index}]", usage)


def _check_conditions(conditions: list[Any], errors: Errors) -> None:
    seen: list[str] = []
    for index, one in enumerate(conditions):
        path, kind, status = f"status.conditions[{index}]", one.get("type") or "", one.get("status") or ""
        allowed = ("True",) if kind in _LASTING else ("False", "True", "Unknown")
        if not kind:
            errors.required(f"{path}.type")
        if not status:
            errors.required(f"{path}.status")
        elif status not in allowed:
            errors.unsupported(f"{path}.status", status, allowed)
        if {APPROVED: DENIED, DENIED: APPROVED}.get(kind) in seen:
            errors.invalid("status.conditions", kind, "Approved and Denied conditions are mutually exclusive")
        if kind in seen:
            errors.duplicate(f"{path}.type", kind)
        seen.append(kind)


def _check_lasting(obj: Object, old: Object, errors: Errors) -> None:
    for kind in _LASTING:
        if _count(obj, kind) < _count(old, kind):
            errors.forbidden("status.conditions", f'updates may not remove a condition of type "{kind}"')


def _count(obj: Object, kind: str) -> int:
    return sum(one.get("type") == kind for one in at(obj, "status", "conditions") or ())
