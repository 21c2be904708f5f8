"""StorageClass, storage.k8s.io/v1. Source: API reference, StorageClass v1 storage.k8s.io."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kybern.api import names, validation
from kybern.api.cells import text
from kybern.api.core.node_labels import DEPRECATED
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource
from kybern.api.storage.provisioning import validate_driver, validate_parameters
from kybern.api.types import Object

DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_BETA_DEFAULT_CLASS = "storageclass.beta.kubernetes.io/is-default-class"
_IMMUTABLE = ("parameters", "provisioner", "reclaimPolicy", "volumeBindingMode")


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

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        prep.warnings += _warnings(obj)

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        prep.warnings += _warnings(obj)

    def validate(self, obj: Object, errors: Errors) -> None:
        validate_driver(obj.get("provisioner"), "provisioner", errors)
        validate_parameters(obj.get("parameters"), "parameters", errors)
        policy, mode = obj.get("reclaimPolicy"), obj.get("volumeBindingMode")
        if policy and policy not in ("Delete", "Retain"):
            errors.unsupported("reclaimPolicy", policy, ("Delete", "Retain"))
        if mode not in ("Immediate", "WaitForFirstConsumer"):
            errors.unsupported("volumeBindingMode", mode or "", ("Immediate", "WaitForFirstConsumer"))
        _check_topologies(obj.get("allowedTopologies") or [], errors)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        for field in _IMMUTABLE:
            validation.unchanged(obj.get(field), old.get(field), field, errors)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        # All but the metadata and the topologies is immutable; upstream looks at neither again.
        self.validate_update(obj, old, errors)


def _warnings(obj: Object) -> Iterator[str]:
    for index, term in enumerate(obj.get("allowedTopologies") or ()):
        path = f"allowedTopologies[{index}].matchLabelExpressions"
        for place, expression in enumerate(term.get("matchLabelExpressions") or ()):
            key = expression.get("key") or ""
            if key in DEPRECATED:
                yield f"{path}[{place}].key: {key} is {DEPRECATED[key]}"


def _check_topologies(terms: list[Object], errors: Errors) -> None:
    seen: list[dict[str, set[Any]]] = []
    for index, term in enumerate(terms):
        path, found = f"allowedTopologies[{index}].matchLabelExpressions", dict[str, set[Any]]()
        for place, expression in enumerate(term.get("matchLabelExpressions") or ()):
            here, key = f"{path}[{place}]", expression.get("key") or ""
            values = _check_values(expression.get("values") or [], f"{here}.values", errors)
            for problem in names.qualified_name(key):
                errors.invalid(f"{here}.key", key, problem)
            if key in found:
                errors.duplicate(f"{here}.key", key)
            found[key] = values
        if found in seen:
            errors.duplicate(path, "")
        seen.append(found)


def _check_values(values: list[str], path: str, errors: Errors) -> set[str]:
    if not values:
        errors.required(path)
    for index, value in enumerate(values):
        if value in values[:index]:
            errors.duplicate(f"{path}[{index}]", value)
    return set(values)
