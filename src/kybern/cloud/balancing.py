"""Which Services want a load balancer, what in them concerns it, and which nodes it sends to: pure functions.

Source: "Service" concept page, type LoadBalancer; texts of events are upstream's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kybern.api.types import Object

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
_EXCLUDE = "node.kubernetes.io/exclude-from-external-load-balancers"
_TO_BE_DELETED = "ToBeDeletedByClusterAutoscaler"
_FALSE = ("0", "f", "F", "false", "False", "FALSE")
_PORT = ("name", "protocol", "port", "nodePort", "targetPort", "appProtocol")
_SILENT = ("sessionAffinity", "sessionAffinityConfig")
_TOLD = {
    "loadBalancerIP": ("LoadbalancerIP", ""),
    "externalTrafficPolicy": ("ExternalTrafficPolicy", ""),
    "healthCheckNodePort": ("HealthCheckNodePort", 0),
}
"""Field of the spec -> the reason of the event that tells of its change, and what it says for an unset one."""


def wants(service: Object) -> bool:
    """Whether it is for the cloud to balance; one with a class is for somebody else."""
    spec = service["spec"]
    return bool(spec.get("type") == "LoadBalancer" and spec.get("loadBalancerClass") is None)


def needs_cleanup(service: Object) -> bool:
    """Whether it had a load balancer and may not keep it."""
    if FINALIZER not in (service["metadata"].get("finalizers") or ()):
        return False
    return bool(service["metadata"].get("deletionTimestamp")) or service["spec"].get("type") != "LoadBalancer"


Change = tuple[str, str]
"""Reason and message of a Normal event; two empty ones for a change that isn't told of."""


def change(old: Object, new: Object) -> Change | None:
    """The first thing that changed between two states of a Service and concerns its load balancer."""
    return next(_changes(old, new), None) if wants(old) or wants(new) else None


def _changes(old: Object, new: Object) -> Iterator[Change]:
    before, after = old["spec"], new["spec"]
    if wants(old) != wants(new):
        yield "Type", f"{before.get('type')} -> {after.get('type')}"
    name = "loadBalancerSourceRanges"
    if (before.get(name) or []) != (after.get(name) or []):
        yield "LoadBalancerSourceRanges", f"{_go(before.get(name))} -> {_go(after.get(name))}"
    quiet = any(before.get(field) != after.get(field) for field in _SILENT)
    if quiet or _ports(before) != _ports(after):
        yield "", ""
    for field, (reason, zero) in _TOLD.items():
        if before.get(field) != after.get(field):
            yield reason, f"{before.get(field, zero)} -> {after.get(field, zero)}"
    yield from _external_ips(before.get("externalIPs") or [], after.get("externalIPs") or [])
    if (old["metadata"].get("annotations") or {}) != (new["metadata"].get("annotations") or {}):
        yield "", ""
    if old["metadata"]["uid"] != new["metadata"]["uid"]:
        yield "UID", f"{old['metadata']['uid']} -> {new['metadata']['uid']}"
    families = len(before.get("ipFamilies") or ()), len(after.get("ipFamilies") or ())
    if families[0] != families[1]:
        yield "IPFamilies", f"Count: {families[0]} -> {families[1]}"


def _external_ips(before: list[str], after: list[str]) -> Iterator[Change]:
    if len(before) != len(after):
        yield "ExternalIP", f"Count: {len(before)} -> {len(after)}"
    else:
        yield from (("ExternalIP", f"Added: {new}") for old, new in zip(before, after, strict=True) if old != new)


def _go(words: list[str] | None) -> str:
    """A list as Go prints one."""
    return f"[{' '.join(words or ())}]"


def _ports(spec: Object) -> list[tuple[object, ...]]:
    return [tuple(port.get(field) for field in _PORT) for port in spec.get("ports") or ()]


def eligible(nodes: Iterable[Object]) -> list[Object]:
    """The nodes that load balancers send to, ready or not: the balancer's own health checks see to that."""
    return [node for node in nodes if is_included(node) and not _is_leaving(node)]


def is_included(node: Object) -> bool:
    """Whether its labels let it be sent to: the one that excludes counts unless it says false."""
    label = (node["metadata"].get("labels") or {}).get(_EXCLUDE)
    return label is None or label in _FALSE


def _is_leaving(node: Object) -> bool:
    tainted = any(taint["key"] == _TO_BE_DELETED for taint in node["spec"].get("taints") or ())
    return tainted or bool(node["metadata"].get("deletionTimestamp"))


def moves(old: Object | None, new: Object | None) -> bool:
    """Whether a node's change changes where load balancers send. A mark of the autoscaler alone is not acted on, so
    that connections to a node that leaves can end."""
    if old is None or new is None:
        return True
    return is_included(old) != is_included(new) or hosts([old]) != hosts([new])


def hosts(nodes: Iterable[Object]) -> dict[str, str]:
    """What tells two sets of nodes apart: names, and provider ids."""
    return {node["metadata"]["name"]: node["spec"].get("providerID", "") for node in nodes}


def ingress(status: Object | None) -> list[Object]:
    """The addresses in a status.loadBalancer, with the API's default put in and in a fixed order."""
    listed = (status or {}).get("ingress") or []
    return sorted(({"ipMode": "VIP", **one} if "ip" in one else one for one in listed), key=str)
