"""ResourceSlice, resource.k8s.io/v1, v1beta2 and v1beta1. Source: API reference, ResourceSlice v1 resource.k8s.io."""

from __future__ import annotations

from collections.abc import Mapping

from kybern.api import validation
from kybern.api.cells import at, text
from kybern.api.dra import conversion
from kybern.api.dra.slices import validate_slice
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Resource
from kybern.api.types import Object
from kybern.process.clock import clock


class ResourceSlice(Resource):
    group, kind, plural = "resource.k8s.io", "ResourceSlice", "resourceslices"
    versions = ("v1", "v1beta2", "v1beta1")
    deprecated = conversion.DEPRECATED
    reshapes = frozenset({f"resource.k8s.io/{conversion.FLAT}"})
    namespaced = False
    columns = (
        Column("Node", "string", text("spec", "nodeName")),
        Column("Driver", "string", text("spec", "driver")),
        Column("Pool", "string", text("spec", "pool", "name")),
        AGE,
    )
    selectable_fields = ("spec.driver", "spec.nodeName")

    def selectable(self, obj: Object) -> Mapping[str, str]:
        return {f"spec.{key}": str(at(obj, "spec", key) or "") for key in ("driver", "nodeName")}

    def default(self, obj: Object) -> None:
        for device in obj.setdefault("spec", {}).get("devices") or ():
            default_taints(device.get("taints") or ())

    def validate(self, obj: Object, errors: Errors) -> None:
        validate_slice(obj["spec"], None, errors)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        spec, before = obj["spec"], old["spec"]
        validate_slice(spec, before, errors)
        validation.unchanged(at(spec, "pool", "name"), at(before, "pool", "name"), "spec.pool.name", errors)
        for field in ("driver", "nodeName"):
            validation.unchanged(spec.get(field), before.get(field), f"spec.{field}", errors)

    def convert(self, obj: Object, version: str) -> Object:
        here, made = conversion.version_of(obj), super().convert(obj, version)
        if here != version and conversion.FLAT in (here, version):
            change = conversion.flat_slice if version == conversion.FLAT else conversion.full_slice
            made["spec"] = change(made.get("spec") or {})
        return made


def default_taints(taints: list[Object] | tuple[Object, ...]) -> None:
    """A taint begins when it is first written down."""
    for taint in taints:
        if not taint.get("timeAdded"):
            taint["timeAdded"] = clock.stamp()
