"""Services and EndpointSlices to the model of base.py, remembering what changed. Pure: no I/O.

A slice is read once, when it comes; only Services that a change concerns are put together again.
"""

from __future__ import annotations

from collections import defaultdict
from ipaddress import ip_address, ip_network

from kybern.api.types import Object
from kybern.proxy.base import Change, Endpoint, Routed, ServiceName, ServicePort

SERVICE_NAME = "kubernetes.io/service-name"
SELECTOR = "!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless"
"""Which Services and EndpointSlices are this proxy's business."""
_AFFINITY_SECONDS = 10800
_PortKey = tuple[str, str]
_Parsed = dict[_PortKey, list[Endpoint]]
"""(port name, protocol) -> endpoints, of one slice."""


class Services:
    """The model, kept current by `set_*`. `endpoints` counts all usable or not."""

    def __init__(self, node_name: str) -> None:
        self.node_name = node_name
        self.routed: dict[ServiceName, tuple[Routed, ...]] = {}
        self.endpoints = 0
        self._services: dict[ServiceName, Object] = {}
        self._slices: dict[ServiceName, dict[str, _Parsed]] = defaultdict(dict)
        self._dirty: dict[ServiceName, None] = {}

    def set_service(self, namespace: str, name: str, service: Object | None) -> None:
        """A Service came, changed or (None) went."""
        if service is None:
            self._services.pop((namespace, name), None)
        else:
            self._services[namespace, name] = service
        self._dirty[namespace, name] = None

    def set_slice(self, old: Object | None, new: Object | None) -> None:
        """An EndpointSlice came, changed or went."""
        for slice_, present in ((old, False), (new, True)):
            owner = ((slice_ or {}).get("metadata", {}).get("labels") or {}).get(SERVICE_NAME)
            if slice_ is None or not owner or slice_.get("addressType") != "IPv4":
                continue
            meta = slice_["metadata"]
            key = (meta["namespace"], owner)
            if present:
                self._slices[key][meta["name"]] = read_slice(slice_, self.node_name)
            else:
                self._slices[key].pop(meta["name"], None)
            if not self._slices[key]:
                del self._slices[key]
            self._dirty[key] = None

    def take(self) -> dict[ServiceName, Change]:
        """What differs from the last time this was asked. A change that concerns no packet is none."""
        changed: dict[ServiceName, Change] = {}
        for key in self._dirty:
            before, now = self.routed.get(key, ()), self._assemble(key)
            if before == now:
                continue
            changed[key] = Change(before, now)
            self.endpoints += sum(len(r.endpoints) for r in now) - sum(len(r.endpoints) for r in before)
            if now:
                self.routed[key] = now
            else:
                del self.routed[key]
        self._dirty.clear()
        return changed

    def health_ports(self) -> dict[ServiceName, int]:
        """The healthCheckNodePort of every Service that has one."""
        return {
            key: service["spec"]["healthCheckNodePort"]
            for key, service in self._services.items()
            if service["spec"].get("healthCheckNodePort") and service["spec"].get("externalTrafficPolicy") == "Local"
        }

    def local_ready(self, service: ServiceName) -> int:
        """How many addresses of this node are ready behind a Service."""
        routed = self.routed.get(service, ())
        return len({e.address for r in routed for e in r.endpoints if e.local and e.ready})

    def _assemble(self, key: ServiceName) -> tuple[Routed, ...]:
        service = self._services.get(key)
        if service is None:
            return ()
        slices = self._slices.get(key, {}).values()
        return tuple(
            Routed(port, _merge([s.get((port.port_name, port.protocol), []) for s in slices]))
            for port in service_ports(service)
        )


def service_ports(service: Object) -> list[ServicePort]:
    """The ports to serve; none for headless Services, ExternalName, those of other proxies and of IPv6 alone."""
    meta, spec = service["metadata"], service["spec"]
    addresses = [ip for ip in spec.get("clusterIPs") or [spec.get("clusterIP", "")] if _is_ipv4(ip)]
    if spec.get("type") == "ExternalName" or not addresses:
        return []
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    balanced = spec.get("type") == "LoadBalancer"
    virtual = [i["ip"] for i in ingress if i.get("ip") and i.get("ipMode", "VIP") == "VIP"] if balanced else []
    sticky = spec.get("sessionAffinity") == "ClientIP"
    timeout = ((spec.get("sessionAffinityConfig") or {}).get("clientIP") or {}).get("timeoutSeconds")
    ranges = spec.get("loadBalancerSourceRanges") or []
    return [
        ServicePort(
            namespace=meta["namespace"],
            name=meta["name"],
            port_name=port.get("name") or "",
            protocol=port.get("protocol", "TCP").lower(),
            cluster_ip=addresses[0],
            port=port["port"],
            node_port=port.get("nodePort") or 0,
            external_ips=tuple(filter(_is_ipv4, spec.get("externalIPs") or [])),
            load_balancer_ips=tuple(filter(_is_ipv4, virtual)),
            source_ranges=tuple(text for text in map(str.strip, ranges) if _is_ipv4_range(text)) if balanced else (),
            affinity_seconds=(timeout or _AFFINITY_SECONDS) if sticky else 0,
            internal_local=spec.get("internalTrafficPolicy") == "Local",
            external_local=spec.get("externalTrafficPolicy") == "Local",
        )
        for port in spec.get("ports") or []
    ]


def read_slice(slice_: Object, node_name: str) -> _Parsed:
    """The endpoints per port. A port without number is not known yet; an endpoint that says nothing is ready."""
    parsed: _Parsed = {}
    for port in slice_.get("ports") or []:
        if not port.get("port"):
            continue
        found = parsed.setdefault((port.get("name") or "", (port.get("protocol") or "TCP").lower()), [])
        for endpoint in slice_.get("endpoints") or []:
            conditions = endpoint.get("conditions") or {}
            ready = conditions.get("ready") is not False
            serving = conditions.get("serving")
            found.append(
                Endpoint(
                    address=endpoint["addresses"][0],
                    port=port["port"],
                    ready=ready,
                    serving=ready if serving is None else serving,
                    terminating=bool(conditions.get("terminating")),
                    local=bool(node_name) and endpoint.get("nodeName") == node_name,
                )
            )
    return parsed


def _merge(lists: list[list[Endpoint]]) -> tuple[Endpoint, ...]:
    """All of them, each address once. While one moves between slices it is in both: the better one counts."""
    best: dict[tuple[str, int], Endpoint] = {}
    for endpoint in (e for found in lists for e in found):
        key = endpoint[:2]
        if key not in best or _rank(endpoint) > _rank(best[key]):
            best[key] = endpoint
    return tuple(best[key] for key in sorted(best))


def _rank(endpoint: Endpoint) -> tuple[bool, bool, bool]:
    return endpoint.ready, endpoint.serving, endpoint.local


def _is_ipv4(text: str) -> bool:
    try:
        return ip_address(text).version == 4
    except ValueError:
        return False


def _is_ipv4_range(text: str) -> bool:
    try:
        return ip_network(text, strict=False).version == 4
    except ValueError:
        return False
