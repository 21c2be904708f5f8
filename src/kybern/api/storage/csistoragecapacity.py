"""CSIStorageCapacity, storage.k8s.io/v1. Source: API reference; KEP-1472."""

from __future__ import annotations

from collections.abc import Iterator

from kybern.api import meta, names, selectors, validation
from kybern.api.cells import text
from kybern.api.core.node_labels import DEPRECATED, term_warnings
from kybern.api.field import Errors
from kybern.api.resource import Column, Preparation, Resource
from kybern.api.types import Object


class CSIStorageCapacity(Resource):
    group, kind, plural = "storage.k8s.io", "CSIStorageCapacity", "csistoragecapacities"
    versioned_updates = True
    has_generation = False
    columns = (
        Column("StorageClassName", "string", text("storageClassName")),
        Column("Capacity", "string", text("capacity", default="<unset>")),
    )

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        prep.warnings += _warnings(obj.get("nodeTopology") or {})

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        prep.warnings += _warnings(obj.get("nodeTopology") or {})

    def validate(self, obj: Object, errors: Errors) -> None:
        selectors.validate_object(obj.get("nodeTopology"), "nodeTopology", errors)
        name = obj.get("storageClassName") or ""
        for problem in names.dns_subdomain(name):
            errors.invalid("storageClassName", name, problem)
        if obj.get("capacity") is not None:
            validation.amount(obj["capacity"], "capacity", errors)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        for field in ("nodeTopology", "storageClassName"):
            if not meta.same(obj.get(field), old.get(field)):
                errors.invalid(field, obj.get(field), validation.IMMUTABLE)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        # What could be changed can't be wrong: the schema checks quantities.
        self.validate_update(obj, old, errors)


def _warnings(topology: Object) -> Iterator[str]:
    yield from term_warnings(topology, "nodeTopology")
    for label in topology.get("matchLabels") or ():
        if label in DEPRECATED:
            yield f"nodeTopology.matchLabels.{label}: {DEPRECATED[label]}"
