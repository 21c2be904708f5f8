"""Decides a CRD's status: which names are accepted, and what its conditions say. Pure.

Source: API reference, CustomResourceDefinitionStatus v1 apiextensions.k8s.io.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kybern.api.apiextensions.crd_validation import APPROVED, WHY_APPROVED, is_approval, is_protected
from kybern.api.resource import Resource
from kybern.api.types import Object

_NAMES = ("plural", "singular", "shortNames", "kind", "listKind", "categories")


def accepted(crd: Object, others: Sequence[Object], builtin: Iterable[Resource], now: str) -> Object | None:
    """The CRD with accepted names and conditions as they should be; None if they are. `others` are the other CRDs,
    `builtin` the server's own kinds of the group, `now` a metav1.Time."""
    resources, kinds = _taken(crd["spec"]["group"], others, builtin)
    names, conflict = _names(crd, resources, kinds)
    changed = None
    if (crd.get("status") or {}).get("acceptedNames") != names:
        changed = {**crd, "status": {**(crd.get("status") or {}), "acceptedNames": names}}
    found = [_condition("NamesAccepted", not conflict, *(conflict or ("NoConflicts", "no conflicts found")))]
    if not _established(crd):
        if conflict:
            found.append(_condition("Established", False, "NotAccepted", "not all names are accepted"))
        else:
            said = "the initial names have been accepted"
            found.append(_condition("Established", True, "InitialNamesAccepted", said))
    approval = approved(crd)
    for condition in (*found, *([approval] if approval else ())):
        changed = with_condition(changed or crd, condition, now) or changed
    return changed


def approved(crd: Object) -> Object | None:
    """The condition that says whether a CRD of a group of the community's has been approved; None of other groups."""
    if not is_protected(crd["spec"]["group"]):
        return None
    kind, text = "KubernetesAPIApprovalPolicyConformant", (crd["metadata"].get("annotations") or {}).get(APPROVED) or ""
    if not text:
        detail = f'protected groups must have approval annotation "{APPROVED}", see {WHY_APPROVED}'
        return _condition(kind, False, "MissingAnnotation", detail)
    if text.startswith("unapproved"):
        return _condition(kind, False, "UnapprovedAnnotation", f'not approved: "{text}"')
    if is_approval(text):
        return _condition(kind, True, "ApprovedAnnotation", f"approved in {text}")
    detail = f'protected groups must have approval annotation "{APPROVED}" with either a URL or a reason starting with '
    return _condition(kind, False, "InvalidAnnotation", f'{detail}"unapproved", see {WHY_APPROVED}')


def terminating(message: str) -> Object:
    """The condition of a CRD whose objects are being deleted."""
    return _condition("Terminating", True, "InstanceDeletionInProgress", message)


def terminated(crd: Object, finalizer: str, now: str) -> Object:
    """A CRD whose objects are gone, without the finalizer that they kept it by."""
    done = _condition("Terminating", False, "InstanceDeletionCompleted", "removed all instances")
    made = with_condition(crd, done, now) or crd
    left = [one for one in crd["metadata"].get("finalizers") or () if one != finalizer]
    return {**made, "metadata": {**crd["metadata"], "finalizers": left}}


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


def _names(crd: Object, resources: set[str], kinds: set[str]) -> tuple[Object, tuple[str, str] | None]:
    """The names the CRD has, those it wants where nobody else has them, and (reason, message) of the last it can't
    have."""
    wanted, had = crd["spec"]["names"], (crd.get("status") or {}).get("acceptedNames") or {}
    made, conflict = {key: had[key] for key in _NAMES if had.get(key)}, None
    for key, reason, taken in (
        ("plural", "PluralConflict", resources),
        ("singular", "SingularConflict", resources),
        ("shortNames", "ShortNamesConflict", resources),
        ("kind", "KindConflict", kinds),
        ("listKind", "ListKindConflict", kinds),
    ):
        asked = (wanted.get(key) or []) if key == "shortNames" else [wanted.get(key) or ""]
        own = (had.get(key) or []) if key == "shortNames" else [had.get(key) or ""]
        used = [f'"{name}" is already in use' for name in asked if name in taken and name not in own]
        if used:
            conflict = reason, used[0] if len(used) == 1 else f"[{', '.join(used)}]"
        elif wanted.get(key):
            made[key] = wanted[key]
        else:
            made.pop(key, None)
    made.pop("categories", None)
    return (made | {"categories": wanted["categories"]} if wanted.get("categories") else made), conflict
