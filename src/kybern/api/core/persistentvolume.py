"""PersistentVolume, v1. Source: API reference, PersistentVolume v1 core."""

from __future__ import annotations

import copy

from kybern.api import meta, validation
from kybern.api.cells import access_modes, at, text
from kybern.api.core.node_labels import term_warnings
from kybern.api.core.persistentvolume_validation import SOURCES, validate_volume_spec
from kybern.api.core.podspec_defaults import default_legacy_volume
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource
from kybern.api.types import Object
from kybern.process import features
from kybern.process.clock import clock

PROTECTION = "kubernetes.io/pv-protection"
"""The finalizer that keeps a volume while it is bound."""
BETA_CLASS = "volume.beta.kubernetes.io/storage-class"
_EXPAND = "controllerExpandSecretRef"
_LABELS = {
    "beta.kubernetes.io/arch": "kubernetes.io/arch",
    "beta.kubernetes.io/os": "kubernetes.io/os",
    "beta.kubernetes.io/instance-type": "node.kubernetes.io/instance-type",
    "failure-domain.beta.kubernetes.io/region": "topology.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone": "topology.kubernetes.io/zone",
}
"""Labels that were renamed when they became stable."""
_GONE = {
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    "storageos": "deprecated in v1.22, non-functional in v1.25+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    "cephfs": "deprecated in v1.28, non-functional in v1.31+",
    "rbd": "deprecated in v1.28, non-functional in v1.31+",
}


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
        default_legacy_volume(spec)

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {"phase": "Pending", "lastPhaseTransitionTime": clock.stamp()}
        _warn(obj, prep)

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        if not prep.subresource:
            _warn(obj, prep)
        if prep.subresource == "status" and at(obj, "status", "phase") != at(old, "status", "phase"):
            stamp, before = at(obj, "status", "lastPhaseTransitionTime"), at(old, "status", "lastPhaseTransitionTime")
            if stamp == before:
                obj["status"]["lastPhaseTransitionTime"] = clock.stamp()

    def validate(self, obj: Object, errors: Errors) -> None:
        validate_volume_spec(obj["spec"], obj["metadata"].get("name") or "", "spec", errors)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        spec, before = obj["spec"], old["spec"]
        if any(not meta.same(_source(spec, before, one), before.get(one)) for one in SOURCES):
            errors.forbidden("spec.persistentvolumesource", "spec.persistentvolumesource is immutable after creation")
        validation.unchanged(spec.get("volumeMode"), before.get("volumeMode"), "volumeMode", errors)
        if before.get("nodeAffinity") is not None and not features.enabled("MutablePVNodeAffinity"):
            affinity = spec.get("nodeAffinity")
            if not meta.same(affinity, _renamed(before["nodeAffinity"], affinity)):
                detail = f"{validation.IMMUTABLE}, except for updating from beta label to GA"
                errors.invalid("nodeAffinity", affinity, detail)
        attributes = "volumeAttributesClassName"
        if before.get(attributes) is not None and spec.get(attributes) is None:
            errors.forbidden(f"spec.{attributes}", "update from non-nil value to nil is forbidden")


def _source(spec: Object, before: Object, name: str) -> Object | None:
    """A source to compare with what it was: how CSI volumes grow may be said later, once."""
    source = spec.get(name)
    if name != "csi" or not source or (before.get(name) or {}).get(_EXPAND) is not None:
        return source
    return {key: value for key, value in source.items() if key != _EXPAND}


def _renamed(before: Object, affinity: Object | None) -> Object:
    """The old affinity with those deprecated labels renamed that the new one has by their present names."""
    made: Object = copy.deepcopy(before)
    for old, new in zip(_expressions(made), _expressions(affinity), strict=False):
        if new.get("key") and new["key"] == _LABELS.get(old.get("key", "")):
            old["key"] = new["key"]
    return made


def _expressions(affinity: Object | None) -> list[Object]:
    terms = at(affinity, "required", "nodeSelectorTerms") or ()
    return [expression for term in terms for expression in term.get("matchExpressions") or ()]


def _warn(obj: Object, prep: Preparation) -> None:
    spec = obj["spec"]
    if BETA_CLASS in (obj["metadata"].get("annotations") or {}):
        path = f"metadata.annotations[{BETA_CLASS}]"
        prep.warnings.append(f'{path}: deprecated since v1.8; use "storageClassName" attribute instead')
    if spec.get("persistentVolumeReclaimPolicy") == "Recycle":
        prep.warnings.append(
            "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. "
            "Instead, the recommended approach is to use dynamic provisioning."
        )
    prep.warnings += [f"spec.{name}: {said}" for name, said in _GONE.items() if spec.get(name) is not None]
    for i, term in enumerate(at(spec, "nodeAffinity", "required", "nodeSelectorTerms") or ()):
        prep.warnings += term_warnings(term, f"spec.nodeAffinity.required.nodeSelectorTerms[{i}]")
