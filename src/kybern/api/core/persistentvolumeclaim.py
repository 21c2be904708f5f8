"""PersistentVolumeClaim, v1. Source: API reference, PersistentVolumeClaim v1 core."""

from __future__ import annotations

from kybern.api import meta, quantity, selectors, validation
from kybern.api.cells import access_modes, at, text
from kybern.api.core.persistentvolume import check_access_modes, check_volume_mode, phase, storage_class
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource
from kybern.api.types import Object

_IMMUTABLE = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)
_MUTABLE_WHEN_BOUND = ("resources", "volumeAttributesClassName")


def _capacity(obj: Object) -> str:
    return str(at(obj, "status", "capacity", "storage") or "") if at(obj, "spec", "volumeName") else ""


def _modes(obj: Object) -> str:
    return access_modes(at(obj, "status", "accessModes")) if at(obj, "spec", "volumeName") else ""


class PersistentVolumeClaim(Resource):
    kind, plural = "PersistentVolumeClaim", "persistentvolumeclaims"
    short_names = ("pvc",)
    has_status = True
    has_generation = False
    columns = (
        Column("Status", "string", phase),
        Column("Volume", "string", text("spec", "volumeName")),
        Column("Capacity", "string", _capacity),
        Column("Access Modes", "string", _modes),
        Column("StorageClass", "string", storage_class),
        Column("VolumeAttributesClass", "string", text("spec", "volumeAttributesClassName", default="<unset>")),
        AGE,
        Column("VolumeMode", "string", text("spec", "volumeMode", default="<unset>"), "", 1),
    )

    def default(self, obj: Object) -> None:
        spec, status = obj.setdefault("spec", {}), obj.setdefault("status", {})
        default_claim_spec(spec)
        status["phase"] = status.get("phase") or "Pending"

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {"phase": "Pending"}

    def validate(self, obj: Object, errors: Errors) -> None:
        validate_claim_spec(obj["spec"], errors)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        spec, before = dict(obj["spec"]), dict(old["spec"])
        bound = at(old, "status", "phase") == "Bound"
        # The volume controller names the volume, and the class may be filled in later, once.
        if not before.get("volumeName"):
            before["volumeName"] = spec.get("volumeName")
        if before.get("storageClassName") is None:
            before["storageClassName"] = spec.get("storageClassName")
        if bound:
            _check_growth(spec, before, at(old, "status", "capacity", "storage"), errors)
            spec, before = ({k: v for k, v in s.items() if k not in _MUTABLE_WHEN_BOUND} for s in (spec, before))
        if not meta.same(spec, before):
            errors.forbidden("spec", _IMMUTABLE)


def default_claim_spec(spec: Object) -> None:
    """Defaults of a claim's spec, also in the templates of stateful sets."""
    spec.setdefault("volumeMode", "Filesystem")


def validate_claim_spec(spec: Object, errors: Errors) -> None:
    """Rules of a claim's spec, at the path "spec"."""
    check_access_modes(spec, errors)
    selectors.validate_object(spec.get("selector"), "spec.selector", errors)
    storage = at(spec, "resources", "requests", "storage")
    if storage is None:
        errors.required("spec.resources[storage]")
    else:
        validation.amount(storage, "spec.resources[storage]", errors)
        try:
            if quantity.parse(storage) == 0:
                errors.invalid("spec.resources[storage]", str(storage), "must be greater than zero")
        except ValueError:
            pass
    if spec.get("storageClassName"):
        validation.name(spec["storageClassName"], "spec.storageClassName", errors)
    check_volume_mode(spec, errors)


def _check_growth(spec: Object, before: Object, capacity: str | None, errors: Errors) -> None:
    new, old = at(spec, "resources", "requests", "storage"), at(before, "resources", "requests", "storage")
    if new is None or old is None or quantity.compare(new, old) >= 0:
        return
    if capacity is None or quantity.compare(new, capacity) <= 0:
        errors.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")
