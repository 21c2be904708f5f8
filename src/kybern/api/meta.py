"""ObjectMeta: filling it in, and its rules on create and update.

Source: API conventions, "Metadata"; API reference, ObjectMeta.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kybern.api import names
from kybern.api.field import Errors
from kybern.api.types import Object
from kybern.process.clock import clock, name_suffix, new_uid

ANNOTATIONS_LIMIT = 256 * 1024
_GENERATED_PREFIX_LIMIT = 63 - 5
_STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")
_IMMUTABLE = ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds")
_SERVER_SET = ("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
               "generation", "selfLink")  # fmt: skip


def generate_name(prefix: str) -> str:
    """`web-` -> `web-x7k2p`."""
    return f"{prefix[:_GENERATED_PREFIX_LIMIT]}{name_suffix()}"


def wipe(metadata: Object) -> None:
    """Drop what clients may not choose of a new object."""
    for field in _SERVER_SET:
        metadata.pop(field, None)


def fill_create(metadata: Object, *, generation: bool) -> None:
    """What the server sets on a new object, whatever was there. The name is generated if asked for."""
    wipe(metadata)
    if not metadata.get("name") and metadata.get("generateName"):
        metadata["name"] = generate_name(metadata["generateName"])
    metadata["uid"] = new_uid()
    metadata["creationTimestamp"] = clock.stamp()
    if generation:
        metadata["generation"] = 1


def carry_over(metadata: Object, old: Object) -> None:
    """On update: server-set fields the client left out come from the old object, as upstream does it."""
    for field in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generateName"):
        if not metadata.get(field) and old.get(field) is not None:
            metadata[field] = old[field]
    if "generation" in old:
        metadata["generation"] = old["generation"]
    metadata.pop("selfLink", None)


def validate_labels(labels: Mapping[str, str] | None, path: str, errors: Errors) -> None:
    """Keys are qualified names, values label values."""
    for key, value in (labels or {}).items():
        for problem in names.qualified_name(key):
            errors.invalid(path, key, problem)
        for problem in names.label_value(value):
            errors.invalid(path, value, problem)


def validate_annotations(annotations: Mapping[str, str] | None, path: str, errors: Errors) -> None:
    """Keys are qualified names (in any case); all together at most 256 KiB."""
    total = 0
    for key, value in (annotations or {}).items():
        for problem in names.qualified_name(key.lower()):
            errors.invalid(path, key, problem)
        total += len(key.encode()) + len(value.encode())
    if total > ANNOTATIONS_LIMIT:
        errors.too_long(path, ANNOTATIONS_LIMIT)


def validate_create(
    metadata: Object, errors: Errors, *, namespaced: bool, name_rule: str = "dns_subdomain", custom: bool = False
) -> None:
    """The whole ObjectMeta of a new object, after its name has been generated. `name_rule` is a key of names.RULES;
    `custom` kinds may have finalizers without a domain."""
    path = "metadata"
    prefix, name, namespace = metadata.get("generateName"), metadata.get("name"), metadata.get("namespace")
    rule = names.RULES[name_rule]
    if prefix:
        # A prefix may end in a hyphen, which no name may: the suffix to come is stood for by a letter.
        for problem in rule(f"{prefix[:-1]}a" if prefix.endswith("-") else prefix):
            errors.invalid(f"{path}.generateName", prefix, problem)
    if not name:
        errors.required(f"{path}.name", "name or generateName is required")
    else:
        for problem in rule(name):
            errors.invalid(f"{path}.name", name, problem)
    if namespaced and not namespace:
        errors.required(f"{path}.namespace")
    elif namespaced:
        for problem in names.dns_label(namespace or ""):
            errors.invalid(f"{path}.namespace", namespace, problem)
    elif namespace:
        errors.forbidden(f"{path}.namespace", "not allowed on this type")
    _validate_common(metadata, path, errors, custom)


def _validate_common(metadata: Object, path: str, errors: Errors, custom: bool) -> None:
    if (metadata.get("generation") or 0) < 0:
        errors.invalid(f"{path}.generation", metadata["generation"], "must be greater than or equal to 0")
    validate_labels(metadata.get("labels"), f"{path}.labels", errors)
    validate_annotations(metadata.get("annotations"), f"{path}.annotations", errors)
    if metadata.get("ownerReferences"):
        _validate_owners(metadata["ownerReferences"], f"{path}.ownerReferences", errors)
    if metadata.get("finalizers"):
        _validate_finalizers(metadata["finalizers"], f"{path}.finalizers", errors, custom)


def _validate_owners(owners: list[Object], path: str, errors: Errors) -> None:
    controller = ""
    for i, owner in enumerate(owners):
        here = f"{path}[{i}]"
        if not owner.get("apiVersion"):
            errors.invalid(f"{here}.apiVersion", owner.get("apiVersion", ""), "version must not be empty")
        for field in ("kind", "name", "uid"):
            if not owner.get(field):
                errors.invalid(f"{here}.{field}", owner.get(field, ""), "must not be empty")
        if owner.get("kind") == "Event" and owner.get("apiVersion") in ("v1", "events.k8s.io/v1"):
            errors.invalid(here, owner, f"{owner['apiVersion']}, Kind=Event is disallowed from being an owner")
        if owner.get("controller"):
            if controller:
                detail = 'Only one reference can have Controller set to true. Found "true" in references for '
                errors.invalid(path, owners, f"{detail}{controller} and {owner.get('name')}")
            controller = owner.get("name") or ""


def _validate_finalizers(finalizers: list[str], path: str, errors: Errors, custom: bool) -> None:
    for name in finalizers:
        for problem in names.qualified_name(name):
            errors.invalid(path, name, problem)
    for i, name in enumerate(() if custom else finalizers):
        if "/" not in name and not is_standard_finalizer(name):
            detail = "name is neither a standard finalizer name nor is it fully qualified"
            errors.invalid(f"{path}[{i}]", name, detail)
    if "orphan" in finalizers and "foregroundDeletion" in finalizers:
        errors.invalid(path, finalizers, "finalizer orphan and foregroundDeletion cannot be both set")


def is_standard_finalizer(name: str) -> bool:
    """Whether a finalizer without a domain is one that upstream knows."""
    return name in _STANDARD_FINALIZERS


def unqualified_finalizers(metadata: Object, old: Object | None) -> list[str]:
    """Warnings of a custom object's finalizers, those that `old` lacks, which have no domain."""
    if not metadata.get("finalizers"):
        return []
    new = sorted(set(metadata["finalizers"]) - set((old or {}).get("finalizers") or ()))
    return [
        f'metadata.finalizers: "{name}": prefer a domain-qualified finalizer name including a path (/) to avoid '
        "accidental conflicts with other finalizer writers"
        for name in new
        if "/" not in name and not is_standard_finalizer(name)
    ]


