"""Quality of service classes of pods.

Source: Kubernetes documentation, "Pod Quality of Service Classes"; KEP-2837 for resources of the pod as a whole.
"""

from __future__ import annotations

from kybern.api import quantity
from kybern.api.types import Object

_COUNTED = ("cpu", "memory")


def qos_class(pod: Object) -> str:
    """Guaranteed, Burstable or BestEffort. Resources of the pod as a whole decide where they are given."""
    spec = pod["spec"]
    if any((spec.get("resources") or {}).get(key) for key in ("limits", "requests")):
        holders = [spec]
    else:
        holders = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    guaranteed, any_set = True, False
    for holder in holders:
        resources = holder.get("resources")
        limits = _positive((resources.get("limits") or {}) if resources else {})
        # A limit without a request counts as one.
        asked = {**limits, **_positive((resources.get("requests") or {}) if resources else {})}
        any_set = any_set or bool(asked)
        guaranteed = guaranteed and len(limits) == len(_COUNTED) and asked == limits
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def _positive(amounts: Object) -> dict[str, int]:
    if not amounts:
        return {}
    kinds = {kind: quantity.milli(amounts[kind]) for kind in _COUNTED if kind in amounts}
    return {kind: amount for kind, amount in kinds.items() if amount > 0}
