"""CSIDriver, storage.k8s.io/v1. Source: API reference, CSIDriver v1 storage.k8s.io."""

from __future__ import annotations

from kybern.api import meta, validation
from kybern.api.cells import at
from kybern.api.field import Errors
from kybern.api.resource import AGE, Column, Preparation, Resource
from kybern.api.types import Object

_POLICIES = ("File", "None", "ReadWriteOnceWithFSType")
_MODES = ("Ephemeral", "Persistent")
_NEEDED = {"attachRequired": "attachedRequired", "podInfoOnMount": "", "storageCapacity": "", "seLinuxMount": ""}
_COUNTED = ("tokenRequests", "requiresRepublish", "seLinuxMount", "nodeAllocatableUpdatePeriodSeconds")
_MIN_SECONDS, _MAX_SECONDS = 600, 2**32
_MIN_PERIOD = 10


def _audiences(obj: Object) -> str:
    requests = at(obj, "spec", "tokenRequests")
    return "<unset>" if requests is None else ",".join(one.get("audience") or "" for one in requests)


def _flag(name: str, *, unset: bool = False) -> Column:
    def cell(obj: Object) -> bool:
        value = at(obj, "spec", f"{name[0].lower()}{name[1:]}")
        return unset if value is None else bool(value)

    return Column(name, "boolean", cell)


class CSIDriver(Resource):
    group, kind, plural = "storage.k8s.io", "CSIDriver", "csidrivers"
    versioned_updates = True
    namespaced = False
    columns = (
        _flag("AttachRequired", unset=True),
        _flag("PodInfoOnMount"),
        _flag("StorageCapacity"),
        Column("TokenRequests", "string", _audiences),
        _flag("RequiresRepublish"),
        Column("Modes", "string", lambda o: ",".join(at(o, "spec", "volumeLifecycleModes") or ()) or "<none>"),
        AGE,
    )

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        spec.setdefault("attachRequired", True)
        spec.setdefault("fsGroupPolicy", "ReadWriteOnceWithFSType")
        for field in ("podInfoOnMount", "requiresRepublish", "seLinuxMount", "storageCapacity"):
            spec.setdefault(field, False)
        if not spec.get("volumeLifecycleModes"):
            spec["volumeLifecycleModes"] = ["Persistent"]

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        # Upstream counts changes only, from nothing.
        obj["metadata"].pop("generation", None)

    def changes_generation(self, obj: Object, old: Object) -> bool:
        return any(not meta.same(obj["spec"].get(field), old["spec"].get(field)) for field in _COUNTED)

    def validate(self, obj: Object, errors: Errors) -> None:
        spec = obj["spec"]
        for field, shown in _NEEDED.items():
            if spec.get(field) is None:
                errors.required(f"spec.{shown or field}")
        policy, period = spec.get("fsGroupPolicy"), spec.get("nodeAllocatableUpdatePeriodSeconds")
        if policy is not None and policy not in _POLICIES:
            errors.unsupported("spec.fsGroupPolicy", policy, _POLICIES)
        _check_tokens(spec.get("tokenRequests") or [], errors)
        for mode in spec.get("volumeLifecycleModes") or ():
            if mode not in _MODES:
                errors.unsupported("spec.volumeLifecycleModes", mode, _MODES)
        if period is not None and period < _MIN_PERIOD:
            detail = f"must be greater than or equal to {_MIN_PERIOD} seconds"
            errors.invalid("spec.nodeAllocatableUpdatePeriodSeconds", period, detail)
        in_secrets = spec.get("serviceAccountTokenInSecrets")
        if in_secrets is not None and not spec.get("tokenRequests"):
            detail = "serviceAccountTokenInSecrets is set but no tokenRequests are specified"
            errors.invalid("spec.serviceAccountTokenInSecrets", in_secrets, detail)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        spec, before = obj["spec"], old["spec"]
        validation.unchanged(
            spec.get("attachRequired"), before.get("attachRequired"), "spec.attachedRequired", errors
        )
        modes = "volumeLifecycleModes"
        validation.unchanged(spec.get(modes), before.get(modes), f"spec.{modes}", errors)


def _check_tokens(requests: list[Object], errors: Errors) -> None:
    seen: set[str] = set()
    for index, request in enumerate(requests):
        path, audience = f"spec.tokenRequests[{index}]", request.get("audience") or ""
        if audience in seen:
            errors.duplicate(f"{path}.audience", audience)
            continue
        seen.add(audience)
        seconds = request.get("expirationSeconds")
        if seconds is not None and seconds < _MIN_SECONDS:
            errors.invalid(f"{path}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
        if seconds is not None and seconds > _MAX_SECONDS:
            detail = "may not specify a duration larger than 2^32 seconds"
            errors.invalid(f"{path}.expirationSeconds", seconds, detail)
