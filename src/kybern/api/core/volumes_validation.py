"""Rules of a pod's volumes: one source each, and what each kind of source needs.

Source: API reference, Volume v1; the more unusual spellings in messages are upstream's. projected_validation.py has
projected and downward API volumes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from kybern.api import meta, names, quantity, validation
from kybern.api.core.claim_validation import validate_claim_spec
from kybern.api.core.containers_validation import PULL_POLICIES
from kybern.api.core.podspec_checks import all_set, descending, follows, known_if_set, no_backsteps, required, within
from kybern.api.core.projected_validation import (
    validate_downward,
    validate_items,
    validate_mode,
    validate_projected,
)
from kybern.api.field import Errors
from kybern.api.types import Object

_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_ISCSI_NAMES = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9\-.]+)(:[^,;*&$|\s]+)$", re.ASCII),
    "eui": re.compile(r"^eui.[A-Za-z0-9]{16}$"),
    "naa": re.compile(r"^naa.[A-Za-z0-9]{32}$"),
}
_ISCSI_LENGTH = 64
_TENANT_LENGTH = 65
_HOST_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*):[^:]*")
_MANAGED_DISK = "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
_BLOB_DISK = "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
_METADATA = ("annotations", "labels")

Check = Callable[[Object, str, Errors], None]


def validate_volumes(
    volumes: list[Object], path: str, errors: Errors, metadata: Object | None = None
) -> dict[str, Object]:
    """Gives the valid volumes by name. `metadata` is the pod's; None in a template."""
    valid: dict[str, Object] = {}
    pod = (metadata or {}).get("name")
    for index, volume in enumerate(volumes):
        here, name, before = f"{path}[{index}]", volume.get("name") or "", len(errors)
        _source(volume, here, errors, metadata)
        required(names.dns_label, name, f"{here}.name", errors)
        if name in valid:
            errors.duplicate(f"{here}.name", name)
        if len(errors) == before:
            valid[name] = volume
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim and pod and any(v.get("ephemeral") and claim == f"{pod}-{v.get('name')}" for v in volumes):
            detail = "must not reference a PVC that gets created for an ephemeral volume"
            errors.invalid(f"{here}.persistentVolumeClaim.claimName", claim, detail)
    return valid


def _source(volume: Object, path: str, errors: Errors, metadata: Object | None) -> None:
    kinds = [key for key in volume if key in _CHECKS and volume[key] is not None]
    if not kinds:
        errors.required(path, "must specify a volume type")
        return
    if len(kinds) > 1:
        kinds.sort(key=_ORDER.__getitem__)
        for kind in kinds[1:]:
            errors.forbidden(f"{path}.{_REFUSED_AS.get(kind, kind)}", "may not specify more than 1 volume type")
    kind = kinds[0]
    source = volume[kind]
    check_source(kind, source, path, errors)
    if kind == "iscsi":
        check_iscsi_length(volume, path, errors)
    elif kind == "ephemeral":
        _claim_name(volume, path, errors, metadata)
    elif kind == "image" and metadata is not None and not source.get("reference"):
        errors.required(f"{path}.image.reference")


def check_source(kind: str, source: Object, path: str, errors: Errors) -> None:
    """What a source of that kind needs; `path` is the volume's."""
    _CHECKS[kind](source, f"{path}.{_CHECKED_AS.get(kind, kind)}", errors)


def _needs(*keys: str) -> Check:
    return lambda source, path, errors: all_set(source, keys, path, errors)


def _empty_dir(source: Object, path: str, errors: Errors) -> None:
    limit = source.get("sizeLimit")
    if limit is not None and quantity.parse(limit) < 0:
        errors.forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")


def _host_path(source: Object, path: str, errors: Errors) -> None:
    if not source.get("path"):
        errors.required(f"{path}.path")
        return
    no_backsteps(source["path"], f"{path}.path", errors)
    known_if_set(source.get("type"), _HOST_PATH_TYPES, f"{path}.type", errors)


def _git_repo(source: Object, path: str, errors: Errors) -> None:
    all_set(source, ("repository",), path, errors)
    descending(source.get("directory") or "", f"{path}.directory", errors)


def _disk(name: str) -> Check:
    def check(source: Object, path: str, errors: Errors) -> None:
        all_set(source, (name,), path, errors)
        partition = source.get("partition") or 0
        if not 0 <= partition <= 255:
            # Upstream lets 0 pass, but says 1.
            errors.invalid(f"{path}.partition", partition, "must be between 1 and 255, inclusive")

    return check