def single_owners(metadata: Object, when: str = "") -> list[str]:
    """Drop owner references that come twice, with a warning; `when` says after what they did."""
    owners = metadata.get("ownerReferences")
    if not owners or len(owners) < 2:
        return []
    kept: list[Object] = []
    twice = []
    for owner in owners:
        if owner in kept:
            twice.append(str(owner.get("uid", "")))
        else:
            kept.append(owner)
    if not twice:
        return []
    metadata["ownerReferences"] = kept
    return [
        f".metadata.ownerReferences contains duplicate entries{when}; API server dedups owner references in 1.20+, and "
        f"may reject such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: "
        f"{', '.join(twice)}"
    ]


AFTER_ADMISSION = " after mutating admission happens"


def validate_update(metadata: Object, old: Object, errors: Errors, *, custom: bool = False) -> None:
    """Rules between an object's metadata and what is stored; `carry_over` has run already. `custom` as for creation."""
    path = "metadata"
    for field in _IMMUTABLE:
        if metadata.get(field) != old.get(field):
            errors.invalid(f"{path}.{field}", metadata.get(field), "field is immutable")
    if (metadata.get("generation") or 0) < (old.get("generation") or 0):
        errors.invalid(f"{path}.generation", metadata.get("generation"), "must not be decremented")
    if old.get("deletionTimestamp"):
        new = sorted(set(metadata.get("finalizers") or ()) - set(old.get("finalizers") or ()))
        if new:
            listed = ", ".join(f'"{name}"' for name in new)
            detail = "no new finalizers can be added if the object is being deleted, found new finalizers "
            errors.forbidden(f"{path}.finalizers", f"{detail}[]string{{{listed}}}")
    _validate_common(metadata, path, errors, custom)


def same(a: Any, b: Any) -> bool:
    """Deep equality where an absent, null or zero value equals an empty one, as between decoded Go structs."""
    if a is b:
        return True
    if isinstance(a, dict) or isinstance(b, dict):
        left, right = a or {}, b or {}
        if not isinstance(left, dict) or not isinstance(right, dict):
            return False
        return all(same(left.get(key), right.get(key)) for key in left.keys() | right.keys())
    if isinstance(a, list) or isinstance(b, list):
        one, two = a or [], b or []
        if not isinstance(one, list) or not isinstance(two, list):
            return False
        return len(one) == len(two) and all(map(same, one, two))
    return bool(a == b or (not a and not b))
