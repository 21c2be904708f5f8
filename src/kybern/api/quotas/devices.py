"""ResourceClaims: their number, and the devices of each class that they may take.

Source: Kubernetes documentation, "Resource Quotas": Quota for devices; KEP-4381.
"""

from __future__ import annotations

from collections.abc import Iterable

from kybern.api.cells import at
from kybern.api.quotas.amounts import Amounts
from kybern.api.quotas.evaluator import CREATE, UPDATE, Evaluator
from kybern.api.types import Object

MAX_DEVICES = 32
"""The most that one claim may be given, and so what `All` may come to."""
_COUNT = "count/resourceclaims.resource.k8s.io"
_BY_CLASS = ".deviceclass.resource.k8s.io/devices"


class ResourceClaims(Evaluator):
    """See the module."""

    counts_updates = True

    def __init__(self) -> None:
        super().__init__("resource.k8s.io", "resourceclaims")

    def matching(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name == _COUNT or name.endswith(_BY_CLASS)]

    def handles(self, operation: str, subresource: str, obj: Object, old: Object | None) -> bool:
        return not subresource and operation in (CREATE, UPDATE)

    def usage(self, obj: Object) -> Amounts:
        devices: dict[str, int] = {}
        for request in at(obj, "spec", "devices", "requests") or ():
            # Of alternatives the greediest of each class counts.
            worst: dict[str, int] = {}
            for part in request.get("firstAvailable") or (request.get("exactly") or request,):
                name = part.get("deviceClassName")
                if name:
                    worst[name] = max(worst.get(name, 0), _number(part))
            for name, number in worst.items():
                devices[name] = devices.get(name, 0) + number
        return {_COUNT: "1", **{f"{name}{_BY_CLASS}": str(number) for name, number in devices.items()}}


def _number(request: Object) -> int:
    match request.get("allocationMode") or "ExactCount":
        case "ExactCount":
            return int(request.get("count") or 1)
        case "All":
            return MAX_DEVICES
    return 0
