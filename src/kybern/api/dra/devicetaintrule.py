"""DeviceTaintRule, resource.k8s.io/v1beta2 and v1alpha3. Source: API reference; KEP-5055."""

from __future__ import annotations

from kybern.api import validation
from kybern.api.cells import at
from kybern.api.dra import checks
from kybern.api.dra.resourceslice import default_taints
from kybern.api.field import Errors
from kybern.api.resource import METADATA, Deprecated, Preparation, Resource
from kybern.api.types import Object
from kybern.process.clock import clock


class DeviceTaintRule(Resource):
    group, kind, plural = "resource.k8s.io", "DeviceTaintRule", "devicetaintrules"
    versions = ("v1beta2", "v1alpha3")
    gate = "DRADeviceTaintRules"
    deprecated = {"v1alpha3": Deprecated(36, 39)}
    namespaced = False
    has_status = True
    status_keeps = METADATA

    def default(self, obj: Object) -> None:
        taint = obj.setdefault("spec", {}).get("taint")
        default_taints([taint] if taint else [])

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {}

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        taint, before = obj["spec"].get("taint") or {}, old["spec"].get("taint") or {}
        if taint.get("effect") != before.get("effect") and taint.get("timeAdded") == before.get("timeAdded"):
            obj["spec"] = {**obj["spec"], "taint": {**taint, "timeAdded": clock.stamp()}}

    def validate(self, obj: Object, errors: Errors) -> None:
        _check(obj["spec"], None, errors)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        _check(obj["spec"], at(old, "spec", "taint"), errors)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        checks.limited_conditions(at(obj, "status", "conditions"), "status.conditions", errors)


def _check(spec: Object, old: Object | None, errors: Errors) -> None:
    selected = spec.get("deviceSelector") or {}
    if selected.get("driver") is not None:
        validation.csi_driver(selected["driver"], "spec.deviceSelector.driver", errors)
    if selected.get("pool") is not None:
        checks.pool(selected["pool"], "spec.deviceSelector.pool", errors)
    if selected.get("device") is not None:
        checks.label(selected["device"], "spec.deviceSelector.device", errors)
    checks.taint(spec.get("taint") or {}, "spec.taint", errors, old)
