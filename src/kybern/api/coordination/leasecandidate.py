"""LeaseCandidate, coordination.k8s.io/v1beta1 and v1alpha2: who would hold a lease that is given by agreement.

Source: API reference, LeaseCandidate v1beta1 coordination.k8s.io; KEP-4355.
"""

from __future__ import annotations

import re

from kybern.api import validation
from kybern.api.cells import at, text
from kybern.api.coordination.lease import check_strategy
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Deprecated, Resource
from kybern.api.types import Object

_VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)(?:\.(0|[1-9]\d*))?(?:[-+].*)?", re.ASCII)


def _parse(version: str, path: str, errors: Errors) -> tuple[int, ...] | None:
    match = _VERSION.fullmatch(version)
    if match is None:
        errors.invalid(path, version, "No Major.Minor.Patch elements found")
        return None
    return tuple(int(part or 0) for part in match.groups())


class LeaseCandidate(Resource):
    group, kind, plural = "coordination.k8s.io", "LeaseCandidate", "leasecandidates"
    creates_on_update = True
    versioned_updates = True
    versions = ("v1beta1", "v1alpha2")
    deprecated = {"v1beta1": Deprecated(36, 39), "v1alpha2": Deprecated(35, 38)}
    has_generation = False
    columns = (
        Column("LeaseName", "string", text("spec", "leaseName")),
        Column("BinaryVersion", "string", text("spec", "binaryVersion")),
        Column("EmulationVersion", "string", text("spec", "emulationVersion")),
        Column("Strategy", "string", text("spec", "strategy")),
        AGE,
    )

    def validate(self, obj: Object, errors: Errors) -> None:
        spec = obj.get("spec") or {}
        if not spec.get("leaseName"):
            errors.required("spec.leaseName")
        emulated, strategy = spec.get("emulationVersion") or "", spec.get("strategy") or ""
        emulation = _parse(emulated, "spec.emulationVersion", errors) if emulated else None
        if not spec.get("binaryVersion"):
            errors.required("spec.binaryVersion")
        else:
            binary = _parse(spec["binaryVersion"], "spec.binaryVersion", errors)
            if binary and emulation and binary < emulation:
                detail = "must be greater than or equal to `emulationVersion`"
                errors.invalid("spec.binaryVersion", spec["binaryVersion"], detail)
        if not strategy:
            errors.required("spec.strategy")
            return
        check_strategy(strategy, "spec.strategy", errors)
        if strategy == "OldestEmulationVersion" and not emulated:
            errors.required("spec.emulationVersion", "must be specified when `strategy` is 'OldestEmulationVersion'")

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        validation.unchanged(at(obj, "spec", "leaseName"), at(old, "spec", "leaseName"), "spec.leaseName", errors)
