"""PersistentVolume, v1. Source: API reference, PersistentVolume v1 core."""

from __future__ import annotations

from kybern.api import validation
from kybern.api.cells import access_modes, at, text
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource
from kybern.api.types import Object
from kybern.process.clock import clock

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
SOURCES = (
    "awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "csi", "fc", "flexVolume", "flocker",
    "gcePersistentDisk", "glusterfs", "hostPath", "iscsi", "local", "nfs", "photonPersistentDisk", "portworxVolume",
    "quobyte", "rbd", "scaleIO", "storageos", "vsphereVolume",
)  # fmt: skip


def storage_class(obj: Object) -> str:
    """The class of a volume or claim: the old annotation wins over the field."""
    annotations = obj["metadata"].get("annotations") or {}
    return str(annotations.get(BETA_CLASS, at(obj, "spec", "storageClassName") or ""))


def phase(obj: Object) -> str:
    """The phase column of volumes and claims."""
    return "Terminating" if obj["metadata"].get("deletionTimestamp") else str(at(obj, "status", "phase") or "")


def _claim(obj: Object) -> str:
    claim = at(obj, "spec", "claimRef")
    return f"{claim.get('namespace', '')}/{claim.get('name', '')}" if claim else ""


class PersistentVolume(Resource):
    kind, plural = "PersistentVolume", "persistentvolumes"
    short_names = ("pv",)
    namespaced = False
    has_status = True
    has_generation = False
    columns = (
        Column("Capacity", "string", text("spec", "capacity", "storage")),
        Column("Access Modes", "string", lambda o: access_modes(at(o, "spec", "accessModes"))),
        Column("Reclaim Policy", "string", text("spec", "persistentVolumeReclaimPolicy")),
        Column("Status", "string", phase),
        Column("Claim", "string", _claim),
        Column("StorageClass", "string", storage_class),
        Column("VolumeAttributesClass", "string", text("spec", "volumeAttributesClassName", default="<unset>")),
        Column("Reason", "string", text("status", "reason")),
        AGE,
        Column("VolumeMode", "string", text("spec", "volumeMode", default="<unset>"), "", 1),
    )

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        status = obj.setdefault("status", {})
        status["phase"] = status.get("phase") or "Pending"
        spec["persistentVolumeReclaimPolicy"] = spec.get("persistentVolumeReclaimPolicy") or "Retain"
        spec.setdefault("volumeMode", "Filesystem")
        if spec.get("hostPath") is not None:
            spec["hostPath"].setdefault("type", "")

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": clock.stamp()}

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        if prep.subresource == "status" and at(obj, "status", "phase") != at(old, "status", "phase"):
            stamp, before = at(obj, "status", "lastPhaseTransitionTime"), at(old, "status", "lastPhaseTransitionTime")
            if stamp == before:
                obj["status"]["lastPhaseTransitionTime"] = clock.stamp()

    def validate(self, obj: Object, errors: Errors) -> None:
        spec = obj["spec"]
        check_access_modes(spec, errors)
        capacity = spec.get("capacity") or {}
        if not capacity:
            errors.required("spec.capacity")
        elif list(capacity) != ["storage"]:
            errors.unsupported("spec.capacity", capacity, ("storage",))
        validation.amounts(capacity, "spec.capacity", errors)
        policy = spec.get("persistentVolumeReclaimPolicy")
        path = "spec.persistentVolumeReclaimPolicy"
        validation.one_of(policy, ("Delete", "Recycle", "Retain"), path, errors)
        found = [source for source in SOURCES if spec.get(source) is not None]
        if not found:
            errors.required("spec", "must specify a volume type")
        for source in found[1:]:
            errors.forbidden(f"spec.{source}", "may not specify more than 1 volume type")
        if found == ["hostPath"] and spec["hostPath"].get("path") == "/" and policy == "Recycle":
            errors.forbidden(path, "may not be 'recycle' for a hostPath mount of '/'")
        if found == ["local"] and not at(spec, "nodeAffinity"):
            errors.required("spec.nodeAffinity", "Local volume requires node affinity")
        if spec.get("storageClassName"):
            validation.name(spec["storageClassName"], "spec.storageClassName", errors)
        check_volume_mode(spec, errors)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        spec, before = obj["spec"], old["spec"]
        changed = any(spec.get(source) != before.get(source) for source in SOURCES)
        if changed:
            errors.forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation")
        validation.unchanged(spec.get("volumeMode"), before.get("volumeMode"), "spec.volumeMode", errors)
        if before.get("nodeAffinity") is not None:
            validation.unchanged(spec.get("nodeAffinity"), before["nodeAffinity"], "spec.nodeAffinity", errors)


def check_access_modes(spec: Object, errors: Errors) -> None:
    """At least one access mode, all known, and ReadWriteOncePod alone."""
    modes = spec.get("accessModes") or []
    if not modes:
        errors.required("spec.accessModes", "at least 1 access mode is required")
    for index, mode in enumerate(modes):
        if mode not in ACCESS_MODES:
            errors.unsupported(f"spec.accessModes[{index}]", mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and len(set(modes)) > 1:
        detail = "may not use ReadWriteOncePod with other access modes"
        errors.forbidden("spec.accessModes", detail)


def check_volume_mode(spec: Object, errors: Errors) -> None:
    """Block or Filesystem."""
    mode = spec.get("volumeMode")
    if mode is not None and mode not in ("Block", "Filesystem"):
        errors.unsupported("spec.volumeMode", mode, ("Block", "Filesystem"))
