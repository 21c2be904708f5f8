"""ResourcePoolStatusRequest, resource.k8s.io/v1alpha3: asks once how many devices pools have left.

Source: API reference, ResourcePoolStatusRequest v1alpha3 resource.k8s.io; KEP-5677.
"""

from __future__ import annotations

from kybern.api import validation
from kybern.api.cells import at
from kybern.api.dra import checks
from kybern.api.field import Errors
from kybern.api.resource import METADATA, Preparation, Resource
from kybern.api.types import Object

_LIMIT, _MAX_LIMIT = 100, 1000


class ResourcePoolStatusRequest(Resource):
    group, kind, plural = "resource.k8s.io", "ResourcePoolStatusRequest", "resourcepoolstatusrequests"
    versions = ("v1alpha3",)
    gate = "DRAResourcePoolStatus"
    namespaced = False
    has_status = True
    status_keeps = METADATA
    has_generation = False

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        if spec.get("limit") is None:
            spec["limit"] = _LIMIT

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj.pop("status", None)

    def validate(self, obj: Object, errors: Errors) -> None:
        spec = obj["spec"]
        validation.csi_driver(spec.get("driver"), "spec.driver", errors)
        if spec.get("poolName") is not None:
            checks.pool(spec["poolName"], "spec.poolName", errors)
        limit = spec.get("limit") or 0
        if limit < 1:
            errors.invalid("spec.limit", limit, "must be greater than or equal to 1")
        elif limit > _MAX_LIMIT:
            errors.invalid("spec.limit", limit, f"must be less than or equal to {_MAX_LIMIT}")

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        validation.unchanged(obj["spec"], old["spec"], "spec", errors)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        if old.get("status"):
            validation.unchanged(obj.get("status"), old["status"], "status", errors)
            return
        status = obj.get("status") or {}
        validation.not_negative(status.get("poolCount"), "status.poolCount", errors)
        for index, pool in enumerate(status.get("pools") or ()):
            path = f"status.pools[{index}]"
            validation.csi_driver(pool.get("driver"), f"{path}.driver", errors)
            checks.pool(pool.get("poolName"), f"{path}.poolName", errors)
            counts = ("generation", "totalDevices", "allocatedDevices", "availableDevices", "unavailableDevices")
            validation.all_not_negative(pool, path, counts, errors)
        checks.limited_conditions(at(status, "conditions"), "status.conditions", errors, limit=10)
