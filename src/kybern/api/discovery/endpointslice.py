"""EndpointSlice, discovery.k8s.io/v1. Source: API reference, EndpointSlice v1 discovery.k8s.io."""

from __future__ import annotations

import ipaddress

from kybern.api import names, validation
from kybern.api.addresses import ip_warnings
from kybern.api.cells import some, text
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource
from kybern.api.types import Object

_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
_MAX_ENDPOINTS, _MAX_PORTS, _MAX_ADDRESSES, _MAX_HINTS = 1000, 20000, 100, 8
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
_CONTROLLERS = ("endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io")
"""Upstream's own, which spell addresses well."""


def _ports(obj: Object) -> str:
    numbers = ["*" if p.get("port") is None else str(p["port"]) for p in obj.get("ports") or []]
    return some(numbers, 3, "<unset>")


def _endpoints(obj: Object) -> str:
    return some([str(a) for e in obj.get("endpoints") or [] for a in e.get("addresses") or []], 3, "<unset>")


class EndpointSlice(Resource):
    group, kind, plural = "discovery.k8s.io", "EndpointSlice", "endpointslices"
    versioned_updates = True
    columns = (
        Column("AddressType", "string", text("addressType")),
        Column("Ports", "string", _ports),
        Column("Endpoints", "string", _endpoints),
        AGE,
    )

    def default(self, obj: Object) -> None:
        # The schema asks for a list; upstream writes null where there is none.
        obj.setdefault("endpoints", [])
        for port in obj.get("ports") or []:
            port.setdefault("name", "")
            port.setdefault("protocol", "TCP")

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        _warn(obj, prep)

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        _warn(obj, prep)

    def validate(self, obj: Object, errors: Errors) -> None:
        kind = obj.get("addressType")
        validation.one_of(kind, _ADDRESS_TYPES, "addressType", errors)
        endpoints, ports = obj.get("endpoints") or [], obj.get("ports") or []
        if len(endpoints) > _MAX_ENDPOINTS:
            errors.too_many("endpoints", len(endpoints), _MAX_ENDPOINTS)
        elif kind in _ADDRESS_TYPES:
            for index, endpoint in enumerate(endpoints):
                _check_endpoint(endpoint, str(kind), f"endpoints[{index}]", errors)
        _check_ports(ports, errors)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        validation.unchanged(obj.get("addressType"), old.get("addressType"), "addressType", errors)


def _warn(obj: Object, prep: Preparation) -> None:
    kind = obj.get("addressType")
    if kind == "FQDN":
        prep.warnings.append("addressType: FQDN endpoints are deprecated")
    elif (obj["metadata"].get("labels") or {}).get(MANAGED_BY) not in _CONTROLLERS:
        for index, endpoint in enumerate(obj.get("endpoints") or []):
            for place, address in enumerate(endpoint.get("addresses") or []):
                prep.warnings += ip_warnings(address, f"endpoints[{index}].addresses[{place}]")


def _check_endpoint(endpoint: Object, kind: str, path: str, errors: Errors) -> None:
    addresses = endpoint.get("addresses") or []
    if not addresses:
        errors.required(f"{path}.addresses", "must contain at least 1 address")
    elif len(addresses) > _MAX_ADDRESSES:
        errors.too_many(f"{path}.addresses", len(addresses), _MAX_ADDRESSES)
    for index, address in enumerate(addresses):
        _check_address(address, kind, f"{path}.addresses[{index}]", errors)
    if endpoint.get("nodeName") is not None:
        for problem in names.dns_subdomain(endpoint["nodeName"]):
            errors.invalid(f"{path}.nodeName", endpoint["nodeName"], problem)
    if endpoint.get("hostname") is not None:
        for problem in names.dns_label(endpoint["hostname"]):
            errors.invalid(f"{path}.hostname", endpoint["hostname"], problem)
    for key in ("forZones", "forNodes"):
        _check_hints((endpoint.get("hints") or {}).get(key) or [], key, f"{path}.hints.{key}", errors)


def _check_hints(hints: list[Object], key: str, path: str, errors: Errors) -> None:
    if len(hints) > _MAX_HINTS:
        errors.too_many(path, len(hints), _MAX_HINTS)
        return
    seen: set[str] = set()
    for index, hint in enumerate(hints):
        name, here = hint.get("name") or "", f"{path}[{index}].name"
        if name in seen:
            errors.duplicate(here, name)
        seen.add(name)
        rule = names.qualified_name if key == "forZones" else names.dns_subdomain
        for problem in rule(name):
            errors.invalid(here, name, problem)


def _check_address(address: str, kind: str, path: str, errors: Errors) -> None:
    if kind == "FQDN":
        _check_domain(address.removesuffix("."), path, errors)
        return
    try:
        family = f"IPv{ipaddress.ip_address(address).version}"
    except ValueError:
        family = ""
    if family != kind:
        errors.invalid(path, address, f"must be an {kind} address")
        return
    validation.endpoint_ip(address, path, errors)


def _check_domain(name: str, path: str, errors: Errors) -> None:
    if not name:
        errors.required(path)
        return
    if problems := names.dns_subdomain(name):
        errors.invalid(path, name, ",".join(problems))
    elif "." not in name:
        errors.invalid(path, name, "should be a domain with at least two segments separated by dots")
    else:
        for label in name.split("."):
            if problems := names.dns_label(label):
                errors.invalid(path, label, ",".join(problems))
                return


def _check_ports(ports: list[Object], errors: Errors) -> None:
    if len(ports) > _MAX_PORTS:
        errors.too_many("ports", len(ports), _MAX_PORTS)
        return
    seen: set[str] = set()
    for index, port in enumerate(ports):
        path, name = f"ports[{index}]", port.get("name") or ""
        if name:
            for problem in names.dns_label(name):
                errors.invalid(f"{path}.name", name, problem)
        if name in seen:
            errors.duplicate(f"{path}.name", name)
        seen.add(name)
        validation.one_of(port.get("protocol"), validation.PROTOCOLS, f"{path}.protocol", errors)
        application = port.get("appProtocol")
        if application is not None:
            for problem in names.qualified_name(application):
                errors.invalid(f"{path}.appProtocol", application, problem)
