"""A Service as a load balancer of this cloud, and HAProxy's configuration for all of them: pure functions.

HAProxy asks the nodes' health ports, never the pods, which nodes may get connections: the Service's own where only
nodes with its pods may (externalTrafficPolicy Local), the proxy's elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_network

from kybern.api.types import Object, key_of
from kybern.cloud.provider import CloudError

PROXY_HEALTH_PORT = 10256
HEALTH_PATH = "/healthz"
_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
_PROTOCOLS = ("TCP", "UDP")


@dataclass(frozen=True, slots=True)
class Listener:
    """A port, and where nodes have it."""

    protocol: str
    port: int
    node_port: int


@dataclass(frozen=True, slots=True)
class Backend:
    """A node."""

    name: str
    ip: str


@dataclass(frozen=True, slots=True)
class Balancer:
    """`service`: namespace/name. `sources`: who may connect; empty for all. `sticky`: a client keeps its node."""

    uid: str
    service: str
    address: str
    listeners: tuple[Listener, ...]
    backends: tuple[Backend, ...]
    sources: tuple[str, ...]
    sticky: bool
    health_port: int

    @classmethod
    def from_json(cls, found: Object) -> Balancer:
        """Back from dataclasses.asdict. Raises TypeError and KeyError."""
        parts = {
            "listeners": tuple(Listener(**one) for one in found["listeners"]),
            "backends": tuple(Backend(**one) for one in found["backends"]),
            "sources": tuple(found["sources"]),
        }
        return cls(**{**found, **parts})

    def of(self, protocol: str) -> list[Listener]:
        return [listener for listener in self.listeners if listener.protocol == protocol]


def balancer(service: Object, nodes: list[Object], address: str) -> Balancer:
    """Raises CloudError for what can't be done here."""
    spec = service["spec"]
    local = spec.get("externalTrafficPolicy") == "Local"
    return Balancer(
        service["metadata"]["uid"],
        key_of(service),
        address,
        tuple(_listener(port) for port in spec["ports"]),
        tuple(_backends(nodes)),
        tuple(_sources(service)),
        spec.get("sessionAffinity") == "ClientIP",
        spec.get("healthCheckNodePort") or PROXY_HEALTH_PORT if local else PROXY_HEALTH_PORT,
    )


def _listener(port: Object) -> Listener:
    protocol = port.get("protocol", "TCP")
    if protocol not in _PROTOCOLS:
        raise CloudError(f"local load balancers carry {' and '.join(_PROTOCOLS)}, not {protocol}")
    if not port.get("nodePort"):
        raise CloudError("local load balancers send to node ports, and allocateLoadBalancerNodePorts is false")
    return Listener(protocol, port["port"], port["nodePort"])


def _backends(nodes: list[Object]) -> Iterator[Backend]:
    for node in sorted(nodes, key=lambda node: str(node["metadata"]["name"])):
        addresses = (node.get("status") or {}).get("addresses") or ()
        inner = (one["address"] for one in addresses if one["type"] == "InternalIP" and ":" not in one["address"])
        if ip := next(inner, None):
            yield Backend(node["metadata"]["name"], ip)


def _sources(service: Object) -> Iterator[str]:
    """The spec's, else those of the annotation that was there before the field."""
    annotation = (service["metadata"].get("annotations") or {}).get(_RANGES, "")
    for text in service["spec"].get("loadBalancerSourceRanges") or filter(None, annotation.split(",")):
        try:
            yield str(ip_network(text.strip(), strict=False))
        except ValueError as error:
            raise CloudError(f"loadBalancerSourceRanges: {error}") from error


def status(address: str) -> Object:
    """A status.loadBalancer. Mode Proxy: nodes must not take connections to the address for themselves, as then
    nothing here would see them."""
    return {"ingress": [{"ip": address, "ipMode": "Proxy"}]}


_HEAD = """global
    maxconn 8192
    hard-stop-after 1h

defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
    timeout check 2s
    retries 3
    option redispatch 1
    option clitcpka
    option srvtcpka
    clitcpka-idle 30s
    srvtcpka-idle 30s
"""


def haproxy(balancers: Iterable[Balancer]) -> str:
    """HAProxy's configuration; empty if nothing is for it."""
    ordered = sorted(balancers, key=lambda one: (one.service, one.uid))
    parts = [_section(one, listener) for one in ordered for listener in one.of("TCP")]
    return "\n".join([_HEAD, *parts]) if parts else ""


def _section(one: Balancer, listener: Listener) -> str:
    name = f"{one.service.replace('/', '.')}:{listener.port}"
    lines = [f"listen {name}", f"bind {one.address}:{listener.port}"]
    if one.sources:
        lines.append(f"tcp-request connection reject unless {{ src {' '.join(one.sources)} }}")
    lines += ["balance source", "hash-type consistent"] if one.sticky else ["balance roundrobin"]
    lines += [
        f"option httpchk GET {HEALTH_PATH}",
        f"default-server check port {one.health_port} inter 500ms fall 2 rise 1",
        *(f"server {backend.name} {backend.ip}:{listener.node_port}" for backend in one.backends),
    ]
    return "\n    ".join(lines) + "\n"
