"""Checks that the kinds of this group share. Source: API reference, resource.k8s.io; limits are upstream's."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from kybern.api import names, validation
from kybern.api.conditions import validate_conditions
from kybern.api.core.podspec_checks import follows
from kybern.api.field import Errors
from kybern.api.types import Object

POOL_LENGTH, ID_LENGTH, MAX_CONFIGS, MAX_TOLERATIONS = 253, 32, 32, 16
PARAMETERS_SIZE = 10 * 1024
_MAX_CONDITIONS = 4
EFFECTS = ("NoExecute", "NoSchedule", "None")
_OPERATORS = ("Equal", "Exists")
_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
_NO_IDENTIFIER = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric "
    f"characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '{_IDENTIFIER}')"
)
_is_identifier = re.compile(_IDENTIFIER, re.ASCII).fullmatch

Check = Callable[[Any, str, Errors], None]


def each(items: Sequence[Any] | None, limit: int, check: Check, path: str, errors: Errors) -> bool:
    """Check every item of a list, unless there are more than `limit` (negative: any number): gives whether not."""
    items = items or ()
    if 0 <= limit < len(items):
        errors.too_many(path, len(items), limit)
        return False
    for index, item in enumerate(items):
        check(item, f"{path}[{index}]", errors)
    return True


def distinct(
    items: Sequence[Any] | None, limit: int, check: Check, key: Callable[[Any], Any], path: str, errors: Errors
) -> None:
    """`each`, and no two items have the same key."""
    if not each(items, limit, check, path, errors):
        return
    seen: set[Any] = set()
    for index, item in enumerate(items or ()):
        found = key(item)
        if found in seen:
            errors.duplicate(f"{path}[{index}]", found)
        seen.add(found)


def by_name(item: Object) -> str:
    """The key of items that have a name."""
    return item.get("name") or ""


def itself(item: str) -> str:
    """The key of plain strings."""
    return item


def label(value: str | None, path: str, errors: Errors) -> None:
    """An RFC 1123 label: names of requests, devices and counters. An empty one is wrong, not missing."""
    follows(names.dns_label, value or "", path, errors)


def pool(name: str | None, path: str, errors: Errors) -> None:
    """DNS subdomains separated by slashes."""
    if not name:
        errors.required(path)
        return
    if len(name.encode()) > POOL_LENGTH:
        errors.too_long(path, POOL_LENGTH)
    for part in name.split("/"):
        follows(names.dns_subdomain, part, path, errors)


def uid(value: str, path: str, errors: Errors) -> None:
    """A UUID, as it is written normally."""
    try:
        parsed = str(uuid.UUID(value))
    except ValueError:
        errors.invalid(path, value, f"error validating uid: invalid UUID length: {len(value)}")
        return
    if parsed != value:
        detail = (
            "uid must be in RFC 4122 normalized form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase "
            "hexadecimal characters"
        )
        errors.invalid(path, value, detail)


def identifier(name: str, path: str, errors: Errors) -> None:
    """A C identifier."""
    if len(name.encode()) > ID_LENGTH:
        errors.too_long(path, ID_LENGTH)
    if not _is_identifier(name):
        errors.invalid(path, name, _NO_IDENTIFIER)


def qualified(name: str, path: str, errors: Errors) -> None:
    """`id` or `domain/id`: what attributes and capacities are called."""
    domain, slash, last = name.partition("/")
    if not slash:
        identifier(domain, path, errors)
        return
    if "/" in last:
        errors.invalid(path, name, "must not contain more than one slash")
        return
    if domain:
        validation.csi_driver(domain, path, errors)
    else:
        errors.invalid(path, "", "the domain must not be empty")
    if last:
        identifier(last, path, errors)
    else:
        errors.invalid(path, "", "the name must not be empty")


def fully_qualified(name: str, path: str, errors: Errors) -> None:
    """`domain/id`."""
    qualified(name, path, errors)
    if "/" not in name:
        detail = "a fully qualified name must be a domain and a name separated by a slash"
        errors.invalid(path, name, detail)


def raw(value: Any, path: str, errors: Errors, *, limit: int = PARAMETERS_SIZE, stored: bool = False) -> None:
    """A free JSON object of at most `limit` bytes; required. What is `stored` may be larger."""
    if value is None:
        errors.required(path)
    elif not stored and len(orjson.dumps(value)) > limit:
        errors.too_long(path, limit)
    elif not isinstance(value, dict):
        errors.invalid(path, "<value omitted>", "must be a valid JSON object")


def opaque(config: Object, path: str, errors: Errors, *, stored: bool = False) -> None:
    """A driver's own configuration."""
    found = config.get("opaque")
    if found is None:
        errors.required(f"{path}.opaque")
        return
    validation.csi_driver(found.get("driver"), f"{path}.opaque.driver", errors)
    raw(found.get("parameters"), f"{path}.opaque.parameters", errors, stored=stored)


