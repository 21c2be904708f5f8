"""From API objects to the model, and which endpoints are chosen."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.proxy.base import choose
from kybern.proxy.services import Services
from tests.unit.proxy.objects import NODE, endpoint, model, service, slice_of


def addresses(endpoints: Any) -> list[str]:
    return [e.address for e in endpoints]


def test_ports_find_their_endpoints_by_name_and_protocol() -> None:
    ports = [
        {"name": "dns", "port": 53, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 53, "protocol": "TCP"},
        {"name": "other", "port": 99, "protocol": "TCP"},
    ]
    published: list[dict[str, Any]] = [
        {"name": "dns", "port": 5353, "protocol": "UDP"},
        {"name": "dns-tcp", "port": 5354, "protocol": "TCP"},
        {"name": "other", "port": None, "protocol": "TCP"},
    ]
    now = model(service(ports=ports), slice_of("web", endpoint("10.1.0.1"), ports=published)).now
    found = {r.port.port_name: [e.port for e in r.endpoints] for r in now}
    assert found == {"dns": [5353], "dns-tcp": [5354], "other": []}


@pytest.mark.parametrize(
    "one",
    [
        service(ip="None"),
        service(type="ExternalName"),
        service(ip="fd00::1"),
        service(ip=""),
    ],
)
def test_what_has_no_ipv4_address_is_not_served(one: Any) -> None:
    services = Services(NODE)
    services.set_service("ns", "web", one)
    assert not services.take()


def test_an_ipv4_address_is_taken_of_a_dual_stack_service() -> None:
    one = service(ip="fd00::1", clusterIPs=["fd00::1", "10.96.0.9"])
    assert model(one).now[0].port.cluster_ip == "10.96.0.9"


def test_an_endpoint_in_two_slices_counts_once_and_as_ready() -> None:
    slices = (
        slice_of("web", endpoint("10.1.0.1", ready=False), suffix="1"),
        slice_of("web", endpoint("10.1.0.1", ready=True), endpoint("10.1.0.2"), suffix="2"),
    )
    (routed,) = model(service(), *slices).now
    assert [(e.address, e.ready) for e in routed.endpoints] == [("10.1.0.1", True), ("10.1.0.2", True)]


def test_only_ready_endpoints_are_used_and_terminating_ones_when_there_are_none() -> None:
    terminating = endpoint("10.1.0.3", ready=False, serving=True, terminating=True)
    starting = endpoint("10.1.0.2", ready=False, serving=False)
    (routed,) = model(service(), slice_of("web", endpoint("10.1.0.1", ready=True), starting, terminating)).now
    assert addresses(choose(routed).cluster) == ["10.1.0.1"]
    (routed,) = model(service(), slice_of("web", starting, terminating)).now
    assert addresses(choose(routed).cluster) == ["10.1.0.3"]
    (routed,) = model(service(), slice_of("web", starting)).now
    assert not choose(routed).anywhere


def test_local_policy_falls_back_to_terminating_endpoints_of_this_node_first() -> None:
    here = endpoint("10.1.0.3", ready=False, serving=True, terminating=True)
    (routed,) = model(service(internalTrafficPolicy="Local"), slice_of("web", endpoint("10.1.0.1", "far"), here)).now
    chosen = choose(routed)
    assert addresses(chosen.local) == ["10.1.0.3"]
    assert chosen.cluster == ()
    assert addresses(chosen.reachable) == ["10.1.0.3"]
    (routed,) = model(service(internalTrafficPolicy="Local"), slice_of("web", endpoint("10.1.0.1", "far"))).now
    assert choose(routed).anywhere
    assert choose(routed).reachable == ()


def test_external_local_policy_needs_an_external_address() -> None:
    (routed,) = model(service(externalTrafficPolicy="Local"), slice_of("web", endpoint("10.1.0.1"))).now
    assert not routed.port.uses_local
    ports = [{"port": 80, "nodePort": 30080}]
    (routed,) = model(service(type="NodePort", ports=ports, externalTrafficPolicy="Local")).now
    assert routed.port.uses_local
    assert routed.port.uses_cluster


def test_load_balancer_addresses_are_taken_when_they_are_virtual() -> None:
    ingress = [{"ip": "192.0.2.1"}, {"ip": "192.0.2.2", "ipMode": "Proxy"}, {"hostname": "lb.test"}, {"ip": "fd00::2"}]
    one = service(type="LoadBalancer", ingress=ingress, loadBalancerSourceRanges=[" 198.51.100.0/24", "fd00::/8"])
    (routed,) = model(one).now
    assert routed.port.load_balancer_ips == ("192.0.2.1",)
    assert routed.port.source_ranges == ("198.51.100.0/24",)


def test_affinity_has_upstreams_default_time() -> None:
    assert model(service(sessionAffinity="ClientIP")).now[0].port.affinity_seconds == 10800
    timed = service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 5}})
    assert model(timed).now[0].port.affinity_seconds == 5
    assert model(service()).now[0].port.affinity_seconds == 0


def test_a_change_that_concerns_no_packet_is_none() -> None:
    services = Services(NODE)
    services.set_service("ns", "web", service())
    old = slice_of("web", endpoint("10.1.0.1"))
    services.set_slice(None, old)
    assert list(services.take()) == [("ns", "web")]
    new = slice_of("web", endpoint("10.1.0.1"))
    new["metadata"]["annotations"] = {"a": "b"}
    services.set_slice(old, new)
    services.set_service("ns", "web", service() | {"status": {}})
    assert not services.take()


def test_endpoints_are_counted_as_they_come_and_go() -> None:
    services = Services(NODE)
    services.set_slice(None, slice_of("web", endpoint("10.1.0.1"), endpoint("10.1.0.2")))
    assert not services.take()
    services.set_service("ns", "web", service())
    services.take()
    assert services.endpoints == 2
    services.set_slice(slice_of("web", endpoint("10.1.0.1"), endpoint("10.1.0.2")), None)
    (change,) = services.take().values()
    assert (services.endpoints, change.now[0].endpoints) == (0, ())
    assert len(change.before[0].endpoints) == 2
    services.set_service("ns", "web", None)
    assert services.take()["ns", "web"].now == ()


def test_health_ports_are_those_of_services_with_local_policy() -> None:
    services = Services(NODE)
    services.set_service("ns", "web", service(healthCheckNodePort=31000, externalTrafficPolicy="Local"))
    services.set_service("ns", "all", service("all", "10.96.0.11", healthCheckNodePort=31001))
    near, far, sick = endpoint("10.1.0.1"), endpoint("10.1.0.2", "far"), endpoint("10.1.0.3", ready=False)
    services.set_slice(None, slice_of("web", near, far, sick))
    services.take()
    assert services.health_ports() == {("ns", "web"): 31000}
    assert services.local_ready(("ns", "web")) == 1
