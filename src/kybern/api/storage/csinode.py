"""CSINode, storage.k8s.io/v1. Source: API reference, CSINode v1 storage.k8s.io."""

from __future__ import annotations

from kybern.api import meta, names, validation
from kybern.api.cells import at
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Resource
from kybern.api.types import Object

_ID_LENGTH = 256


class CSINode(Resource):
    group, kind, plural = "storage.k8s.io", "CSINode", "csinodes"
    versioned_updates = True
    namespaced = False
    has_generation = False
    columns = (Column("Drivers", "integer", lambda o: len(at(o, "spec", "drivers") or ())), AGE)

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def validate(self, obj: Object, errors: Errors) -> None:
        seen: set[str] = set()
        for index, driver in enumerate(obj["spec"].get("drivers") or ()):
            path, name = f"spec.drivers[{index}]", driver.get("name") or ""
            _check_driver(driver, path, errors)
            if name in seen:
                errors.duplicate(f"{path}.name", name)
            seen.add(name)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        new = {driver.get("name"): driver for driver in obj["spec"].get("drivers") or ()}
        for before in old["spec"].get("drivers") or ():
            now = new.get(before.get("name"))
            # How many volumes fit may change (KEP-4876), nothing else.
            if now is not None and not meta.same({**now, "allocatable": None}, {**before, "allocatable": None}):
                errors.invalid("spec.drivers", now, validation.IMMUTABLE)


def _check_driver(driver: Object, path: str, errors: Errors) -> None:
    validation.csi_driver(driver.get("name"), f"{path}.name", errors)
    node = driver.get("nodeID") or ""
    if not node:
        errors.required(f"{path}.nodeID")
    if len(node.encode()) > _ID_LENGTH:
        errors.invalid(f"{path}.nodeID", node, f"must be {_ID_LENGTH} characters or less")
    validation.not_negative(at(driver, "allocatable", "count"), f"{path}.allocatable.count", errors)
    keys: set[str] = set()
    for key in driver.get("topologyKeys") or ():
        if not key:
            errors.required(path)
        if key in keys:
            errors.duplicate(path, key)
        keys.add(key)
        for problem in names.qualified_name(key):
            errors.invalid(path, key, problem)
