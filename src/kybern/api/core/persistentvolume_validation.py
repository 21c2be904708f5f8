"""Rules of a persistent volume's spec, which a VolumeAttachment may hold inline.

Source: API reference, PersistentVolumeSpec v1 core. Sources that pods' volumes have too are checked like those.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable

from kybern.api import names, validation
from kybern.api.core.claim_validation import VOLUME_MODES, check_access_modes
from kybern.api.core.podspec_checks import all_set, follows, no_backsteps, required
from kybern.api.core.scheduling_validation import validate_node_selector
from kybern.api.core.volumes_validation import check_iscsi_length, check_source
from kybern.api.field import Errors
from kybern.api.types import Object

_INLINE = "in the context of inline volumes"
_POLICIES = ("Delete", "Recycle", "Retain")
_SECRETS = ("controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef")


def validate_volume_spec(spec: Object, name: str, path: str, errors: Errors, *, inline: bool = False) -> None:
    """The spec of the volume `name`; `inline`: as a VolumeAttachment holds it, where only CSI is known."""
    if inline:
        _check_inline(spec, path, errors)
    check_access_modes(spec, path, errors)
    if not inline:
        _check_capacity(spec.get("capacity") or {}, f"{path}.capacity", errors)
    policy = spec.get("persistentVolumeReclaimPolicy")
    if policy and inline and policy != "Retain":
        errors.forbidden(f"{path}.persistentVolumeReclaimPolicy", f"may only be Retain {_INLINE}")
    elif policy and not inline and policy not in _POLICIES:
        errors.unsupported(f"{path}.persistentVolumeReclaimPolicy", policy, _POLICIES)
    _check_affinity(spec.get("nodeAffinity"), f"{path}.nodeAffinity", inline, errors)
    _check_sources(spec, name, path, errors)
    host_path = (spec.get("hostPath") or {}).get("path") or ""
    if policy == "Recycle" and host_path.startswith("/") and not posixpath.normpath(host_path).strip("/"):
        detail = "may not be 'recycle' for a hostPath mount of '/'"
        errors.forbidden(f"{path}.persistentVolumeReclaimPolicy", detail)
    _check_classes(spec, path, inline, errors)


def _check_inline(spec: Object, path: str, errors: Errors) -> None:
    for field in ("claimRef", "capacity"):
        if spec.get(field):
            errors.forbidden(f"{path}.{field}", f"may not be specified {_INLINE}")
    if spec.get("csi") is None:
        errors.required(f"{path}.csi", f"has to be specified {_INLINE}")


def _check_capacity(capacity: Object, path: str, errors: Errors) -> None:
    if not capacity:
        errors.required(path)
    if list(capacity) != ["storage"]:
        errors.unsupported(path, capacity, ("storage",))
    for name, amount in capacity.items():
        validation.positive_amount(amount, f"{path}[{name}]", errors)


def _check_affinity(affinity: Object | None, path: str, inline: bool, errors: Errors) -> None:
    if affinity is None:
        return
    if inline:
        errors.forbidden(path, f"may not be specified {_INLINE}")
    elif affinity.get("required") is None:
        errors.required(f"{path}.required", "must specify required node constraints")
    else:
        validate_node_selector(affinity["required"], f"{path}.required", errors)


def _check_sources(spec: Object, name: str, path: str, errors: Errors) -> None:
    found = [source for source in SOURCES if spec.get(source) is not None]
    if not found:
        errors.required(path, "must specify a volume type")
        return
    first, *others = found
    _check_source(first, spec, name, path, errors)
    for other in others:
        errors.forbidden(f"{path}.{_REFUSED_AS.get(other, other)}", "may not specify more than 1 volume type")


def _check_source(kind: str, spec: Object, name: str, path: str, errors: Errors) -> None:
    source, own = spec[kind], _OWN.get(kind)
    if own is not None:
        own(source, f"{path}.{kind}", errors)
    else:
        check_source(kind, source, path, errors)
    if kind == "iscsi":
        check_iscsi_length({"name": name, "iscsi": source}, path, errors)
    if kind == "local" and spec.get("nodeAffinity") is None:
        errors.required(f"{path}.nodeAffinity", "Local volume requires node affinity")


def _check_classes(spec: Object, path: str, inline: bool, errors: Errors) -> None:
    storage, mode, attributes = (
        spec.get(key) for key in ("storageClassName", "volumeMode", "volumeAttributesClassName")
    )
    if storage and inline:
        errors.forbidden(f"{path}.storageClassName", f"may not be specified {_INLINE}")
    elif storage:
        follows(names.dns_subdomain, storage, f"{path}.storageClassName", errors)
    if mode is not None and inline and mode != "Filesystem":
        errors.forbidden(f"{path}.volumeMode", f"may not specify volumeMode other than Filesystem {_INLINE}")
    elif mode is not None and not inline and mode not in VOLUME_MODES:
        errors.unsupported(f"{path}.volumeMode", mode, VOLUME_MODES)
    if attributes is None:
        return
    if not attributes:
        errors.required(f"{path}.volumeAttributesClassName", "an empty string is disallowed")
    else:
        follows(names.dns_subdomain, attributes, f"{path}.volumeAttributesClassName", errors)
    if spec.get("csi") is None:
        errors.required(f"{path}.csi", "has to be specified when using volumeAttributesClassName")


def _secret_of_namespace(source: Object, path: str, errors: Errors) -> None:
    if source.get("secretRef") is not None:
        all_set(source["secretRef"], ("name", "namespace"), f"{path}.secretRef", errors)


def _cinder(source: Object, path: str, errors: Errors) -> None:
    all_set(source, ("volumeID",), path, errors)
    _secret_of_namespace(source, path, errors)


def _glusterfs(source: Object, path: str, errors: Errors) -> None:
    all_set(source, ("endpoints", "path"), path, errors)
    namespace = source.get("endpointsNamespace")
    if namespace is not None:
        for problem in names.dns_label(namespace):
            errors.invalid(f"{path}.endpointsNamespace", namespace, problem)


def _azure_file(source: Object, path: str, errors: Errors) -> None:
    all_set(source, ("secretName", "shareName"), path, errors)
    if source.get("secretNamespace") == "":
        errors.required(f"{path}.secretNamespace")


def _local(source: Object, path: str, errors: Errors) -> None:
    if not source.get("path"):
        errors.required(f"{path}.path")
    else:
        no_backsteps(source["path"], f"{path}.path", errors)


def _storage_os(source: Object, path: str, errors: Errors) -> None:
    required(names.dns_label, source.get("volumeName"), f"{path}.volumeName", errors)
    if source.get("volumeNamespace"):
        follows(names.dns_label, source["volumeNamespace"], f"{path}.volumeNamespace", errors)
    _secret_of_namespace(source, path, errors)


def _csi(source: Object, path: str, errors: Errors) -> None:
    validation.csi_driver(source.get("driver"), f"{path}.driver", errors)
    all_set(source, ("volumeHandle",), path, errors)
    for field in _SECRETS:
        secret = source.get(field)
        if secret is not None:
            required(names.dns_subdomain, secret.get("name"), f"{path}.{field}.name", errors)
            required(names.dns_label, secret.get("namespace"), f"{path}.{field}.namespace", errors)


# In upstream's order: of several sources the first is checked, the others are refused.
SOURCES = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs", "rbd", "quobyte", "cephfs",
    "iscsi", "cinder", "fc", "flexVolume", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume",
    "azureDisk", "scaleIO", "local", "storageos", "csi",
)  # fmt: skip
_OWN: dict[str, Callable[[Object, str, Errors], None]] = {
    "azureFile": _azure_file, "cinder": _cinder, "csi": _csi, "glusterfs": _glusterfs, "local": _local,
    "storageos": _storage_os,
}  # fmt: skip
_REFUSED_AS = {"cephfs": "cephFS"}
