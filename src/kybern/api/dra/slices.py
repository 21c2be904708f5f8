"""Rules of a ResourceSlice: a pool's devices, their attributes and capacities, and the counters they share.

Source: API reference, ResourceSliceSpec v1 resource.k8s.io; KEP-4815 (partitionable devices), KEP-5055 (taints),
KEP-5075 (consumable capacity), KEP-5491 (lists as attributes), KEP-5517 (node-allocatable resources).
"""

from __future__ import annotations

import re
from typing import Any

from kybern.api import meta, names, quantity, validation
from kybern.api.core.podspec_checks import follows, required
from kybern.api.core.scheduling_validation import validate_node_selector
from kybern.api.dra import checks
from kybern.api.dra.capacities import check_capacity
from kybern.api.field import Errors
from kybern.api.types import Object

_MAX_DEVICES, _MAX_SPECIAL_DEVICES, _MAX_TAINTS, _MAX_ATTRIBUTES, _MAX_VALUES = 128, 64, 16, 32, 48
_MAX_SETS, _MAX_COUNTERS, _MAX_CONSUMPTIONS, _VALUE_LENGTH = 8, 32, 2, 64
_ONE_PLACE = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
_ONE_DEVICE_PLACE = (
    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to "
    "true in the ResourceSlice spec"
)
_NO_DEVICE_PLACE = (
    "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set to true in the "
    "ResourceSlice spec"
)
_LISTS = ("bools", "ints", "strings", "versions")
_VALUES = ("bool", "int", "string", "version", *_LISTS)
_NUMBER, _WORD = r"(0|[1-9]\d*)", r"(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)"
_is_version = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_WORD}(\.{_WORD})*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?", re.ASCII
).fullmatch
_ALLOCATABLE = ("cpu", "ephemeral-storage", "memory")


def validate_slice(spec: Object, old: Object | None, errors: Errors) -> None:
    """The spec of a slice; `old` is what it was."""
    validation.csi_driver(spec.get("driver"), "spec.driver", errors)
    _check_pool(spec.get("pool") or {}, errors)
    _check_places(spec, errors)
    devices, sets = spec.get("devices"), spec.get("sharedCounters")
    if devices is not None and sets is not None:
        errors.invalid("spec", "", "only one of `sharedCounters` or `devices` is allowed")
    before = {device.get("name"): device for device in (old or {}).get("devices") or ()}
    per_device = bool(spec.get("perDeviceNodeSelection"))
    checks.distinct(
        devices,
        _MAX_SPECIAL_DEVICES if any(map(_is_special, devices or ())) else _MAX_DEVICES,
        lambda device, path, found: _check_device(device, before.get(device.get("name")), per_device, path, found),
        checks.by_name,
        "spec.devices",
        errors,
    )
    checks.distinct(sets, _MAX_SETS, _check_set, checks.by_name, "spec.sharedCounters", errors)


def _is_special(device: Object) -> bool:
    lists = any(attribute.get(key) is not None for attribute in _attributes(device) for key in _LISTS)
    return bool(device.get("taints") or device.get("consumesCounters") or lists)


def _attributes(device: Object) -> list[Object]:
    return list((device.get("attributes") or {}).values())


def _check_pool(pool: Object, errors: Errors) -> None:
    checks.pool(pool.get("name"), "spec.pool.name", errors)
    count, generation = pool.get("resourceSliceCount") or 0, pool.get("generation") or 0
    if count <= 0:
        errors.invalid("spec.pool.resourceSliceCount", count, "must be greater than zero")
    if generation < 0:
        errors.invalid("spec.pool.generation", generation, "must be greater than or equal to zero")


def _check_places(spec: Object, errors: Errors) -> None:
    found = _places(spec, "spec", "must be either unset or set to a non-empty string", errors)
    terms = (spec.get("nodeSelector") or {}).get("nodeSelectorTerms") or []
    if spec.get("nodeSelector") is not None and len(terms) != 1:
        errors.invalid("spec.nodeSelector.nodeSelectorTerms", terms, "must have exactly one node selector term")
    if spec.get("perDeviceNodeSelection"):
        found.append("`perDeviceNodeSelection`")
    elif spec.get("perDeviceNodeSelection") is not None:
        errors.invalid("spec.perDeviceNodeSelection", False, "must be either unset or set to true")
    if not found:
        errors.required("spec", _ONE_PLACE)
    elif len(found) > 1:
        errors.invalid("spec", f"{{{', '.join(found)}}}", f"{_ONE_PLACE}, but multiple fields are set")


def _places(holder: Object, path: str, empty: str, errors: Errors) -> list[str]:
    """Which of the ways to say where are used."""
    found: list[str] = []
    node, selector, everywhere = (holder.get(key) for key in ("nodeName", "nodeSelector", "allNodes"))
    if node:
        found.append("`nodeName`")
        follows(names.dns_subdomain, node, f"{path}.nodeName", errors)
    elif node is not None:
        errors.invalid(f"{path}.nodeName", node, empty)
    if selector is not None:
        found.append("`nodeSelector`")
        validate_node_selector(selector, f"{path}.nodeSelector", errors)
    if everywhere:
        found.append("`allNodes`")
    elif everywhere is not None:
        errors.invalid(f"{path}.allNodes", False, "must be either unset or set to true")
    return found


