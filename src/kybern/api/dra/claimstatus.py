"""Rules of a claim's status: which devices it has, for whom, and what their drivers report of them.

Source: API reference, ResourceClaimStatus v1 resource.k8s.io; KEP-4817 (device status).
"""

from __future__ import annotations

import ipaddress

from kybern.api import validation
from kybern.api.cells import at
from kybern.api.core.podspec_checks import all_set
from kybern.api.core.scheduling_validation import validate_node_selector
from kybern.api.dra import checks
from kybern.api.dra.claims import check_reference, check_references, request_names
from kybern.api.field import Errors
from kybern.api.types import Object

_MAX_USERS, _MAX_RESULTS, _MAX_IPS, _DATA_SIZE = 256, 32, 16, 10 * 1024
_NAME_LENGTH, _ADDRESS_LENGTH = 256, 128
_SOURCES = ("FromClaim", "FromClass")


def device_key(device: Object) -> tuple[str, str, str, str]:
    """What identifies an allocated device: driver, pool, device and share."""
    driver, pool, name, share = (device.get(key) or "" for key in ("driver", "pool", "device", "shareID"))
    return driver, pool, name, share


def _shown(key: tuple[str, str, str, str]) -> str:
    return "/".join(key[:3]) + (f"/{key[3]}" if key[3] else "")


def validate_claim_status(obj: Object, old: Object, errors: Errors) -> None:
    """Rules of a write of status."""
    status, before = obj.get("status") or {}, old.get("status") or {}
    users, allocation, was = status.get("reservedFor") or [], status.get("allocation"), before.get("allocation")
    path = "status.reservedFor"
    checks.distinct(users, _MAX_USERS, _check_user, lambda user: user.get("uid") or "", path, errors)
    allocated = {device_key(one) for one in at(allocation, "devices", "results") or ()}
    checks.distinct(
        status.get("devices"),
        -1,
        lambda device, where, found: _check_device(device, allocated, where, found),
        lambda device: _shown(device_key(device)),
        "status.devices",
        errors,
    )
    if users and allocation is None:
        errors.forbidden(path, "may not be specified when `allocated` is not set")
    elif obj["metadata"].get("deletionTimestamp") and any(u not in (before.get("reservedFor") or ()) for u in users):
        detail = "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"
        errors.forbidden(path, detail)
    if allocation is not None and was is not None:
        validation.unchanged(allocation, was, "status.allocation", errors)
    elif allocation is not None:
        _check_allocation(allocation, request_names(obj["spec"]), "status.allocation", errors)


def _check_user(user: Object, path: str, errors: Errors) -> None:
    all_set(user, ("resource", "name", "uid"), path, errors)


def _check_allocation(allocation: Object, known: frozenset[str], path: str, errors: Errors) -> None:
    devices = allocation.get("devices") or {}

    def result(found: Object, where: str, errors: Errors) -> None:
        check_reference(found.get("request") or "", known, f"{where}.request", errors)
        _check_identity(found, where, errors)
        checks.binding(found, where, errors)
        tolerations = found.get("tolerations")
        checks.each(tolerations, checks.MAX_TOLERATIONS, checks.toleration, f"{where}.tolerations", errors)

    def config(found: Object, where: str, errors: Errors) -> None:
        validation.one_of(found.get("source"), _SOURCES, f"{where}.source", errors)
        check_references(found.get("requests"), known, f"{where}.requests", errors)
        checks.opaque(found, where, errors)

    checks.each(devices.get("results"), _MAX_RESULTS, result, f"{path}.devices.results", errors)
    checks.each(devices.get("config"), 2 * checks.MAX_CONFIGS, config, f"{path}.devices.config", errors)
    if allocation.get("nodeSelector") is not None:
        validate_node_selector(allocation["nodeSelector"], f"{path}.nodeSelector", errors)


def _check_identity(device: Object, path: str, errors: Errors) -> None:
    validation.csi_driver(device.get("driver"), f"{path}.driver", errors)
    checks.pool(device.get("pool"), f"{path}.pool", errors)
    checks.label(device.get("device"), f"{path}.device", errors)
    if device.get("shareID") is not None:
        checks.uid(device["shareID"], f"{path}.shareID", errors)


def _check_device(
    device: Object, allocated: set[tuple[str, str, str, str]], path: str, errors: Errors
) -> None:
    _check_identity(device, path, errors)
    key = device_key(device)
    if key not in allocated:
        errors.invalid(path, _shown(key), "must be an allocated device in the claim")
    checks.limited_conditions(device.get("conditions"), f"{path}.conditions", errors)
    if device.get("data") is not None:
        checks.raw(device["data"], f"{path}.data", errors, limit=_DATA_SIZE)
    network, here = device.get("networkData") or {}, f"{path}.networkData"
    for field, limit in (("interfaceName", _NAME_LENGTH), ("hardwareAddress", _ADDRESS_LENGTH)):
        if len((network.get(field) or "").encode()) > limit:
            errors.too_long(f"{here}.{field}", limit)
    checks.distinct(network.get("ips"), _MAX_IPS, _check_ip, checks.itself, f"{here}.ips", errors)


def _check_ip(text: str, path: str, errors: Errors) -> None:
    """An address with the length of its network's prefix, as it is normally written."""
    try:
        normal = str(ipaddress.ip_interface(text)) if "/" in text else ""
    except ValueError:
        normal = ""
    if not normal:
        detail = "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)"
        errors.invalid(path, text, detail)
    elif normal != text:
        errors.invalid(path, text, f'must be in canonical form ("{normal}")')
