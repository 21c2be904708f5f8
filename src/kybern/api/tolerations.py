"""Tolerations: which one tolerates all that another does, and what is left of several.

Source: API reference, Toleration v1 core.
"""

from __future__ import annotations

from collections.abc import Sequence

from kybern.api.types import Object

_TEXTS = ("key", "operator", "value", "effect")


def merged(first: Sequence[Object], second: Sequence[Object]) -> list[Object]:
    """Both, without those that another covers; of equal ones the first stays."""
    everything, kept = [*first, *second], list[Object]()
    for index, one in enumerate(everything):
        if any(covers(other, one) for other in kept):
            continue
        if not any(not _same(other, one) and covers(other, one) for other in everything[index + 1 :]):
            kept.append(one)
    return kept


def covers(wide: Object, narrow: Object) -> bool:
    """Whether `wide` tolerates all that `narrow` does."""
    if _same(wide, narrow):
        return True
    key, operator = wide.get("key") or "", wide.get("operator") or "Equal"
    if (narrow.get("key") or "") != key and (key or operator != "Exists"):
        return False
    effect = wide.get("effect") or ""
    if effect and narrow.get("effect") != effect:
        return False
    seconds, asked = wide.get("tolerationSeconds"), narrow.get("tolerationSeconds")
    if effect == "NoExecute" and seconds is not None and (asked is None or asked > seconds):
        return False
    if operator == "Exists":
        return True
    same = (narrow.get("operator") or "Equal") == "Equal" and (narrow.get("value") or "") == (wide.get("value") or "")
    return operator == "Equal" and same


def _same(one: Object, other: Object) -> bool:
    alike = all((one.get(field) or "") == (other.get(field) or "") for field in _TEXTS)
    return alike and one.get("tolerationSeconds") == other.get("tolerationSeconds")