def _secret(source: Object, path: str, errors: Errors) -> None:
    all_set(source, ("secretName",), path, errors)
    validate_mode(source.get("defaultMode"), f"{path}.defaultMode", errors)
    validate_items(source, path, errors)


def _config_map(source: Object, path: str, errors: Errors) -> None:
    all_set(source, ("name",), path, errors)
    validate_mode(source.get("defaultMode"), f"{path}.defaultMode", errors)
    validate_items(source, path, errors)


def _nfs(source: Object, path: str, errors: Errors) -> None:
    all_set(source, ("server", "path"), path, errors)
    if not (source.get("path") or "").startswith("/"):
        errors.invalid(f"{path}.path", source.get("path") or "", "must be an absolute path")


def _iscsi(source: Object, path: str, errors: Errors) -> None:
    all_set(source, ("targetPortal", "iqn"), path, errors)
    if source.get("iqn"):
        follows(_iscsi_name, source["iqn"], f"{path}.iqn", errors)
    within(source.get("lun"), 0, 255, f"{path}.lun", errors)
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and source.get("secretRef") is None:
        errors.required(f"{path}.secretRef")
    if source.get("initiatorName") is not None:
        follows(_iscsi_name, source["initiatorName"], f"{path}.initiatorname", errors)


def _iscsi_name(name: str) -> list[str]:
    pattern = _ISCSI_NAMES.get(name[:3])
    if pattern is None:
        return ["must be valid format starting with iqn, eui, or naa"]
    return [] if pattern.search(name) else ["must be valid format"]


def check_iscsi_length(volume: Object, path: str, errors: Errors) -> None:
    """The names of the volume and the portal, together, are what the initiator can carry."""
    source, name = volume["iscsi"], volume.get("name") or ""
    whole = f"{name}:{source.get('targetPortal') or ''}"
    if source.get("initiatorName") is not None and len(whole.encode()) > _ISCSI_LENGTH:
        detail = (
            "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters "
            "if iscsi.initiatorName is specified."
        )
        errors.invalid(f"{path}.name", name, detail)


def _flocker(source: Object, path: str, errors: Errors) -> None:
    name, uid = source.get("datasetName") or "", source.get("datasetUUID")
    if not name and not uid:
        errors.required(path, "one of datasetName and datasetUUID is required")
    if name and uid:
        errors.invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously")
    if "/" in name:
        errors.invalid(f"{path}.datasetName", name, "must not contain '/'")


def _cinder(source: Object, path: str, errors: Errors) -> None:
    all_set(source, ("volumeID",), path, errors)
    _secret_name(source, path, errors)


def _secret_name(source: Object, path: str, errors: Errors) -> None:
    if source.get("secretRef") is not None:
        all_set(source["secretRef"], ("name",), f"{path}.secretRef", errors)


def _quobyte(source: Object, path: str, errors: Errors) -> None:
    registry, detail = source.get("registry") or "", "must be a host:port pair or multiple pairs separated by commas"
    if not registry:
        errors.required(f"{path}.registry", detail)
    elif len(source.get("tenant") or "") >= _TENANT_LENGTH:
        errors.required(f"{path}.tenant", "must be a UUID and may not exceed a length of 64 characters")
    else:
        for pair in registry.split(","):
            if not _HOST_PORT.fullmatch(pair):
                errors.invalid(f"{path}.registry", registry, detail)
    all_set(source, ("volume",), path, errors)


def _fc(source: Object, path: str, errors: Errors) -> None:
    targets, ids, lun = source.get("targetWWNs"), source.get("wwids"), source.get("lun")
    if not targets and not ids:
        errors.required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both")
    if targets and ids:
        detail = "targetWWNs and wwids can not be specified simultaneously"
        errors.invalid(f"{path}.targetWWNs", targets, detail)
    if targets and lun is None:
        errors.required(f"{path}.lun", "lun is required if targetWWNs is specified")
    elif targets:
        within(lun, 0, 255, f"{path}.lun", errors)


def _flex(source: Object, path: str, errors: Errors) -> None:
    all_set(source, ("driver",), path, errors)
    for option in source.get("options") or ():
        if f".{option.partition('/')[0].lower()}".endswith((".kubernetes.io", ".k8s.io")):
            detail = "kubernetes.io and k8s.io namespaces are reserved"
            errors.invalid(f"{path}.options[{option}]", option, detail)


