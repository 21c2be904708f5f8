"""Services and EndpointSlices for the tests, as the API gives them."""

from __future__ import annotations

from typing import Any

from kybern.proxy.base import Change
from kybern.proxy.services import Services

NODE = "node-a"


def service(name: str = "web", ip: str = "10.96.0.10", ports: list[dict[str, Any]] | None = None, **spec: Any) -> Any:
    found = ports or [{"port": 80, "protocol": "TCP", "targetPort": 8080}]
    base = {"type": "ClusterIP", "clusterIP": ip, "clusterIPs": [ip], "ports": found}
    status = {"loadBalancer": {"ingress": spec.pop("ingress", [])}}
    return {"metadata": {"namespace": "ns", "name": name}, "spec": base | spec, "status": status}


def endpoint(address: str, node: str = NODE, **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "nodeName": node, "conditions": conditions}


def slice_of(name: str, *endpoints: Any, suffix: str = "1", ports: list[dict[str, Any]] | None = None) -> Any:
    labels = {"kubernetes.io/service-name": name}
    return {
        "metadata": {"namespace": "ns", "name": f"{name}-{suffix}", "labels": labels},
        "addressType": "IPv4",
        "ports": ports or [{"name": "", "port": 8080, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }


def model(one: Any, *slices: Any) -> Change:
    """What becomes of a Service and its slices."""
    services = Services(NODE)
    services.set_service("ns", one["metadata"]["name"], one)
    for each in slices:
        services.set_slice(None, each)
    return services.take()["ns", one["metadata"]["name"]]