def _check_device(device: Object, old: Object | None, per_device: bool, path: str, errors: Errors) -> None:
    checks.label(device.get("name"), f"{path}.name", errors)
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    if (count := len(attributes) + len(capacity)) > _MAX_ATTRIBUTES:
        detail = f"the total number of attributes and capacities must not exceed {_MAX_ATTRIBUTES}"
        errors.invalid(path, count, detail)
    if (count := sum(sum(len(one.get(key) or ()) for key in _LISTS) or 1 for one in attributes.values())) > _MAX_VALUES:
        errors.invalid(path, count, f"the total number of attribute values must not exceed {_MAX_VALUES}")
    checks.named(attributes, -1, checks.qualified, _check_attribute, f"{path}.attributes", errors)
    shared = bool(device.get("allowMultipleAllocations"))
    if old is None or not meta.same(old.get("capacity"), capacity):
        checks.named(
            capacity,
            -1,
            checks.qualified,
            lambda one, where, found: check_capacity(one, shared, where, found),
            f"{path}.capacity",
            errors,
        )
    if old is None or not meta.same(old.get("taints"), device.get("taints")):
        checks.each(device.get("taints"), _MAX_TAINTS, checks.taint, f"{path}.taints", errors)
    checks.distinct(
        device.get("consumesCounters"),
        _MAX_CONSUMPTIONS,
        _check_consumption,
        lambda one: one.get("counterSet") or "",
        f"{path}.consumesCounters",
        errors,
    )
    _check_device_place(device, per_device, path, errors)
    checks.binding(device, path, errors)
    _check_mappings(device.get("nodeAllocatableResourceMappings") or {}, capacity, path, errors)


def _check_device_place(device: Object, per_device: bool, path: str, errors: Errors) -> None:
    if not per_device:
        if any(device.get(key) is not None for key in ("nodeName", "nodeSelector", "allNodes")):
            errors.invalid(path, None, _NO_DEVICE_PLACE)
        return
    found = _places(device, path, "must not be empty", errors)
    if not found:
        errors.required(path, _ONE_DEVICE_PLACE)
    elif len(found) > 1:
        errors.invalid(path, f"{{{', '.join(found)}}}", _ONE_DEVICE_PLACE)


def _check_attribute(attribute: Object, path: str, errors: Errors) -> None:
    found = [key for key in _VALUES if attribute.get(key) is not None]
    for key in found:
        value, here = attribute[key], f"{path}.{key}"
        if key in _LISTS and not value:
            errors.invalid(here, value, "must not be empty if specified")
        values = [(f"{here}[{i}]", one) for i, one in enumerate(value)] if key in _LISTS else [(here, value)]
        for where, one in values:
            if key in ("version", "versions") and not _is_version(one):
                errors.invalid(where, one, "must be a string compatible with semver.org spec 2.0.0")
            if isinstance(one, str) and len(one.encode()) > _VALUE_LENGTH:
                errors.too_long(where, _VALUE_LENGTH)
    if len(found) != 1:
        errors.invalid(path, attribute if found else "", "exactly one value must be specified")


def _anything(value: Any, path: str, errors: Errors) -> None:
    """Any quantity will do, and the schema has seen that it is one."""


def _check_set(counters: Object, path: str, errors: Errors) -> None:
    required(names.dns_label, counters.get("name"), f"{path}.name", errors)
    _check_counters(counters.get("counters"), path, errors)


def _check_consumption(consumption: Object, path: str, errors: Errors) -> None:
    required(names.dns_label, consumption.get("counterSet"), f"{path}.counterSet", errors)
    _check_counters(consumption.get("counters"), path, errors)


def _check_counters(counters: Object | None, path: str, errors: Errors) -> None:
    if not counters:
        errors.required(f"{path}.counters")
    checks.named(counters, _MAX_COUNTERS, checks.label, _anything, f"{path}.counters", errors)


def _check_mappings(mappings: Object, capacity: Object, path: str, errors: Errors) -> None:
    for name, mapping in mappings.items():
        here, key = f"{path}.nodeAllocatableResourceMappings[{name}]", mapping.get("capacityKey")
        if name not in _ALLOCATABLE and not name.startswith("hugepages-"):
            errors.invalid(here, name, "must be a node allocatable resource name")
        if key == "":
            errors.invalid(f"{here}.capacityKey", "", "capacityKey must not be an empty string")
        elif key is not None and key not in capacity:
            errors.not_found(f"{here}.capacityKey", key)
        factor = mapping.get("allocationMultiplier")
        if factor is not None and quantity.parse(factor) <= 0:
            errors.invalid(f"{here}.allocationMultiplier", str(factor), "must be positive")
