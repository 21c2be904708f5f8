"""What a pod's containers come to together: what it may be charged for, and what its own amounts must cover.

Amounts are canonical quantities by resource name. Source: KEP-753 (sidecars: they count for good, other init containers
only by their peak), KEP-2837 (amounts of the pod as a whole), KEP-1287 (resize: the greater of asked and given).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kybern.api import quantity
from kybern.api.types import Object

Amounts = dict[str, str]

_OF_PODS = frozenset(("cpu", "memory"))
_HUGE = "hugepages-"


def requests(pod: Object, *, overhead: bool = True, status: bool = True) -> Amounts:
    """The requests of the pod, with its overhead. `status`: what its containers have been given counts too."""
    total = aggregate(pod["spec"], "requests", _given(pod) if status else None, _infeasible(pod) if status else False)
    total |= of_the_whole(pod["spec"], "requests")
    return sum_of((total, pod["spec"].get("overhead") or {})) if overhead else total


def limits(pod: Object, *, overhead: bool = True, status: bool = True) -> Amounts:
    """The limits of the pod; its overhead is added where there is one."""
    total = aggregate(pod["spec"], "limits", _given(pod) if status else None, _infeasible(pod) if status else False)
    total |= of_the_whole(pod["spec"], "limits")
    for name, amount in (pod["spec"].get("overhead") or {}).items() if overhead else ():
        if quantity.parse(total.get(name, "0")):
            total[name] = quantity.add(total[name], amount)
    return total


def of_the_whole(spec: Object, kind: str) -> Amounts:
    """The amounts that the pod names for itself, of those resources that it may."""
    own = (spec.get("resources") or {}).get(kind) or {}
    return {
        name: quantity.canonical(amount)
        for name, amount in own.items()
        if name in _OF_PODS or name.startswith(_HUGE)
    }  # fmt: skip


def aggregate(spec: Object, kind: str, given: Mapping[str, Object] | None = None, infeasible: bool = False) -> Amounts:
    """What the containers come to: those that run side by side added up, or the greediest init container's turn.
    `given`: container statuses by name."""
    given = given or {}
    running = sum_of(_amounts(one, kind, given, infeasible) for one in spec.get("containers") or ())
    sidecars: Amounts = {}
    turns: list[Amounts] = []
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            sidecars = sum_of((sidecars, _amounts(container, kind, given, infeasible)))
            turns.append(sidecars)
        else:
            turns.append(sum_of((sidecars, _amounts(container, kind, {}, False))))
    return most(sum_of((running, sidecars)), *turns)


def sum_of(parts: Iterable[Mapping[str, quantity.Quantity]]) -> Amounts:
    """The amounts of all parts added up."""
    total: Amounts = {}
    for part in parts:
        for name, amount in part.items():
            total[name] = quantity.add(total[name], amount) if name in total else quantity.canonical(amount)
    return total


def most(first: Amounts, *others: Mapping[str, quantity.Quantity]) -> Amounts:
    """The greatest amount of each resource."""
    result = dict(first)
    for other in others:
        for name, amount in other.items():
            if name not in result or quantity.compare(amount, result[name]) > 0:
                result[name] = quantity.canonical(amount)
    return result


def _amounts(container: Object, kind: str, given: Mapping[str, Object], infeasible: bool) -> Amounts:
    asked = (container.get("resources") or {}).get(kind) or {}
    status = given.get(container.get("name", ""))
    if status is None or status.get("resources") is None:
        return sum_of((asked,))
    has = status["resources"].get(kind) or {}
    allocated = (status.get("allocatedResources") or {}) if kind == "requests" else {}
    return most({} if infeasible else sum_of((asked,)), has, allocated)


def _given(pod: Object) -> Mapping[str, Object]:
    status = pod.get("status") or {}
    return {
        one["name"]: one
        for field in ("containerStatuses", "initContainerStatuses")
        for one in status.get(field) or ()
        if one.get("resources") is not None
    }


def _infeasible(pod: Object) -> bool:
    """Whether the node said that it can't carry out the last resize."""
    for condition in (pod.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "PodResizePending":
            return bool(condition.get("reason") == "Infeasible")
    return False
