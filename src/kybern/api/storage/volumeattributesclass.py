"""VolumeAttributesClass, storage.k8s.io/v1 and v1beta1. Source: API reference; KEP-3751."""

from __future__ import annotations

from kybern.api.cells import text
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Deprecated, Resource
from kybern.api.storage.provisioning import validate_driver, validate_parameters
from kybern.api.types import Object

PROTECTION = "kubernetes.io/vac-protection"
"""The finalizer that keeps a class while volumes or claims name it."""


class VolumeAttributesClass(Resource):
    group, kind, plural = "storage.k8s.io", "VolumeAttributesClass", "volumeattributesclasses"
    versions = ("v1", "v1beta1")
    deprecated = {"v1beta1": Deprecated(34, 37)}
    short_names = ("vac",)
    namespaced = False
    has_generation = False
    columns = (Column("DriverName", "string", text("driverName")), AGE)

    def validate(self, obj: Object, errors: Errors) -> None:
        validate_driver(obj.get("driverName"), "driverName", errors)
        validate_parameters(obj.get("parameters"), "parameters", errors, needed=True)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        if obj.get("driverName") != old.get("driverName"):
            errors.forbidden("driverName", "updates to driverName are forbidden.")
        if (obj.get("parameters") or {}) != (old.get("parameters") or {}):
            errors.forbidden("parameters", "updates to parameters are forbidden.")