def _azure_disk(source: Object, path: str, errors: Errors) -> None:
    all_set(source, ("diskName", "diskURI"), path, errors)
    kind, uri = source.get("kind"), source.get("diskURI") or ""
    known_if_set(source.get("cachingMode"), ("None", "ReadOnly", "ReadWrite"), f"{path}.cachingMode", errors)
    known_if_set(kind, ("Dedicated", "Managed", "Shared"), f"{path}.kind", errors)
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        errors.unsupported(f"{path}.diskURI", uri, (_MANAGED_DISK,))
    elif kind not in (None, "Managed") and not uri.startswith("https://"):
        errors.unsupported(f"{path}.diskURI", uri, (_BLOB_DISK,))


def _storage_os(source: Object, path: str, errors: Errors) -> None:
    required(names.dns_label, source.get("volumeName"), f"{path}.volumeName", errors)
    if source.get("volumeNamespace"):
        follows(names.dns_label, source["volumeNamespace"], f"{path}.volumeNamespace", errors)
    _secret_name(source, path, errors)


def _csi(source: Object, path: str, errors: Errors) -> None:
    validation.csi_driver(source.get("driver"), f"{path}.driver", errors)
    secret = source.get("nodePublishSecretRef")
    if secret is not None and not secret.get("name"):
        errors.required(f"{path}.nodePublishSecretRef.name")
    elif secret is not None:
        follows(names.dns_subdomain, secret["name"], f"{path}.name", errors)


def _ephemeral(source: Object, path: str, errors: Errors) -> None:
    template, here = source.get("volumeClaimTemplate"), f"{path}.volumeClaimTemplate"
    if template is None:
        errors.required(here)
        return
    metadata = template.get("metadata") or {}
    meta.validate_annotations(metadata.get("annotations"), f"{here}.metadata.annotations", errors)
    meta.validate_labels(metadata.get("labels"), f"{here}.metadata.labels", errors)
    for key, value in metadata.items():
        if value and key not in _METADATA:
            errors.forbidden(f"{here}.metadata.{key}", "cannot be set")
    found = Errors()
    validate_claim_spec(template.get("spec") or {}, found)
    errors.extend(replace(error, path=f"{here}.{error.path}") for error in found)


def _claim_name(volume: Object, path: str, errors: Errors, metadata: Object | None) -> None:
    """The claim that is to be made for the volume has a name to go by."""
    pod, name = (metadata or {}).get("name"), volume.get("name")
    if pod and name:
        for problem in names.dns_subdomain(f"{pod}-{name}"):
            errors.invalid(f"{path}.name", name, f'PVC name "{pod}-{name}": {problem}')


def _image(source: Object, path: str, errors: Errors) -> None:
    validation.one_of(source.get("pullPolicy"), PULL_POLICIES, f"{path}.pullPolicy", errors)


# In upstream's order: of several sources the first is checked, the others are refused.
_CHECKS: dict[str, Check] = {
    "emptyDir": _empty_dir,
    "hostPath": _host_path,
    "gitRepo": _git_repo,
    "gcePersistentDisk": _disk("pdName"),
    "awsElasticBlockStore": _disk("volumeID"),
    "secret": _secret,
    "nfs": _nfs,
    "iscsi": _iscsi,
    "glusterfs": _needs("endpoints", "path"),
    "flocker": _flocker,
    "persistentVolumeClaim": _needs("claimName"),
    "rbd": _needs("monitors", "image"),
    "cinder": _cinder,
    "cephfs": _needs("monitors"),
    "quobyte": _quobyte,
    "downwardAPI": validate_downward,
    "fc": _fc,
    "flexVolume": _flex,
    "configMap": _config_map,
    "azureFile": _needs("secretName", "shareName"),
    "vsphereVolume": _needs("volumePath"),
    "photonPersistentDisk": _needs("pdID"),
    "portworxVolume": _needs("volumeID"),
    "azureDisk": _azure_disk,
    "storageos": _storage_os,
    "projected": validate_projected,
    "scaleIO": _needs("gateway", "system", "volumeName"),
    "csi": _csi,
    "ephemeral": _ephemeral,
    "image": _image,
}
_ORDER = {kind: place for place, kind in enumerate(_CHECKS)}
_CHECKED_AS = {"gcePersistentDisk": "persistentDisk"}
_REFUSED_AS = {"cephfs": "cephFS", "downwardAPI": "downwarAPI"}
