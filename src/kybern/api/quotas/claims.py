"""PersistentVolumeClaims: their number and size, also by storage class.

Source: Kubernetes documentation, "Resource Quotas": Storage Resource Quota, Resource quota per VolumeAttributesClass.
"""

from __future__ import annotations

from collections.abc import Iterable

from kybern.api import quantity
from kybern.api.cells import at
from kybern.api.quotas.amounts import Amounts
from kybern.api.quotas.evaluator import CREATE, UPDATE, Evaluator, selects
from kybern.api.types import Object

_NAMES = frozenset(("count/persistentvolumeclaims", "persistentvolumeclaims", "requests.storage"))
_BY_CLASS = ".storageclass.storage.k8s.io/"
_SUFFIXES = (f"{_BY_CLASS}persistentvolumeclaims", f"{_BY_CLASS}requests.storage")
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"


class VolumeClaims(Evaluator):
    """See the module."""

    counts_updates = True

    def __init__(self) -> None:
        super().__init__("", "persistentvolumeclaims")

    def matching(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name in _NAMES or name.endswith(_SUFFIXES)]

    def handles(self, operation: str, subresource: str, obj: Object, old: Object | None) -> bool:
        # Status too: a volume may have been made larger than was asked for.
        return operation in (CREATE, UPDATE)

    def usage(self, obj: Object) -> Amounts:
        spec = obj.get("spec") or {}
        used = {"count/persistentvolumeclaims": "1", "persistentvolumeclaims": "1"}
        storage_class = (obj["metadata"].get("annotations") or {}).get(_OLD_CLASS) or spec.get("storageClassName")
        if storage_class:
            used[f"{storage_class}{_BY_CLASS}persistentvolumeclaims"] = "1"
        size = at(spec, "resources", "requests", "storage")
        if size is not None:
            allocated = at(obj, "status", "allocatedResources", "storage")
            if allocated is not None and quantity.compare(allocated, size) > 0:
                size = allocated
            used["requests.storage"] = _whole(size)
            if storage_class:
                used[f"{storage_class}{_BY_CLASS}requests.storage"] = _whole(size)
        return used

    def in_scope(self, rule: Object, obj: Object) -> bool:
        if rule["scopeName"] != "VolumeAttributesClass":
            return False
        classes = (
            at(obj, "spec", "volumeAttributesClassName"),
            at(obj, "status", "currentVolumeAttributesClassName"),
            at(obj, "status", "modifyVolumeStatus", "targetVolumeAttributesClassName"),
        )
        return selects(rule, [name for name in classes if name])


def _whole(size: quantity.Quantity) -> str:
    """Storage is counted in whole bytes."""
    return quantity.canonical(size) if quantity.parse(size) % 1 == 0 else str(quantity.whole(size))
