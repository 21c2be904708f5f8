"""PersistentVolumeClaim, v1. Source: API reference, PersistentVolumeClaim v1 core."""

from __future__ import annotations

from kybern.api import meta, names, quantity, validation
from kybern.api.cells import access_modes, at, text
from kybern.api.core.claim_validation import default_claim_spec, normalize_sources, validate_claim_spec
from kybern.api.core.persistentvolume import BETA_CLASS, phase, storage_class
from kybern.api.core.resources_validation import is_native
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource
from kybern.api.types import Object

PROTECTION = "kubernetes.io/pvc-protection"
"""The finalizer that keeps a claim while a pod uses it."""
_IMMUTABLE = (
    "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
)
_RESIZES = (
    "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizePending", "NodeResizeInProgress",
    "NodeResizeInfeasible",
)  # fmt: skip
_CLASS, _ATTRIBUTES = "storageClassName", "volumeAttributesClassName"


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
        normalize_sources(obj["spec"], created=True)
        _warn(obj, prep)

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        if not prep.subresource:
            normalize_sources(obj["spec"])
            _warn(obj, prep)

    def validate(self, obj: Object, errors: Errors) -> None:
        validate_claim_spec(obj["spec"], errors)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        groups = (at(old, "spec", source, "apiGroup") for source in ("dataSource", "dataSourceRef"))
        validate_claim_spec(obj["spec"], errors, any_group=any(group is not None for group in groups))
        self.validate_update(obj, old, errors)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        spec, before, was = dict(obj["spec"]), dict(old["spec"]), old["metadata"].get("annotations") or {}
        now = obj["metadata"].get("annotations") or {}
        # The volume controller names the volume, once; the class may be filled in later.
        if not before.get("volumeName"):
            before["volumeName"] = spec.get("volumeName")
        if was.get(BETA_CLASS) and before.get(_CLASS) is None and spec.get(_CLASS) == was[BETA_CLASS]:
            del spec[_CLASS]
        else:
            if was.get(BETA_CLASS, "") != now.get(BETA_CLASS, ""):
                path = f"metadata.annotations[{BETA_CLASS}]"
                errors.invalid(path, now.get(BETA_CLASS, ""), validation.IMMUTABLE)
            if before.get(_CLASS) is None and not was.get(BETA_CLASS) and spec.get(_CLASS) is not None:
                del spec[_CLASS]
        if at(obj, "status", "phase") == "Bound":
            spec, before = _without_mutable(spec), _without_mutable(before)
        if not meta.same(spec, before):
            errors.forbidden("spec", _IMMUTABLE)
        _check_growth(obj["spec"], old, errors)
        validation.unchanged(obj["spec"].get("volumeMode"), old["spec"].get("volumeMode"), "volumeMode", errors)
        if at(old, "status", "currentVolumeAttributesClassName") is not None:
            _check_attributes(obj["spec"].get(_ATTRIBUTES), old["spec"].get(_ATTRIBUTES), errors)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        status = obj.get("status") or {}
        for name, stage in (status.get("allocatedResourceStatuses") or {}).items():
            _check_resource(name, "status.allocatedResourceStatuses", errors)
            if stage not in _RESIZES:
                # It is the name that upstream shows.
                errors.unsupported("status.allocatedResourceStatuses", name, _RESIZES)
        for name, amount in (status.get("allocatedResources") or {}).items():
            _check_resource(name, "status.allocatedResources", errors)
            validation.amount(amount, f"status.allocatedResources[{name}]", errors)


def _without_mutable(spec: Object) -> Object:
    """What of a bound claim's spec stays: all but how much it asks for and its volume's attributes."""
    resources = dict(spec.get("resources") or {})
    resources["requests"] = {k: v for k, v in (resources.get("requests") or {}).items() if k != "storage"}
    return {**spec, "resources": resources, _ATTRIBUTES: None}


def _check_growth(spec: Object, old: Object, errors: Errors) -> None:
    new, before = (at(one, "resources", "requests", "storage") for one in (spec, old["spec"]))
    if new is None or before is None or quantity.compare(new, before) >= 0:
        return
    # After an expansion that failed, less may be asked for, but more than there is (KEP-1790).
    if quantity.compare(new, at(old, "status", "capacity", "storage") or "0") <= 0:
        errors.forbidden("spec.resources.requests.storage", "field can not be less than status.capacity")


def _check_attributes(new: str | None, old: str | None, errors: Errors) -> None:
    """A class that the volume has by now is not given up, only changed."""
    if new != old and not new:
        what = "nil" if new is None else "empty string"
        detail = f"update to {what} is forbidden when status.currentVolumeAttributesClassName is not nil"
        errors.forbidden(f"spec.{_ATTRIBUTES}", detail)


def _check_resource(name: str, path: str, errors: Errors) -> None:
    problems = names.qualified_name(name)
    for problem in problems:
        errors.invalid(path, name, problem)
    if not problems and is_native(name) and name != "storage":
        errors.unsupported(path, name, ("storage",))


def _warn(obj: Object, prep: Preparation) -> None:
    if BETA_CLASS in (obj["metadata"].get("annotations") or {}):
        path = f"metadata.annotations[{BETA_CLASS}]"
        prep.warnings.append(f'{path}: deprecated since v1.8; use "storageClassName" attribute instead')
    storage = at(obj, "spec", "resources", "requests", "storage")
    if storage is not None and quantity.milli(storage) % 1000:
        path = "spec.resources.requests[storage]"
        prep.warnings.append(f'{path}: fractional byte value "{storage}" is invalid, must be an integer')
