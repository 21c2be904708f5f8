"""The rules of a Service's cluster addresses and IP families.

What depends on the cluster's ranges is left to the API server, which allocates (apiserver/services/families.py).
Source: Kubernetes documentation, "IPv4/IPv6 dual-stack".
"""

from __future__ import annotations

from kybern.api import addresses, validation
from kybern.api.field import Errors
from kybern.api.types import Object

_HEADLESS = "None"
_FAMILIES = ("IPv4", "IPv6")
_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_IPS, _FAMILY = "spec.clusterIPs", "spec.ipFamilies"
_FIXED = "may not change once set"


def validate(spec: Object, before: Object, errors: Errors) -> None:
    """Any write; `before` is the spec it replaces, or {}."""
    if spec.get("type") == "ExternalName":
        return
    first, ips, families = spec.get("clusterIP") or "", spec.get("clusterIPs") or [], spec.get("ipFamilies") or []
    if first and not ips:
        errors.required(_IPS)
    elif first and ips[0] != first:
        errors.invalid(_IPS, ips, "first value must match `clusterIP`")
    elif ips and not first:
        errors.invalid(_IPS, ips, "must be empty when `clusterIP` is not specified")
    for index, family in enumerate(families):
        if family not in _FAMILIES:
            errors.unsupported(f"{_FAMILY}[{index}]", family, _FAMILIES)
        if family in families[:index]:
            errors.duplicate(f"{_FAMILY}[{index}]", family)
    if spec.get("ipFamilyPolicy"):
        validation.one_of(spec["ipFamilyPolicy"], _POLICIES, "spec.ipFamilyPolicy", errors)
    if _well_formed(ips, before.get("clusterIPs") or [], errors):
        _match(ips, families, errors)


def _well_formed(ips: list[str], held: list[str], errors: Errors) -> bool:
    before = len(errors)
    for index, text in enumerate(ips):
        if index == 0 and text == _HEADLESS:
            if len(ips) > 1:
                errors.invalid(_IPS, ips, f"'{_HEADLESS}' must be the first and only value")
        elif text not in held and (problem := addresses.ip_problem(text)):
            errors.invalid(f"{_IPS}[{index}]", text, problem)
    good = len(errors) == before
    if len(ips) > 2:
        errors.invalid(_IPS, ips, "may only hold up to 2 values")
    return good


def _match(ips: list[str], families: list[str], errors: Errors) -> None:
    found = [addresses.address(text) for text in ips]
    kinds = [addresses.family(one) for one in found if one is not None]
    if len(ips) > 1 and set(kinds) != set(_FAMILIES):
        errors.invalid(_IPS, ips, "may specify no more than one IP for each IP family")
    if ips == [_HEADLESS]:
        return
    for index, (kind, wanted) in enumerate(zip(kinds, families, strict=False)):
        if wanted in _FAMILIES and kind != wanted:
            detail = f"expected an {wanted} value as indicated by `ipFamilies[{index}]`"
            errors.invalid(f"{_IPS}[{index}]", ips[index], detail)


def validate_update(spec: Object, before: Object, errors: Errors) -> None:
    """The first address and family stay, and the second unless it is given up."""
    if "ExternalName" in (spec.get("type"), before.get("type")):
        return
    ips, held = spec.get("clusterIPs") or [], before.get("clusterIPs") or []
    free, was_free = ips == [_HEADLESS], held == [_HEADLESS]
    if free and was_free:
        return
    if held and not ips:
        errors.invalid(f"{_IPS}[0]", ips, "primary clusterIP can not be unset")
    for index, (now, then) in enumerate(zip(ips, held, strict=False)):
        if now != then and (index == 0 or len(ips) == len(held)):
            errors.invalid(f"{_IPS}[{index}]", ips, _FIXED)
    if free or was_free:
        return
    families, had = spec.get("ipFamilies") or [], before.get("ipFamilies") or []
    if any(now != then for now, then in zip(families, had, strict=False)):
        errors.invalid(f"{_FAMILY}[0]", families, _FIXED)
