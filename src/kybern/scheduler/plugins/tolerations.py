"""Which taints a pod tolerates. Source: https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/"""

from __future__ import annotations

from collections.abc import Iterable

from kybern.api.types import Object
from kybern.scheduler.snapshot import Taint


def tolerates(toleration: Object, taint: Taint) -> bool:
    """Whether one toleration matches the taint."""
    key, value, effect = taint
    if toleration.get("effect") and toleration["effect"] != effect:
        return False
    if toleration.get("key") and toleration["key"] != key:
        return False
    operator = toleration.get("operator") or "Equal"
    return operator == "Exists" or (operator == "Equal" and (toleration.get("value") or "") == value)


def tolerated(tolerations: Iterable[Object], taint: Taint) -> bool:
    """Whether any toleration matches the taint."""
    return any(tolerates(toleration, taint) for toleration in tolerations)
