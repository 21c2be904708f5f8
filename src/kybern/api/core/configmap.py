"""ConfigMap, v1. Source: API reference, ConfigMap v1 core."""

from __future__ import annotations

from kybern.api.cells import size
from kybern.api.datakeys import check_immutable_data, check_keys
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Resource
from kybern.api.types import Object

MAX_BYTES = 1024 * 1024


class ConfigMap(Resource):
    kind, plural = "ConfigMap", "configmaps"
    short_names = ("cm",)
    has_generation = False
    columns = (Column("Data", "string", size("data", "binaryData")), AGE)

    def validate(self, obj: Object, errors: Errors) -> None:
        data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
        check_keys(data, "data", errors)
        check_keys(binary, "binaryData", errors)
        for key in data.keys() & binary.keys():
            errors.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")
        total = sum(len(value.encode()) for value in data.values())
        total += sum(len(value) * 3 // 4 - value[-2:].count("=") for value in binary.values())
        if total > MAX_BYTES:
            errors.too_long("", MAX_BYTES)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        check_immutable_data(obj, old, ("data", "binaryData"), errors)
