"""StatefulSet, apps/v1. Source: API reference, StatefulSet v1 apps."""

from __future__ import annotations

from dataclasses import replace

from kybern.api import names, validation
from kybern.api.apps.workload import check_collisions, check_selector, check_template, default_workload
from kybern.api.cells import CONTAINERS, at
from kybern.api.core import pod_warnings
from kybern.api.core.claim_validation import default_claim_spec, validate_claim_spec
from kybern.api.field import Errors
from kybern.api.meta import same
from kybern.api.resource import AGE, Column, Preparation, Resource, Scale
from kybern.api.types import Object
from kybern.process import features

_MUTABLE = (
    "replicas", "ordinals", "template", "updateStrategy", "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy", "minReadySeconds",
)  # fmt: skip
_IMMUTABLE = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)
_COUNTS = (
    "replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas", "observedGeneration",
    "collisionCount",
)  # fmt: skip


def _ready(obj: Object) -> str:
    return f"{at(obj, 'status', 'readyReplicas') or 0}/{at(obj, 'spec', 'replicas') or 0}"


class StatefulSet(Resource):
    group, kind, plural = "apps", "StatefulSet", "statefulsets"
    short_names = ("sts",)
    categories = ("all",)
    has_status = True
    scale = Scale()
    validates_name = "dns_label"
    columns = (
        Column("Ready", "string", _ready, "Number of the pod with ready state"),
        AGE,
        *CONTAINERS,
    )

    def default(self, obj: Object) -> None:
        spec = default_workload(obj)
        spec.setdefault("replicas", 1)
        spec.setdefault("revisionHistoryLimit", 10)
        spec["podManagementPolicy"] = spec.get("podManagementPolicy") or "OrderedReady"
        strategy = spec.setdefault("updateStrategy", {})
        if not strategy.get("type"):
            strategy["type"] = "RollingUpdate"
            strategy.setdefault("rollingUpdate", {})
        if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
            strategy["rollingUpdate"].setdefault("partition", 0)
            if features.enabled("MaxUnavailableStatefulSet"):
                strategy["rollingUpdate"].setdefault("maxUnavailable", 1)
        policy = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
        for field in ("whenDeleted", "whenScaled"):
            policy[field] = policy.get(field) or "Retain"
        for claim in spec.get("volumeClaimTemplates") or ():
            claim |= {"kind": "PersistentVolumeClaim", "apiVersion": "v1"}
            default_claim_spec(claim.setdefault("spec", {}))
            claim["status"] = claim.get("status") or {"phase": "Pending"}

    def prepare_create(self, obj: Object, prep: Preparation) -> None:
        obj["status"] = {"replicas": 0, "availableReplicas": 0}
        pod_warnings.tell(prep, obj)
        _warn(obj, prep)

    def prepare_update(self, obj: Object, old: Object, prep: Preparation) -> None:
        pod_warnings.tell(prep, obj, old)
        if prep.subresource != "status":
            _warn(obj, prep)

    def validate(self, obj: Object, errors: Errors) -> None:
        spec = obj["spec"]
        _check_spec(obj, errors)
        _check_template(obj, errors)
        if spec.get("serviceName"):
            for problem in names.dns_label(spec["serviceName"]):
                errors.invalid("spec.serviceName", spec["serviceName"], problem)
        for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
            _check_claim(claim, f"spec.volumeClaimTemplates[{index}]", errors)

    def validate_changed(self, obj: Object, old: Object, errors: Errors) -> None:
        """What can't be changed is not looked at again, and a template is not held to more than it was before."""
        _check_spec(obj, errors)
        before = Errors()
        _check_template(old, before)
        if not before:
            _check_template(obj, errors)
        self.validate_update(obj, old, errors)

    def validate_update(self, obj: Object, old: Object, errors: Errors) -> None:
        new, before = ({key: value for key, value in one["spec"].items() if key not in _MUTABLE} for one in (obj, old))
        if not same(new, before):
            errors.forbidden("spec", _IMMUTABLE)

    def validate_status(self, obj: Object, old: Object, errors: Errors) -> None:
        status = obj.get("status") or {}
        validation.all_not_negative(status, "status", _COUNTS, errors)
        for key in _COUNTS[1:5]:
            if (status.get(key) or 0) > (status.get("replicas") or 0):
                errors.invalid(f"status.{key}", status[key], "cannot be greater than status.replicas")
        if (status.get("availableReplicas") or 0) > (status.get("readyReplicas") or 0):
            detail = "cannot be greater than status.readyReplicas"
            errors.invalid("status.availableReplicas", status["availableReplicas"], detail)
        check_collisions(obj, old, errors)


