"""Decides a CRD's status: which names are accepted, and what its conditions say. Pure.

Source: API reference, CustomResourceDefinitionStatus v1 apiextensions.k8s.io.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kybern.api.resource import Resource
from kybern.api.types import Object

_NAMES = ("plural", "singular", "shortNames", "kind", "listKind", "categories")


def accepted(crd: Object, others: Sequence[Object], builtin: Iterable[Resource], now: str) -> Object | None:
    """The CRD with accepted names and conditions as they should be; None if they are. `others` are the other CRDs,
    `builtin` the server's own kinds of the group, `now` a metav1.Time."""
    names = {key: crd["spec"]["names"][key] for key in _NAMES if crd["spec"]["names"].get(key)}
    resources, kinds = _taken(crd["spec"]["group"], others, builtin)
    conflict = _conflict(names, resources, kinds)
    if conflict:
        reason, message = conflict
        changed = with_condition(crd, _condition("NamesAccepted", False, reason, message), now)
        if _established(crd):
            return changed
        waiting = _condition("Established", False, "NotAccepted", "not all names are accepted")
        return with_condition(changed or crd, waiting, now) or changed
    changed = None
    if (crd.get("status") or {}).get("acceptedNames") != names:
        changed = {**crd, "status": {**(crd.get("status") or {}), "acceptedNames": names}}
    good = _condition("NamesAccepted", True, "NoConflicts", "no conflicts found")
    changed = with_condition(changed or crd, good, now) or changed
    if not _established(crd):
        established = _condition(
            "Established", True, "InitialNamesAccepted", "the initial names have been accepted"
        )
        changed = with_condition(changed or crd, established, now) or changed
    return changed


def terminating(message: str) -> Object:
    """The condition of a CRD whose objects are being deleted."""
    return _condition("Terminating", True, "InstanceDeletionInProgress", message)


def with_condition(crd: Object, condition: Object, now: str) -> Object | None:
    """The CRD with the condition set; None if it has it. The time changes only when the status does."""
    status = crd.get("status") or {}
    conditions = list(status.get("conditions") or ())
    for index, present in enumerate(conditions):
        if present["type"] != condition["type"]:
            continue
        if all(present.get(key) == value for key, value in condition.items()):
            return None
        moved = now if present["status"] != condition["status"] else present.get("lastTransitionTime", now)
        conditions[index] = {**condition, "lastTransitionTime": moved}
        break
    else:
        conditions.append({**condition, "lastTransitionTime": now})
    return {**crd, "status": {**status, "conditions": conditions}}


def _condition(kind: str, status: bool, reason: str, message: str) -> Object:
    return {"type": kind, "status": "True" if status else "False", "reason": reason, "message": message}


def _established(crd: Object) -> bool:
    conditions = (crd.get("status") or {}).get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def _taken(group: str, others: Sequence[Object], builtin: Iterable[Resource]) -> tuple[set[str], set[str]]:
    """Resource names and kinds that the group has already."""
    resources: set[str] = set()
    kinds: set[str] = set()
    for kind in builtin:
        resources |= {kind.plural, kind.singular or kind.kind.lower(), *kind.short_names}
        kinds |= {kind.kind, f"{kind.kind}List"}
    for other in others:
        if other["spec"]["group"] != group:
            continue
        names = (other.get("status") or {}).get("acceptedNames") or {}
        resources |= {names.get("plural", ""), names.get("singular", ""), *(names.get("shortNames") or ())}
        kinds |= {names.get("kind", ""), names.get("listKind", "")}
    return resources - {""}, kinds - {""}


def _conflict(names: Object, resources: set[str], kinds: set[str]) -> tuple[str, str] | None:
    """(reason, message) of the first name that another has."""
    checks = (
        ("PluralConflict", [names.get("plural", "")], resources),
        ("SingularConflict", [names.get("singular", "")], resources),
        ("ShortNamesConflict", names.get("shortNames") or [], resources),
        ("KindConflict", [names.get("kind", "")], kinds),
        ("ListKindConflict", [names.get("listKind", "")], kinds),
    )
    for reason, wanted, taken in checks:
        used = [name for name in wanted if name in taken]
        if used:
            return reason, "; ".join(f'"{name}" is already in use' for name in used)
    return None
