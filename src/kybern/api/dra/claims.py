"""What a claim asks for: defaults and rules of the spec that ResourceClaims and their templates share.

Source: API reference, DeviceClaim v1 resource.k8s.io; KEP-4381, KEP-4816 (firstAvailable), KEP-5055 (tolerations).
"""

from __future__ import annotations

from typing import Any

from kybern.api import names
from kybern.api.core.podspec_checks import required
from kybern.api.dra import checks
from kybern.api.dra.selectors import check_selectors
from kybern.api.field import Errors
from kybern.api.types import Object

_MAX_REQUESTS, _MAX_CONSTRAINTS, _MAX_CHOICES = 32, 32, 8
_MODES = ("All", "ExactCount")
_ONE_KIND = "exactly one of `exactly` or `firstAvailable` is required"
_NO_REQUEST = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
_ONE_ATTRIBUTE = (
    'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'
)


def default_claim(spec: Object) -> None:
    """One device of each request, unless it says otherwise."""
    for request in (spec.get("devices") or {}).get("requests") or ():
        for one in (request.get("exactly"), *(request.get("firstAvailable") or ())):
            if one is None:
                continue
            one["allocationMode"] = one.get("allocationMode") or "ExactCount"
            if one["allocationMode"] == "ExactCount" and not one.get("count"):
                one["count"] = 1
            default_tolerations(one)


def default_tolerations(holder: Object) -> None:
    """Equal is what a toleration means that doesn't say."""
    for toleration in holder.get("tolerations") or ():
        toleration["operator"] = toleration.get("operator") or "Equal"


def request_names(spec: Object) -> frozenset[str]:
    """`request` and `request/subrequest` of a claim."""
    found: set[str] = set()
    for request in (spec.get("devices") or {}).get("requests") or ():
        name = request.get("name") or ""
        found |= {name, *(f"{name}/{one.get('name') or ''}" for one in request.get("firstAvailable") or ())}
    return frozenset(found)


def validate_claim(spec: Object, path: str, errors: Errors) -> None:
    """Rules of a new claim's spec."""
    devices, here, known = spec.get("devices") or {}, f"{path}.devices", request_names(spec)
    requests = devices.get("requests")
    checks.distinct(requests, _MAX_REQUESTS, _check_request, checks.by_name, f"{here}.requests", errors)

    def constraint(found: Any, where: str, errors: Errors) -> None:
        check_references(found.get("requests"), known, f"{where}.requests", errors)
        attributes = [key for key in ("matchAttribute", "distinctAttribute") if found.get(key) is not None]
        if not attributes:
            errors.required(where, _ONE_ATTRIBUTE)
        elif len(attributes) > 1:
            errors.invalid(where, found, _ONE_ATTRIBUTE)
        for key in attributes[:1]:
            checks.fully_qualified(found[key], f"{where}.{key}", errors)

    def config(found: Any, where: str, errors: Errors) -> None:
        check_references(found.get("requests"), known, f"{where}.requests", errors)
        checks.opaque(found, where, errors)

    checks.each(devices.get("constraints"), _MAX_CONSTRAINTS, constraint, f"{here}.constraints", errors)
    checks.each(devices.get("config"), checks.MAX_CONFIGS, config, f"{here}.config", errors)


def check_references(requests: list[str] | None, known: frozenset[str], path: str, errors: Errors) -> None:
    """Names of requests of the claim, each once."""


    def check(name: str, where: str, errors: Errors) -> None:
        check_reference(name, known, where, errors)

    checks.distinct(requests, _MAX_REQUESTS, check, checks.itself, path, errors)


def check_reference(name: str, known: frozenset[str], path: str, errors: Errors) -> None:
    """The name of a request of the claim, or of a request and one of its choices."""
    segments = name.split("/")
    if len(segments) > 2:
        errors.invalid(path, name, _NO_REQUEST)
        return
    for segment in segments:
        checks.label(segment, path, errors)
    if name not in known:
        errors.invalid(path, name, _NO_REQUEST)


def _check_request(request: Object, path: str, errors: Errors) -> None:
    checks.label(request.get("name"), f"{path}.name", errors)
    choices, exactly = request.get("firstAvailable"), request.get("exactly")
    if choices and exactly is not None:
        errors.invalid(path, None, f"{_ONE_KIND}, but multiple fields are set")
    elif choices:
        checks.distinct(choices, _MAX_CHOICES, _check_choice, checks.by_name, f"{path}.firstAvailable", errors)
    elif exactly is not None:
        _check_devices(exactly, f"{path}.exactly", errors)
    else:
        errors.required(path, _ONE_KIND)


def _check_choice(choice: Object, path: str, errors: Errors) -> None:
    checks.label(choice.get("name"), f"{path}.name", errors)
    _check_devices(choice, path, errors)


def _check_devices(wanted: Object, path: str, errors: Errors) -> None:
    required(names.dns_subdomain, wanted.get("deviceClassName"), f"{path}.deviceClassName", errors)
    check_selectors(wanted.get("selectors"), f"{path}.selectors", errors)
    mode, count = wanted.get("allocationMode") or "", wanted.get("count") or 0
    if mode == "All" and count:
        errors.invalid(f"{path}.count", count, "must not be specified when allocationMode is 'All'")
    elif mode == "ExactCount" and count <= 0:
        errors.invalid(f"{path}.count", count, "must be greater than zero")
    elif mode not in _MODES:
        errors.unsupported(f"{path}.allocationMode", mode, _MODES)
    checks.each(wanted.get("tolerations"), checks.MAX_TOLERATIONS, checks.toleration, f"{path}.tolerations", errors)
