"""StorageVersion, internal.apiserver.k8s.io/v1alpha1: in which version each API server stores a resource.

Source: API reference, StorageVersion v1alpha1 internal.apiserver.k8s.io; KEP-2339.
"""

from __future__ import annotations

import re

from kybern.api import names
from kybern.api.cells import at, some, text
from kybern.api.field import Errors
from kybern.api.resource import AGE, METADATA, Column, Preparation, Resource
from kybern.api.types import Object

_is_api_version = re.compile("[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/[a-z0-9]([-a-z0-9]*[a-z0-9])?)?", re.ASCII).fullmatch
_MALFORMED = "an apiVersion is a DNS-1035 label, which may follow a DNS subdomain and a slash"


def _servers(obj: Object) -> str:
    listed = at(obj, "status", "storageVersions") or []
    return some([f"{one.get('apiServerID')}={one.get('encodingVersion')}" for one in listed], 3, "<unset>")


class StorageVersion(Resource):
    group, kind, plural = "internal.apiserver.k8s.io", "StorageVersion", "storageversions"
    versions = ("v1alpha1",)
    namespaced = False
    has_status = True
    status_keeps = METADATA
    has_generation = False
    validates_name = "path_segment"
    columns = (
        Column("CommonEncodingVersion", "string", text("status", "commonEncodingVersion", default="<unset>")),
        Column("StorageVersions", "string", _servers),
        AGE,
    )

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})
        obj.setdefault("status", {})

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {}

    def validate(self, obj: Object, errors: Errors) -> None:
        # <group>.<resource>; the core group is called so.
        name = obj["metadata"].get("name") or ""
        group, dot, resource = name.rpartition(".")
        if not dot:
            errors.invalid("metadata.name", name, "name must be in the form of <group>.<resource>")
            return
        for problem in (*names.dns_subdomain(group), *names.dns1035_label(resource)):
            errors.invalid("metadata.name", name, problem)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        status = obj.get("status") or {}
        found = status.get("storageVersions") or []
        for index, one in enumerate(found):
            _check_server(one, f"status.storageVersions[{index}]", errors)
        common, versions = status.get("commonEncodingVersion"), {one.get("encodingVersion") for one in found}
        if len(versions) == 1 and common != (agreed := next(iter(versions))):
            errors.invalid("status.commonEncodingVersion", common, f"the actual common encoding version is {agreed}")
        elif len(versions) != 1 and common is not None:
            errors.invalid("status.commonEncodingVersion", common, "should be nil if servers do not agree on one")


def _check_server(server: Object, path: str, errors: Errors) -> None:
    for problem in names.dns1035_label(server.get("apiServerID") or ""):
        errors.invalid(f"{path}.apiServerID", server.get("apiServerID") or "", problem)
    encoding, decodable = server.get("encodingVersion") or "", server.get("decodableVersions") or []
    served = server.get("servedVersions") or []
    named = [("encodingVersion", encoding)]
    named += [(f"decodableVersions[{i}]", one) for i, one in enumerate(decodable)]
    named += [(f"servedVersions[{i}]", one) for i, one in enumerate(served)]
    for field, version in named:
        if not _is_api_version(version):
            errors.invalid(f"{path}.{field}", version, _MALFORMED)
    if encoding not in decodable:
        detail = f"decodableVersions must include encodingVersion {encoding}"
        errors.invalid(f"{path}.decodableVersions", decodable, detail)
    missing = [one for one in served if one not in decodable]
    if missing:
        detail = f"individual servedVersions must be in decodableVersions: {missing[0]}"
        errors.invalid(f"{path}.servedVersions", served, detail)
