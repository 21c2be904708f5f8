"""Pods: compute resources while they aren't finished, and their number.

Source: Kubernetes documentation, "Resource Quotas": Compute Resource Quota, Quota scopes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from kybern.api.core import pod_resources
from kybern.api.core.qos import qos_class
from kybern.api.core.resources_validation import is_extended, is_native
from kybern.api.quotas.amounts import Amounts
from kybern.api.quotas.evaluator import CREATE, UPDATE, Evaluator, selects
from kybern.api.types import Object
from kybern.process.clock import clock, parse_time

REQUESTS, LIMITS = "requests.", "limits."
_COMPUTE = ("cpu", "memory", "ephemeral-storage")
_NAMES = frozenset(
    ("count/pods", "pods", *_COMPUTE, *(kind + name for kind in (REQUESTS, LIMITS) for name in _COMPUTE))
)  # fmt: skip
_MUST_SAY = frozenset(("cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"))
DEVICE_CLASS = "deviceclass.resource.kubernetes.io/"
"""Before the name of a class, the extended resource that its devices always are."""
_HUGE = ("hugepages-", "requests.hugepages-")


class Pods(Evaluator):
    """See the module."""

    counts_updates = True

    def __init__(self) -> None:
        super().__init__("", "pods")

    def matching(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name in _NAMES or name.startswith(_HUGE) or is_extended_request(name)]

    def handles(self, operation: str, subresource: str, obj: Object, old: Object | None) -> bool:
        if subresource == "resize":
            return operation == UPDATE
        if subresource:
            return False
        # An update can move a pod from one scope to another.
        return operation == CREATE or (old is not None and is_terminating(obj) != is_terminating(old))

    def usage(self, obj: Object) -> Amounts:
        if finished(obj):
            return {"count/pods": "1"}
        return {"count/pods": "1", **_compute(pod_resources.requests(obj), pod_resources.limits(obj))}

    def missing(self, required: Collection[str], obj: Object) -> str:
        spec = obj["spec"]
        if any(pod_resources.of_the_whole(spec, kind) for kind in ("requests", "limits")):
            return ""
        lacking: dict[str, set[str]] = {}
        for container in [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]:
            resources = container.get("resources") or {}
            said = _compute(resources.get("requests") or {}, resources.get("limits") or {})
            for name in required:
                if name in _MUST_SAY and name not in said:
                    lacking.setdefault(name, set()).add(container["name"])
        parts = [f"{name} for: {','.join(sorted(lacking[name]))}" for name in sorted(lacking)]
        return f"must specify {'; '.join(parts)}" if parts else ""

    def in_scope(self, rule: Object, obj: Object) -> bool:
        match rule["scopeName"]:
            case "Terminating":
                return is_terminating(obj)
            case "NotTerminating":
                return not is_terminating(obj)
            case "BestEffort":
                return qos_class(obj) == "BestEffort"
            case "NotBestEffort":
                return qos_class(obj) != "BestEffort"
            case "PriorityClass":
                name = obj["spec"].get("priorityClassName")
                return selects(rule, [name] if name else [])
            case "CrossNamespacePodAffinity":
                return any(term.get("namespaces") or "namespaceSelector" in term for term in _affinity_terms(obj))
        return False


def is_terminating(pod: Object) -> bool:
    """Whether it has a deadline, by which such pods are told from those that run on."""
    return pod["spec"].get("activeDeadlineSeconds") is not None


def finished(pod: Object) -> bool:
    """Whether it uses nothing any more: it came to an end, or should have long been gone (its node may be lost)."""
    if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
        return True
    metadata = pod["metadata"]
    deleted, grace = metadata.get("deletionTimestamp"), metadata.get("deletionGracePeriodSeconds")
    if not deleted or grace is None:
        return False
    return clock.time() > parse_time(deleted) + int(grace)


def _compute(requests: Amounts, limits: Amounts) -> dict[str, str]:
    used = {"pods": "1"}
    for name in _COMPUTE:
        if name in requests:
            used[name] = used[REQUESTS + name] = requests[name]
        if name in limits:
            used[LIMITS + name] = limits[name]
    for name, amount in requests.items():
        if name.startswith("hugepages-"):
            used[name] = used[REQUESTS + name] = amount
        elif is_extended(name) or name.startswith(DEVICE_CLASS):
            # What can't be overcommitted is asked of as a request only.
            used[REQUESTS + name] = amount
    return used


def is_extended_request(name: str) -> bool:
    """Whether a quota of that name limits an extended resource."""
    return name.startswith(REQUESTS) and (not is_native(name) or name.startswith(REQUESTS + DEVICE_CLASS))


def _affinity_terms(pod: Object) -> Iterator[Object]:
    affinity = pod["spec"].get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        yield from terms.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        for weighted in terms.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            yield weighted.get("podAffinityTerm") or {}
