"""Secret, v1. Source: API reference, Secret v1 core."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

import orjson

from kybern.api.cells import size, text
from kybern.api.datakeys import check_immutable_data, check_keys
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource
from kybern.api.types import Object

MAX_BYTES = 1024 * 1024
OPAQUE = "Opaque"
SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"
SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"

TLS = "kubernetes.io/tls"
_SSH_KEY = "ssh-privatekey"
_REQUIRED_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": (_SSH_KEY,),
    TLS: ("tls.crt", "tls.key"),
}
_JSON_KEYS = (".dockercfg", ".dockerconfigjson")


class Secret(Resource):
    kind, plural = "Secret", "secrets"
    has_generation = False
    columns = (Column("Type", "string", text("type")), Column("Data", "string", size("data")), AGE)
    selectable_fields = ("type",)

    def selectable(self, obj: Object) -> Mapping[str, str]:
        return {"type": obj.get("type") or ""}

    def default(self, obj: Object) -> None:
        if not obj.get("type"):
            obj["type"] = OPAQUE

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        merge_string_data(obj)
        _warn(obj, prep)

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        merge_string_data(obj)
        _warn(obj, prep)

    def validate(self, obj: Object, errors: Errors) -> None:
        data = obj.get("data") or {}
        check_keys(data, "data", errors)
        if sum(len(value) * 3 // 4 - value[-2:].count("=") for value in data.values()) > MAX_BYTES:
            errors.too_long("data", MAX_BYTES)
        kind = obj.get("type")
        if kind == SERVICE_ACCOUNT_TOKEN and not (obj["metadata"].get("annotations") or {}).get(SERVICE_ACCOUNT_NAME):
            errors.required(f"metadata.annotations[{SERVICE_ACCOUNT_NAME}]")
        if kind == "kubernetes.io/basic-auth" and "username" not in data and "password" not in data:
            errors.required("data[username]")
            errors.required("data[password]")
        for key in _REQUIRED_KEYS.get(str(kind), ()):
            if key not in data or (key == _SSH_KEY and not data[key]):
                errors.required(f"data[{key}]")
            elif key in _JSON_KEYS and (problem := _json_problem(data[key])):
                errors.invalid(f"data[{key}]", "<secret contents redacted>", problem)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        if obj.get("type") != old.get("type"):
            errors.invalid("type", obj.get("type"), "field is immutable")
        check_immutable_data(obj, old, ("data",), errors)


def merge_string_data(obj: Object) -> None:
    """Move the write-only `stringData` into `data`, where it wins."""
    plain = obj.pop("stringData", None)
    if plain:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        obj["data"] = {**(obj.get("data") or {}), **encoded}


def _json_problem(encoded: str) -> str:
    try:
        found = orjson.loads(base64.b64decode(encoded))
    except (orjson.JSONDecodeError, binascii.Error) as error:
        return str(error)
    if isinstance(found, dict) or found is None:
        return ""
    kind = {list: "array", str: "string", bool: "bool"}.get(type(found), "number")
    return f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"


def _warn(obj: Object, prep: Preparation) -> None:
    if obj.get("type") == TLS:
        from kybern.api.tls_pair import problem

        data = obj.get("data") or {}
        if said := problem(*(base64.b64decode(data.get(key) or "") for key in ("tls.crt", "tls.key"))):
            prep.warnings.append(said)
