"""Requests and limits as the kernel takes them: quality of service, CPU shares and quota, memory, OOM score.

Source: "Node allocatable" and KEP-2570; the constants are upstream's.
"""

from __future__ import annotations

from collections.abc import Iterable

from kybern.api import quantity
from kybern.api.core.qos import qos_class
from kybern.api.types import Object
from kybern.kubelet.runtime._generated import cri_pb2 as cri

PERIOD = 100_000
"""The CPU quota's period, in microseconds."""
MIN_SHARES, MAX_SHARES, MIN_QUOTA = 2, 262_144, 1000
GUARANTEED_OOM, BEST_EFFORT_OOM = -997, 1000
_SYSTEM_CRITICAL = 2_000_000_000


def containers(pod: Object) -> list[Object]:
    """All containers, init ones first."""
    return [*(pod["spec"].get("initContainers") or []), *(pod["spec"].get("containers") or [])]


def ephemeral(pod: Object) -> list[Object]:
    """Those that were added to look at the running pod."""
    return pod["spec"].get("ephemeralContainers") or []


def requests(container: Object) -> Object:
    """What a container asks for; a limit without a request counts as one."""
    resources = container.get("resources") or {}
    return {**(resources.get("limits") or {}), **(resources.get("requests") or {})}


def limits(container: Object) -> Object:
    return (container.get("resources") or {}).get("limits") or {}


def shares(milli_cpu: int) -> int:
    """CPU shares of a request in thousandths of a CPU."""
    return min(max(milli_cpu * 1024 // 1000, MIN_SHARES), MAX_SHARES)


def quota(milli_cpu: int) -> int:
    """Microseconds per PERIOD of a limit; 0 is no limit."""
    return max(milli_cpu * PERIOD // 1000, MIN_QUOTA) if milli_cpu else 0


def oom_score_adj(pod: Object, container: Object, memory_capacity: int) -> int:
    """Who is killed first when memory runs out: the more a container exceeds what it asked for, the sooner."""
    if (pod["spec"].get("priority") or 0) >= _SYSTEM_CRITICAL:
        return GUARANTEED_OOM
    match qos_class(pod):
        case "Guaranteed":
            return GUARANTEED_OOM
        case "BestEffort":
            return BEST_EFFORT_OOM
    asked = quantity.whole(requests(container).get("memory", 0))
    score = 1000 - 1000 * asked // max(memory_capacity, 1)
    return min(max(score, 1000 + GUARANTEED_OOM), BEST_EFFORT_OOM - 1)


def linux_resources(pod: Object, container: Object, memory_capacity: int) -> cri.LinuxContainerResources:
    """A container's cgroup settings. `memory_capacity` is the node's, in bytes."""
    bounded = limits(container)
    milli_limit = quantity.milli(bounded.get("cpu", 0))
    return cri.LinuxContainerResources(
        cpu_period=PERIOD,
        cpu_quota=quota(milli_limit),
        cpu_shares=shares(quantity.milli(requests(container).get("cpu", 0))),
        memory_limit_in_bytes=quantity.whole(bounded.get("memory", 0)),
        oom_score_adj=oom_score_adj(pod, container, memory_capacity),
    )


def total(pod: Object, resource: str) -> int:
    """Thousandths of a resource that a pod asks for: its containers and sidecars together, or its largest init
    container with the sidecars before it, and the overhead."""
    sidecars = largest = 0
    for container in pod["spec"].get("initContainers") or []:
        asked = quantity.milli(requests(container).get(resource, 0))
        if container.get("restartPolicy") == "Always":
            sidecars += asked
            largest = max(largest, sidecars)
        else:
            largest = max(largest, sidecars + asked)
    together = sidecars + _sum(pod["spec"].get("containers") or [], resource)
    return max(together, largest) + quantity.milli((pod["spec"].get("overhead") or {}).get(resource, 0))


def _sum(items: Iterable[Object], resource: str) -> int:
    return sum(quantity.milli(requests(container).get(resource, 0)) for container in items)
