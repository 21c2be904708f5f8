"""Endpoints, v1 (superseded by EndpointSlice). Source: API reference, Endpoints v1 core."""

from __future__ import annotations

from collections.abc import Iterator

from kybern.api import addresses, meta, names, validation
from kybern.api.cells import some
from kybern.api.core.endpointsubsets import repacked
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Deprecated, Preparation, Resource
from kybern.api.types import Object

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
"""On those that a controller makes, whose addresses need no remark."""


def _endpoints(obj: Object) -> str:
    found = []
    for subset in obj.get("subsets") or []:
        addresses = [a.get("ip", "") for a in subset.get("addresses") or []]
        ports = subset.get("ports") or []
        if not ports:
            found += addresses
        for port in ports:
            found += [f"[{ip}]:{port.get('port')}" if ":" in ip else f"{ip}:{port.get('port')}" for ip in addresses]
    return some(found, 3, "<none>")


class Endpoints(Resource):
    kind, plural, singular = "Endpoints", "endpoints", "endpoints"
    creates_on_update = True
    deprecated = {"v1": Deprecated(33, use="discovery.k8s.io/v1 EndpointSlice")}
    short_names = ("ep",)
    has_generation = False
    storage_prefix = "services/endpoints"
    columns = (Column("Endpoints", "string", _endpoints), AGE)

    def default(self, obj: Object) -> None:
        for subset in obj.get("subsets") or []:
            for port in subset.get("ports") or []:
                port.setdefault("protocol", "TCP")

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        prep.warnings += _warnings(obj)

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        prep.warnings += _warnings(obj)

    def canonicalize(self, obj: Object) -> None:
        if obj.get("subsets"):
            obj["subsets"] = repacked(obj["subsets"])

    def validate(self, obj: Object, errors: Errors) -> None:
        _check(obj, errors)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        # What was accepted under older rules may stay, as a whole.
        if not meta.same(obj.get("subsets"), old.get("subsets")):
            _check(obj, errors)


def _addresses(obj: Object) -> Iterator[tuple[str, Object]]:
    for index, subset in enumerate(obj.get("subsets") or []):
        for group in ("addresses", "notReadyAddresses"):
            for place, address in enumerate(subset.get(group) or []):
                yield f"subsets[{index}].{group}[{place}]", address


def _warnings(obj: Object) -> list[str]:
    if MANAGED_BY in (obj["metadata"].get("labels") or {}):
        return []
    return [said for path, one in _addresses(obj) for said in addresses.ip_warnings(one.get("ip") or "", f"{path}.ip")]


def _check(obj: Object, errors: Errors) -> None:
    for index, subset in enumerate(obj.get("subsets") or []):
        if not subset.get("addresses") and not subset.get("notReadyAddresses"):
            errors.required(f"subsets[{index}]", "must specify `addresses` or `notReadyAddresses`")
    for path, address in _addresses(obj):
        validation.endpoint_ip(address.get("ip") or "", f"{path}.ip", errors)
        if address.get("hostname"):
            for problem in names.dns_label(address["hostname"]):
                errors.invalid(f"{path}.hostname", address["hostname"], problem)
        if address.get("nodeName") is not None:
            for problem in names.dns_subdomain(address["nodeName"]):
                errors.invalid(f"{path}.nodeName", address["nodeName"], problem)
    for index, subset in enumerate(obj.get("subsets") or []):
        ports = subset.get("ports") or []
        for place, port in enumerate(ports):
            _check_port(port, len(ports) > 1, f"subsets[{index}].ports[{place}]", errors)


def _check_port(port: Object, named: bool, path: str, errors: Errors) -> None:
    name = port.get("name")
    if not name and named:
        errors.required(f"{path}.name")
    for problem in names.dns_label(name) if name else ():
        errors.invalid(f"{path}.name", name, problem)
    validation.port_number(port.get("port"), f"{path}.port", errors)
    validation.protocol(port.get("protocol"), f"{path}.protocol", errors)
    if port.get("appProtocol") is not None:
        for problem in names.qualified_name(port["appProtocol"]):
            errors.invalid(f"{path}.appProtocol", port["appProtocol"], problem)
