"""IPAddress, networking.k8s.io/v1: that an address is taken, and by what; its name is the address.

Source: API reference, IPAddress v1 networking.k8s.io; KEP-1880 Multiple Service CIDRs.
"""

from __future__ import annotations

from kybern.api import names, validation
from kybern.api.cells import at
from kybern.api.field import Errors
from kybern.api.networking import references
from kybern.api.resource import Column, Deprecated, Resource
from kybern.api.types import Object

MANAGED_BY = "ipaddress.kubernetes.io/managed-by"
FAMILY = "ipaddress.kubernetes.io/ip-family"
ALLOCATOR = "ipallocator.k8s.io"
"""The value of MANAGED_BY on what the API server itself allocates."""


def _parent(obj: Object) -> str:
    parent = at(obj, "spec", "parentRef")
    if not parent:
        return "<none>"
    group = f".{parent['group']}" if parent.get("group") else ""
    parts = [f"{parent.get('resource')}{group}".lower(), parent.get("namespace"), parent.get("name") or ""]
    return "/".join(part for part in parts if part is not None and part != "")


class IPAddress(Resource):
    group, kind, plural = "networking.k8s.io", "IPAddress", "ipaddresses"
    versions = ("v1", "v1beta1")
    deprecated = {"v1beta1": Deprecated(34, 37)}
    short_names = ("ip",)
    namespaced = False
    has_generation = False
    validates_name = "ip_address"
    columns = (Column("ParentRef", "string", _parent),)

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def validate(self, obj: Object, errors: Errors) -> None:
        parent, path = obj["spec"].get("parentRef"), "spec.parentRef"
        if parent is None:
            errors.required(path)
            return
        references.check_group(parent.get("group") or None, f"{path}.group", errors)
        for key in ("resource", "name"):
            references.check_segment(parent.get(key), f"{path}.{key}", errors)
        for problem in names.path_segment(parent.get("namespace") or ""):
            errors.invalid(f"{path}.namespace", parent["namespace"], problem)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        validation.unchanged(obj["spec"].get("parentRef"), at(old, "spec", "parentRef"), "spec.parentRef", errors)
