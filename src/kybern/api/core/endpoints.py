"""Endpoints, v1 (superseded by EndpointSlice). Source: API reference, Endpoints v1 core."""

from __future__ import annotations

from kybern.api import validation
from kybern.api.cells import some
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource
from kybern.api.types import Object


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
    short_names = ("ep",)
    has_generation = False
    storage_prefix = "services/endpoints"
    columns = (Column("Endpoints", "string", _endpoints), AGE)

    def default(self, obj: Object) -> None:
        for subset in obj.get("subsets") or []:
            for port in subset.get("ports") or []:
                port.setdefault("protocol", "TCP")

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        self.warn(prep)

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        self.warn(prep)

    def warn(self, prep: Preparation) -> None:
        """Say that the kind is deprecated, unless it is the control plane that writes."""
        if not prep.user.startswith("system:"):
            prep.warnings.append("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")

    def validate(self, obj: Object, errors: Errors) -> None:
        for index, subset in enumerate(obj.get("subsets") or []):
            path = f"subsets[{index}]"
            if not subset.get("addresses") and not subset.get("notReadyAddresses"):
                errors.required(path, "must specify `addresses` or `notReadyAddresses`")
            for group in ("addresses", "notReadyAddresses"):
                for place, address in enumerate(subset.get(group) or []):
                    validation.endpoint_ip(address.get("ip") or "", f"{path}.{group}[{place}].ip", errors)
            ports = subset.get("ports") or []
            for place, port in enumerate(ports):
                where = f"{path}.ports[{place}]"
                if len(ports) > 1 and not port.get("name"):
                    errors.required(f"{where}.name")
                validation.port_number(port.get("port"), f"{where}.port", errors)
                validation.protocol(port.get("protocol"), f"{where}.protocol", errors)
