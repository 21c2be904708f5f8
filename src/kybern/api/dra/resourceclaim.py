"""ResourceClaim, resource.k8s.io/v1, v1beta2 and v1beta1. Source: API reference, ResourceClaim v1 resource.k8s.io."""

from __future__ import annotations

from kybern.api import validation
from kybern.api.cells import at
from kybern.api.dra import conversion
from kybern.api.dra.claims import default_claim, default_tolerations, validate_claim
from kybern.api.dra.claimstatus import device_key, validate_claim_status
from kybern.api.field import Errors
from kybern.api.resource import AGE, METADATA, Column, Preparation, Resource
from kybern.api.types import Object


def _state(obj: Object) -> str:
    deleted, allocated = bool(obj["metadata"].get("deletionTimestamp")), at(obj, "status", "allocation") is not None
    states = ["deleted"] if deleted else []
    if allocated:
        states += ["allocated", "reserved"] if at(obj, "status", "reservedFor") else ["allocated"]
    elif not deleted:
        states.append("pending")
    return ",".join(states)


class ResourceClaim(Resource):
    group, kind, plural = "resource.k8s.io", "ResourceClaim", "resourceclaims"
    versions = ("v1", "v1beta2", "v1beta1")
    deprecated = conversion.DEPRECATED
    reshapes = frozenset({f"resource.k8s.io/{conversion.FLAT}"})
    has_status = True
    status_keeps = METADATA
    has_generation = False
    columns = (Column("State", "string", _state), AGE)

    def default(self, obj: Object) -> None:
        default_claim(obj.setdefault("spec", {}))
        for result in at(obj, "status", "allocation", "devices", "results") or ():
            default_tolerations(result)

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {}

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        if prep.subresource == "status":
            _drop_deallocated(obj, old)

    def validate(self, obj: Object, errors: Errors) -> None:
        validate_claim(obj["spec"], "spec", errors)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        validation.unchanged(obj["spec"], old["spec"], "spec", errors)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        validate_claim_status(obj, old, errors)

    def convert(self, obj: Object, version: str) -> Object:
        here, made = conversion.version_of(obj), super().convert(obj, version)
        if here != version and conversion.FLAT in (here, version):
            change = conversion.flat_claim if version == conversion.FLAT else conversion.full_claim
            made["spec"] = change(made.get("spec") or {})
        return made


def _drop_deallocated(obj: Object, old: Object) -> None:
    """What was reported of devices goes with their allocation."""
    status = obj.get("status") or {}
    now, before = (
        {device_key(one)[:3] for one in at(claim, "status", "allocation", "devices", "results") or ()}
        for claim in (obj, old)
    )
    gone = before - now
    if gone and status.get("devices"):
        kept = [one for one in status["devices"] if device_key(one)[:3] not in gone]
        obj["status"] = {key: value for key, value in status.items() if key != "devices"}
        if kept:
            obj["status"]["devices"] = kept
