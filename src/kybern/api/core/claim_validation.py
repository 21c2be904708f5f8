"""A claim's spec, wherever it stands: in a PersistentVolumeClaim, in a stateful set's templates, in a pod's volume.

Source: API reference, PersistentVolumeClaimSpec v1 core; KEP-1495 (data sources), KEP-3294 (other namespaces').
"""

from __future__ import annotations

from kybern.api import meta, names, selectors, validation
from kybern.api.cells import at
from kybern.api.core.podspec_checks import all_set, follows
from kybern.api.field import Errors
from kybern.api.types import Object

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")
_CLAIM = "PersistentVolumeClaim"


def default_claim_spec(spec: Object) -> None:
    """Defaults of a claim's spec."""
    spec.setdefault("volumeMode", "Filesystem")


def normalize_sources(spec: Object, *, created: bool = False) -> None:
    """What is said in one of dataSource and dataSourceRef is said in both, as far as both can."""
    source, ref = spec.get("dataSource"), spec.get("dataSourceRef")
    if created and source is not None and not _is_copyable(source):
        source = None
        del spec["dataSource"]
    if source is not None and ref is None:
        spec["dataSourceRef"] = dict(source)
    elif ref is not None and source is None and not ref.get("namespace"):
        spec["dataSource"] = dict(ref)


def _is_copyable(source: Object) -> bool:
    kind, group = source.get("kind"), source.get("apiGroup") or ""
    return (kind, group) in ((_CLAIM, ""), ("VolumeSnapshot", "snapshot.storage.k8s.io"))


def check_access_modes(spec: Object, path: str, errors: Errors, missing: str = "") -> None:
    """At least one access mode, all known, and ReadWriteOncePod alone."""
    modes = spec.get("accessModes") or []
    if not modes:
        errors.required(f"{path}.accessModes", missing)
    for mode in modes:
        if mode not in ACCESS_MODES:
            errors.unsupported(f"{path}.accessModes", mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and any(mode in ACCESS_MODES[:-1] for mode in modes):
        errors.forbidden(f"{path}.accessModes", "may not use ReadWriteOncePod with other access modes")


def validate_claim_spec(spec: Object, errors: Errors, *, any_group: bool = False) -> None:
    """Rules of a claim's spec, at the path "spec". `any_group`: data sources' API groups were let pass before."""
    if not spec.get("accessModes"):
        errors.required("spec.accessModes", "at least 1 access mode is required")
    selectors.validate_object(spec.get("selector"), "spec.selector", errors)
    if spec.get("accessModes"):
        check_access_modes(spec, "spec", errors)
    storage = at(spec, "resources", "requests", "storage")
    if storage is None:
        errors.required("spec.resources[storage]")
    else:
        validation.positive_amount(storage, "spec.resources[storage]", errors)
    if spec.get("storageClassName"):
        follows(names.dns_subdomain, spec["storageClassName"], "spec.storageClassName", errors)
    mode = spec.get("volumeMode")
    if mode is not None and mode not in VOLUME_MODES:
        errors.unsupported("spec.volumeMode", mode, VOLUME_MODES)
    _check_sources(spec, any_group, errors)
    if spec.get("volumeAttributesClassName"):
        attributes = spec["volumeAttributesClassName"]
        follows(names.dns_subdomain, attributes, "spec.volumeAttributesClassName", errors)


def _check_sources(spec: Object, any_group: bool, errors: Errors) -> None:
    source, ref = spec.get("dataSource"), spec.get("dataSourceRef")
    for field in ("dataSource", "dataSourceRef"):
        if spec.get(field) is not None:
            _check_source(spec[field], f"spec.{field}", any_group, errors)
    namespace = (ref or {}).get("namespace")
    if namespace:
        follows(names.dns_label, namespace, "spec.dataSourceRef.namespace", errors)
    if source is None or ref is None:
        return
    if namespace:
        errors.invalid("spec", "spec.dataSource", "may not be specified when dataSourceRef.namespace is specified")
    elif not meta.same(source, {**ref, "namespace": None}):
        errors.invalid("spec", "spec.dataSource", "must match dataSourceRef")


def _check_source(source: Object, path: str, any_group: bool, errors: Errors) -> None:
    all_set(source, ("name", "kind"), path, errors)
    kind, group = source.get("kind") or "", source.get("apiGroup") or ""
    if not group and kind != _CLAIM:
        errors.invalid(path, kind, f"must be '{_CLAIM}' when referencing the default apiGroup")
    if group and not any_group:
        follows(names.dns_subdomain, group, f"{path}.apiGroup", errors)