def _warn(obj: Object, prep: Preparation) -> None:
    for index, claim in enumerate(at(obj, "spec", "volumeClaimTemplates") or ()):
        path = f"spec.volumeClaimTemplates[{index}]"
        prep.warnings += pod_warnings.claim_warnings(claim.get("spec") or {}, path)
    if (at(obj, "spec", "revisionHistoryLimit") or 0) < 0:
        prep.warnings.append(
            "spec.revisionHistoryLimit: a negative value retains all historical revisions; a value >= 0 is recommended"
        )


def _check_spec(obj: Object, errors: Errors) -> None:
    spec = obj["spec"]
    policy = spec["podManagementPolicy"]
    if policy not in ("OrderedReady", "Parallel"):
        errors.invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'")
    _check_strategy(spec["updateStrategy"], errors)
    for field, value in spec["persistentVolumeClaimRetentionPolicy"].items():
        if value not in ("Retain", "Delete"):
            path = f"spec.persistentVolumeClaimRetentionPolicy.{field}"
            errors.unsupported(path, value, ("Retain", "Delete"))
    validation.all_not_negative(spec, "spec", ("replicas", "minReadySeconds"), errors)
    validation.not_negative(at(spec, "ordinals", "start"), "spec.ordinals.start", errors)
    check_selector(obj, "statefulset", errors)


def _check_strategy(strategy: Object, errors: Errors) -> None:
    path, rolling = "spec.updateStrategy", strategy.get("rollingUpdate")
    if strategy["type"] not in ("RollingUpdate", "OnDelete"):
        errors.invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'")
    elif strategy["type"] == "OnDelete" and rolling is not None:
        errors.invalid(f"{path}.rollingUpdate", rolling, "only allowed for updateStrategy 'RollingUpdate'")
    elif rolling is not None:
        validation.not_negative(rolling.get("partition"), f"{path}.rollingUpdate.partition", errors)
        unavailable, here = rolling.get("maxUnavailable"), f"{path}.rollingUpdate.maxUnavailable"
        if unavailable is not None:
            validation.int_or_percent(unavailable, here, errors)
            if validation.is_zero(unavailable):
                errors.invalid(here, unavailable, "cannot be 0")
            validation.at_most_all(unavailable, here, errors)


def _check_template(obj: Object, errors: Errors) -> None:
    """The pod template, with the volumes that its pods get from the claim templates."""
    spec = obj["spec"]
    template = spec.get("template") or {}
    pod = template.get("spec") or {}
    claims = {at(claim, "metadata", "name") or "" for claim in spec.get("volumeClaimTemplates") or ()}
    # Those of the template keep their places, which messages name.
    kept = [
        {"name": one["name"], "emptyDir": {}} if one.get("name") in claims else one for one in pod.get("volumes") or ()
    ]
    claims -= {one.get("name") for one in kept}
    given = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in sorted(claims)]
    whole = {**template, "spec": {**pod, "volumes": kept + given}}
    check_template({"spec": {"template": whole}}, "StatefulSet", errors)


def _check_claim(claim: Object, path: str, errors: Errors) -> None:
    name = at(claim, "metadata", "name")
    if not name:
        errors.required(f"{path}.metadata.name", "name or generateName is required")
    else:
        for problem in names.dns_subdomain(name):
            errors.invalid(f"{path}.metadata.name", name, problem)
    found = Errors()
    validate_claim_spec(claim.get("spec") or {}, found)
    errors += [replace(error, path=f"{path}.{error.path}") for error in found]
