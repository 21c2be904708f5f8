"""What PodGroups and the templates in Workloads have in common. Source: API reference; KEP-4671."""

from __future__ import annotations

from kybern.api import names
from kybern.api.core.podspec_checks import follows, known_if_set
from kybern.api.field import Errors
from kybern.api.scheduling.priorityclass import HIGHEST_USER_PRIORITY
from kybern.api.types import Object

_MAX_CLAIMS = 4
_MODES = ("Pod", "PodGroup")
_ONE_POLICY = "must specify exactly one of: `basic`, `gang`"
_ONE_CLAIM = "must specify exactly one of: `resourceClaimName`, `resourceClaimTemplateName`"


def validate_group(group: Object, path: str, errors: Errors) -> None:
    """How a group of pods is scheduled and what it claims."""
    policy = group.get("schedulingPolicy") or {}
    kinds = [kind for kind in ("basic", "gang") if policy.get(kind) is not None]
    if len(kinds) != 1:
        errors.invalid(f"{path}.schedulingPolicy", policy if kinds else "", _ONE_POLICY)
    least = (policy.get("gang") or {}).get("minCount") or 0
    if "gang" in kinds and least < 1:
        errors.invalid(f"{path}.schedulingPolicy.gang.minCount", least, "must be greater than or equal to 1")
    known_if_set(group.get("disruptionMode"), _MODES, f"{path}.disruptionMode", errors)
    if group.get("priorityClassName"):
        follows(names.dns_subdomain, group["priorityClassName"], f"{path}.priorityClassName", errors)
    priority = group.get("priority")
    if priority is not None and priority > HIGHEST_USER_PRIORITY + HIGHEST_USER_PRIORITY + 1000:
        errors.invalid(f"{path}.priority", priority, "must be less than or equal to 2000001000")
    topology = (group.get("schedulingConstraints") or {}).get("topology") or []
    if len(topology) > 1:
        errors.too_many(f"{path}.schedulingConstraints.topology", len(topology), 1)
    for index, constraint in enumerate(topology):
        here = f"{path}.schedulingConstraints.topology[{index}].key"
        follows(names.qualified_name, constraint.get("key") or "", here, errors)
    _check_claims(group.get("resourceClaims") or [], f"{path}.resourceClaims", errors)


def _check_claims(claims: list[Object], path: str, errors: Errors) -> None:
    if len(claims) > _MAX_CLAIMS:
        errors.too_many(path, len(claims), _MAX_CLAIMS)
        return
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        here, name = f"{path}[{index}]", claim.get("name") or ""
        follows(names.dns_label, name, f"{here}.name", errors)
        if name in seen:
            errors.duplicate(f"{here}", name)
        seen.add(name)
        given = [key for key in ("resourceClaimName", "resourceClaimTemplateName") if claim.get(key) is not None]
        if len(given) != 1:
            errors.invalid(here, claim if given else "", _ONE_CLAIM)
        for key in given:
            follows(names.dns_subdomain, claim[key], f"{here}.{key}", errors)
