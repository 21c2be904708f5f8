"""StorageClass, storage.k8s.io/v1. Source: API reference, StorageClass v1 storage.k8s.io."""

from __future__ import annotations

from kybern.api import names, validation
from kybern.api.cells import text
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Resource
from kybern.api.types import Object

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_BETA_DEFAULT_CLASS = "storageclass.beta.kubernetes.io/is-default-class"
_MAX_PARAMETERS, _MAX_PARAMETERS_SIZE = 512, 256 * 1024


def is_default(obj: Object) -> bool:
    """Whether claims without a class get this one."""
    annotations = obj["metadata"].get("annotations") or {}
    return "true" in (annotations.get(DEFAULT_CLASS), annotations.get(_BETA_DEFAULT_CLASS))


class StorageClass(Resource):
    group, kind, plural = "storage.k8s.io", "StorageClass", "storageclasses"
    short_names = ("sc",)
    namespaced = False
    has_generation = False
    columns = (
        Column("Provisioner", "string", text("provisioner")),
        Column("ReclaimPolicy", "string", text("reclaimPolicy", default="Delete")),
        Column("VolumeBindingMode", "string", text("volumeBindingMode", default="<unset>")),
        Column("AllowVolumeExpansion", "string", lambda o: bool(o.get("allowVolumeExpansion"))),
        AGE,
    )

    def display_name(self, obj: Object) -> str:
        return super().display_name(obj) + (" (default)" if is_default(obj) else "")

    def default(self, obj: Object) -> None:
        obj.setdefault("reclaimPolicy", "Delete")
        obj.setdefault("volumeBindingMode", "Immediate")

    def validate(self, obj: Object, errors: Errors) -> None:
        provisioner = obj.get("provisioner") or ""
        if not provisioner:
            errors.required("provisioner")
        else:
            for problem in names.qualified_name(provisioner.lower()):
                errors.invalid("provisioner", provisioner, problem)
        parameters = obj.get("parameters") or {}
        if len(parameters) > _MAX_PARAMETERS:
            detail = f"may not contain more than {_MAX_PARAMETERS} provisioner parameters"
            errors.invalid("parameters", "Provisioner Parameters exceeded max allowed", detail)
        for key in parameters:
            if not key:
                errors.invalid("parameters", key, "field can not be empty.")
        if sum(len(k) + len(v) for k, v in parameters.items()) > _MAX_PARAMETERS_SIZE:
            errors.too_long("parameters", _MAX_PARAMETERS_SIZE)
        validation.one_of(obj.get("reclaimPolicy"), ("Delete", "Retain"), "reclaimPolicy", errors)
        validation.one_of(
            obj.get("volumeBindingMode"), ("Immediate", "WaitForFirstConsumer"), "volumeBindingMode", errors
        )

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        if (obj.get("parameters") or {}) != (old.get("parameters") or {}):
            errors.forbidden("parameters", "updates to parameters are forbidden.")
        if obj.get("provisioner") != old.get("provisioner"):
            errors.forbidden("provisioner", "updates to provisioner are forbidden.")
        if obj.get("reclaimPolicy") != old.get("reclaimPolicy"):
            errors.forbidden("reclaimPolicy", "updates to reclaimPolicy are forbidden.")
        validation.unchanged(obj.get("volumeBindingMode"), old.get("volumeBindingMode"), "volumeBindingMode", errors)
