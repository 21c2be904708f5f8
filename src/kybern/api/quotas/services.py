"""Services: their number, and the node ports and load balancers they take.

Source: Kubernetes documentation, "Resource Quotas": Object Count Quota.
"""

from __future__ import annotations

from collections.abc import Iterable

from kybern.api.quotas.amounts import Amounts
from kybern.api.quotas.evaluator import CREATE, UPDATE, Evaluator
from kybern.api.types import Object

_NAMES = frozenset(("count/services", "services", "services.nodeports", "services.loadbalancers"))


class Services(Evaluator):
    """See the module."""

    counts_updates = True

    def __init__(self) -> None:
        super().__init__("", "services")

    def matching(self, names: Iterable[str]) -> list[str]:
        return [name for name in names if name in _NAMES]

    def handles(self, operation: str, subresource: str, obj: Object, old: Object | None) -> bool:
        return not subresource and operation in (CREATE, UPDATE)

    def usage(self, obj: Object) -> Amounts:
        spec = obj.get("spec") or {}
        ports, kind = spec.get("ports") or (), spec.get("type")
        taken = 0
        if kind == "NodePort":
            taken = len(ports)
        elif kind == "LoadBalancer":
            all_of_them = spec.get("allocateLoadBalancerNodePorts") is not False
            taken = len([port for port in ports if all_of_them or port.get("nodePort")])
        return {
            "count/services": "1",
            "services": "1",
            "services.nodeports": str(taken),
            "services.loadbalancers": "1" if kind == "LoadBalancer" else "0",
        }