def label_name(value: str | None, path: str, errors: Errors) -> None:
    """A label's key."""
    follows(names.qualified_name, value or "", path, errors)


def taint(found: Object, path: str, errors: Errors, old: Object | None = None) -> None:
    """A DeviceTaint."""
    label_name(found.get("key"), f"{path}.key", errors)
    if found.get("value"):
        follows(names.label_value, found["value"], f"{path}.value", errors)
    effect = found.get("effect")
    if old is not None and effect == old.get("effect"):
        return
    if not effect:
        errors.required(f"{path}.effect")
    elif effect not in EFFECTS:
        errors.unsupported(f"{path}.effect", effect, EFFECTS)


def toleration(found: Object, path: str, errors: Errors) -> None:
    """A DeviceToleration."""
    if found.get("key"):
        label_name(found["key"], f"{path}.key", errors)
    operator, value, effect = found.get("operator"), found.get("value") or "", found.get("effect")
    if operator == "Exists" and value:
        errors.invalid(f"{path}.value", value, "must be empty for operator `Exists`")
    elif operator == "Equal":
        follows(names.label_value, value, f"{path}.value", errors)
    elif not operator:
        errors.required(f"{path}.operator")
    elif operator not in _OPERATORS:
        errors.unsupported(f"{path}.operator", operator, _OPERATORS)
    if effect and effect not in EFFECTS:
        errors.unsupported(f"{path}.effect", effect, EFFECTS)


def binding(found: Object, path: str, errors: Errors) -> None:
    """bindingConditions and bindingFailureConditions of a device or an allocation (KEP-5007)."""
    good, bad = found.get("bindingConditions") or [], found.get("bindingFailureConditions") or []
    each(good, _MAX_CONDITIONS, label_name, f"{path}.bindingConditions", errors)
    each(bad, _MAX_CONDITIONS, label_name, f"{path}.bindingFailureConditions", errors)
    _no_twice(good, f"{path}.bindingConditions", errors)
    for index, name in enumerate(bad):
        here = f"{path}.bindingFailureConditions[{index}]"
        if name in bad[:index]:
            errors.duplicate(here, name)
        if name in good:
            errors.invalid(here, name, "bindingFailureConditions must not overlap with bindingConditions")
    if bad and not good:
        detail = "bindingConditions are required to use bindingFailureConditions"
        errors.invalid(f"{path}.bindingConditions", good, detail)
    if good and not bad:
        detail = "bindingFailureConditions are required to use bindingConditions"
        errors.invalid(f"{path}.bindingFailureConditions", bad, detail)


def _no_twice(items: Sequence[str], path: str, errors: Errors) -> None:
    for index, item in enumerate(items):
        if item in items[:index]:
            errors.duplicate(f"{path}[{index}]", item)


def named(
    values: Mapping[str, Any] | None, limit: int, key: Check, check: Check, path: str, errors: Errors
) -> None:
    """Check keys and values of a map of at most `limit` entries (negative: any number)."""
    values = values or {}
    if 0 <= limit < len(values):
        errors.too_many(path, len(values), limit)
        return
    for name, value in values.items():
        key(name, path, errors)
        check(value, f"{path}[{name}]", errors)


def limited_conditions(found: Sequence[Object] | None, path: str, errors: Errors, limit: int = 8) -> None:
    """A status's conditions, at most `limit`."""
    if len(found or ()) > limit:
        errors.too_many(path, len(found or ()), limit)
    validate_conditions(found, path, errors)
