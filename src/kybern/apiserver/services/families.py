"""Which IP families a Service has: what was asked for, and where nothing was, what the cluster has.

Source: Kubernetes documentation, "IPv4/IPv6 dual-stack"; KEP-563.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from kybern.api.core.service import needs_cluster_ip
from kybern.api.field import Errors
from kybern.api.types import Object

HEADLESS = "None"
SINGLE, PREFER, REQUIRE = "SingleStack", "PreferDualStack", "RequireDualStack"
_OTHER = {"IPv4": "IPv6", "IPv6": "IPv4"}
_POLICY, _FAMILIES = "spec.ipFamilyPolicy", "spec.ipFamilies"


def is_settled(spec: Object, before: Object) -> bool:
    """Whether an update leaves a Service that prefers two families as it is: the cluster may have become another
    since, but nobody asked for a change."""
    return (
        bool(before)
        and spec.get("type") == before.get("type")
        and spec.get("ipFamilyPolicy") == PREFER
        and before.get("ipFamilyPolicy", PREFER) == PREFER
        and all((spec.get(key) or []) == (before.get(key) or []) for key in ("clusterIPs", "ipFamilies"))
    )


def settle(spec: Object, before: Object, configured: Sequence[str], errors: Errors) -> None:
    """Fill in ipFamilyPolicy and ipFamilies of a Service with cluster addresses or none (headless). `before` is the
    spec an update replaces, {} for a new one; `configured` are the cluster's families, the default one first."""
    had = before if needs_cluster_ip(before) else {}
    free = spec.get("clusterIP") == HEADLESS and not spec.get("selector")
    if not spec.get("ipFamilyPolicy"):
        spec["ipFamilyPolicy"] = had.get("ipFamilyPolicy") or (REQUIRE if free else SINGLE)
    policy = spec["ipFamilyPolicy"]
    if before:
        _reduce(spec, before, policy, errors)
    if policy == SINGLE:
        for key, what in (("clusterIPs", "cluster IPs"), ("ipFamilies", "IP families")):
            if len(spec.get(key) or []) == 2:
                detail = f"must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                errors.invalid(_POLICY, policy, detail)
    families = list(spec.get("ipFamilies") or [])
    for index, text in enumerate(spec.get("clusterIPs") or []):
        if text == HEADLESS:
            break
        if text and index >= len(families):
            family = f"IPv{ipaddress.ip_address(text).version}"
            if family in configured:
                families.append(family)
            else:
                path = f"spec.clusterIPs[{index}]"
                errors.invalid(path, spec["clusterIPs"], f"{family} is not configured on this cluster")
    if not errors and not free:
        if policy == REQUIRE and len(configured) < 2:
            errors.invalid(_POLICY, policy, "this cluster is not configured for dual-stack services")
        for index, family in enumerate(families):
            if family not in configured:
                errors.invalid(f"{_FAMILIES}[{index}]", family, "not configured on this cluster")
    if errors:
        return
    families = families or list(configured[:1])
    if policy != SINGLE and len(families) == 1 and (free or len(configured) == 2):
        families.append(_OTHER[families[0]])
    spec["ipFamilies"] = families


def _reduce(spec: Object, before: Object, policy: str, errors: Errors) -> None:
    """Updates: to ask for one family is to give the second one up; to drop it without asking is a mistake."""
    for key, what in (("clusterIPs", "cluster IP"), ("ipFamilies", "IP family")):
        now, then = spec.get(key) or [], before.get(key) or []
        if policy == SINGLE:
            if now == then and len(now) > 1:
                spec[key] = now[:1]
        elif now and len(now) < len(then):
            errors.invalid(_POLICY, policy, f"must be 'SingleStack' to release the secondary {what}")
