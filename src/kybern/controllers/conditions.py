"""Status conditions: lists of dicts with a type, changed only where something differs."""

from __future__ import annotations

from kybern.api.types import Object
from kybern.process.clock import clock

Conditions = list[Object]


def find(status: Object | None, type: str) -> Object | None:
    """The condition of that type."""
    for condition in (status or {}).get("conditions") or ():
        if condition.get("type") == type:
            found: Object = condition
            return found
    return None


def make(type: str, status: str, reason: str, message: str, *, update_time: bool = False) -> Object:
    """A condition that changed now. `update_time`: with lastUpdateTime, which only Deployments have."""
    now = clock.stamp()
    condition = {"type": type, "status": status}
    if update_time:
        condition["lastUpdateTime"] = now
    return {**condition, "lastTransitionTime": now, "reason": reason, "message": message}


def put(status: Object, condition: Object) -> None:
    """Set it in `status`, unless one with the same status and reason is there; the transition time only changes with
    the status."""
    current = find(status, condition["type"])
    if current and current["status"] == condition["status"] and current.get("reason") == condition["reason"]:
        return
    if current and current["status"] == condition["status"] and current.get("lastTransitionTime"):
        condition = {**condition, "lastTransitionTime": current["lastTransitionTime"]}
    drop(status, condition["type"])
    status["conditions"] = [*(status.get("conditions") or ()), condition]


def drop(status: Object, type: str) -> None:
    """Remove the condition of that type from `status`."""
    kept = [one for one in status.get("conditions") or () if one.get("type") != type]
    if kept:
        status["conditions"] = kept
    else:
        status.pop("conditions", None)
