"""ServiceCIDR, networking.k8s.io/v1: ranges that Services get their addresses of.

Source: API reference, ServiceCIDR v1 networking.k8s.io; KEP-1880 Multiple Service CIDRs.
"""

from __future__ import annotations

from kybern.api import addresses, validation
from kybern.api.cells import at
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Deprecated, Resource
from kybern.api.types import Object

DEFAULT_NAME = "kubernetes"
"""The one of --service-cluster-ip-range."""
READY = "Ready"
TERMINATING = "Terminating"
FINALIZER = "networking.k8s.io/service-cidr-finalizer"
_PATH = "spec.cidrs"


class ServiceCIDR(Resource):
    group, kind, plural = "networking.k8s.io", "ServiceCIDR", "servicecidrs"
    versions = ("v1", "v1beta1")
    deprecated = {"v1beta1": Deprecated(34, 37)}
    namespaced = False
    has_status = True
    has_generation = False
    columns = (Column("CIDRs", "string", lambda o: ",".join(at(o, "spec", "cidrs") or [])), AGE)

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})
        obj.setdefault("status", {})

    def validate(self, obj: Object, errors: Errors) -> None:
        cidrs = obj["spec"].get("cidrs") or []
        if not cidrs:
            errors.required(_PATH, "at least one CIDR required")
            return
        if len(cidrs) > 2:
            errors.invalid(_PATH, {"CIDRs": cidrs}, "may only hold up to 2 values")
            return
        for index, cidr in enumerate(cidrs):
            if problem := addresses.canonical_cidr_problem(cidr):
                errors.invalid(f"{_PATH}[{index}]", cidr, problem)
        found = [addresses.network(cidr) for cidr in cidrs]
        if len(found) == 2 and found[0] and found[1] and found[0].version == found[1].version:
            detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
            errors.invalid(_PATH, cidrs, detail)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        cidrs, had = obj["spec"].get("cidrs") or [], at(old, "spec", "cidrs") or []
        if len(cidrs) != len(had) and (len(had), len(cidrs)) != (1, 2):
            errors.invalid(_PATH, cidrs, validation.IMMUTABLE)
            return
        for index, cidr in enumerate(had):
            if cidr != cidrs[index]:
                errors.invalid(f"{_PATH}[{index}]", cidrs[index], validation.IMMUTABLE)
        if len(cidrs) > len(had):
            self.validate(obj, errors)
