"""How many addresses and node ports are given out, and what was wrong with them, under upstream's metric names.

Source: Kubernetes documentation, "Kubernetes Metrics Reference".
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from kybern.apiserver.services.addresses import Addresses, size_of
from kybern.apiserver.services.nodeports import NodePorts

_IPS, _PORTS, _REPAIRED = "kube_apiserver_clusterip", "kube_apiserver_nodeport", "apiserver"


class ServiceMetrics(Collector):
    """One server's."""

    def __init__(self, registry: CollectorRegistry, addresses: Addresses, ports: NodePorts) -> None:
        self._addresses, self._ports = addresses, ports
        self.addresses = Counter(
            f"{_IPS}_allocator_allocation_total", "Number of Cluster IPs allocations", ("cidr", "scope"),
            registry=registry,
        )  # fmt: skip
        self.address_errors = Counter(
            f"{_IPS}_allocator_allocation_errors_total", "Number of errors trying to allocate Cluster IPs",
            ("cidr", "scope"), registry=registry,
        )  # fmt: skip
        self.ports = Counter(
            f"{_PORTS}_allocator_allocation_total", "Number of NodePort allocations", ("scope",), registry=registry
        )
        self.port_errors = Counter(
            f"{_PORTS}_allocator_allocation_errors_total", "Number of errors trying to allocate NodePort", ("scope",),
            registry=registry,
        )  # fmt: skip
        self.wrong_addresses = Counter(
            f"{_REPAIRED}_clusterip_repair_ip_errors_total", "Number of errors the repair of clusterips found, by type",
            ("type",), registry=registry,
        )  # fmt: skip
        self.wrong_ports = Counter(
            f"{_REPAIRED}_nodeport_repair_port_errors_total", "Number of errors the repair of ports found, by type",
            ("type",), registry=registry,
        )  # fmt: skip
        registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """For Prometheus' registry."""
        allocated = GaugeMetricFamily(
            f"{_IPS}_allocator_allocated_ips", "Number of IPs allocated to Services", labels=("cidr",)
        )
        available = GaugeMetricFamily(
            f"{_IPS}_allocator_available_ips", "Number of IPs available to Services", labels=("cidr",)
        )
        for network, count in self._addresses.counts().items():
            allocated.add_metric([str(network)], count)
            available.add_metric([str(network)], size_of(network) - count)
        yield from (allocated, available)
        taken = self._ports.allocated
        size = self._ports.last - self._ports.first + 1
        yield GaugeMetricFamily(f"{_PORTS}_allocator_allocated_ports", "Number of allocated NodePorts", value=taken)
        yield GaugeMetricFamily(f"{_PORTS}_allocator_available_ports", "Number of free NodePorts", value=size - taken)
