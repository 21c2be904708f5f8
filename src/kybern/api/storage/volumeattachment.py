"""VolumeAttachment, storage.k8s.io/v1. Source: API reference, VolumeAttachment v1 storage.k8s.io."""

from __future__ import annotations

from kybern.api import names, validation
from kybern.api.cells import at, text
from kybern.api.core.persistentvolume_validation import validate_volume_spec
from kybern.api.field import Errors
from kybern.api.resource import AGE, METADATA, Column, Resource
from kybern.api.types import Object

_METADATA_SIZE, _MESSAGE_SIZE = 256 * 1024, 1024
_ONE_SOURCE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"


class VolumeAttachment(Resource):
    group, kind, plural = "storage.k8s.io", "VolumeAttachment", "volumeattachments"
    versioned_updates = True
    namespaced = False
    has_status = True
    status_keeps = METADATA
    has_generation = False
    columns = (
        Column("Attacher", "string", text("spec", "attacher"), format="name"),
        Column("PV", "string", text("spec", "source", "persistentVolumeName")),
        Column("Node", "string", text("spec", "nodeName")),
        Column("Attached", "boolean", lambda o: bool(at(o, "status", "attached"))),
        AGE,
    )

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})
        # The schema asks for it; upstream writes a status wherever the object has none.
        obj.setdefault("status", {}).setdefault("attached", False)

    def validate(self, obj: Object, errors: Errors) -> None:
        spec = obj["spec"]
        validation.csi_driver(spec.get("attacher"), "spec.attacher", errors)
        _check_source(spec.get("source") or {}, "spec.source", errors)
        node = spec.get("nodeName") or ""
        for problem in names.dns_subdomain(node):
            errors.invalid("spec.nodeName", node, problem)
        _check_status(obj.get("status") or {}, errors)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        validation.unchanged(obj["spec"], old["spec"], "spec", errors)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        _check_status(obj.get("status") or {}, errors)


def _check_source(source: Object, path: str, errors: Errors) -> None:
    inline, name = source.get("inlineVolumeSpec"), source.get("persistentVolumeName")
    if inline is None and name is None:
        errors.required(path, _ONE_SOURCE)
    elif inline is not None and name is not None:
        errors.forbidden(path, _ONE_SOURCE)
    elif inline is not None:
        validate_volume_spec(inline, "", f"{path}.inlineVolumeSpec", errors, inline=True)
    elif not name:
        errors.required(f"{path}.persistentVolumeName", "must specify non empty persistentVolumeName")
    if name is not None:
        for problem in names.dns_subdomain(name):
            errors.invalid(f"{path}.persistentVolumeName", name, problem)


def _check_status(status: Object, errors: Errors) -> None:
    found = status.get("attachmentMetadata") or {}
    if sum(len(key.encode()) + len(value.encode()) for key, value in found.items()) > _METADATA_SIZE:
        errors.too_long("status.attachmentMetadata", _METADATA_SIZE)
    for field in ("attachError", "detachError"):
        error = status.get(field) or {}
        if len((error.get("message") or "").encode()) > _MESSAGE_SIZE:
            # Upstream names the other limit.
            errors.too_long(f"status.{field}.message", _METADATA_SIZE)
        code = error.get("errorCode")
        if code is not None and code < 0:
            errors.invalid(f"status.{field}.errorCode", code, f"must be between 0 and {2**31 - 1}, inclusive")
