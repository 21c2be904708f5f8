"""Which flows are to be forgotten."""

from __future__ import annotations

from typing import Any

from kybern.proxy.conntrack import stale
from tests.unit.proxy.objects import endpoint, model, service, slice_of


def dns(*endpoints: Any, protocol: str = "UDP") -> Any:
    ports = [{"port": 53, "nodePort": 30053, "protocol": protocol}]
    published = [{"name": "", "port": 8080, "protocol": protocol}]
    one = service(ports=ports, type="NodePort", externalIPs=["192.0.2.7"])
    return model(one, slice_of("web", *endpoints, ports=published)).now


WAYS = [
    ("-p", "udp", "--orig-dst", "10.96.0.10", "--orig-port-dst", "53"),
    ("-p", "udp", "--orig-dst", "192.0.2.7", "--orig-port-dst", "53"),
    ("-p", "udp", "--orig-port-dst", "30053"),
]


def test_flows_to_an_endpoint_that_went_are_forgotten_on_every_way() -> None:
    before, now = dns(endpoint("10.1.0.1"), endpoint("10.1.0.2")), dns(endpoint("10.1.0.2"))
    assert stale(before, now) == [(*way, "--dst-nat", "10.1.0.1") for way in WAYS]


def test_an_endpoint_that_is_no_longer_ready_went() -> None:
    before, now = dns(endpoint("10.1.0.1")), dns(endpoint("10.1.0.1", ready=False))
    assert stale(before, now) == [(*way, "--dst-nat", "10.1.0.1") for way in WAYS]


def test_when_the_first_endpoint_comes_untranslated_flows_are_forgotten() -> None:
    assert stale(dns(), dns(endpoint("10.1.0.1"))) == WAYS


def test_a_service_that_went_takes_its_flows_along() -> None:
    assert stale(dns(endpoint("10.1.0.1")), ()) == [(*way, "--dst-nat", "10.1.0.1") for way in WAYS]


def test_more_endpoints_and_tcp_leave_flows_alone() -> None:
    assert not stale(dns(endpoint("10.1.0.1")), dns(endpoint("10.1.0.1"), endpoint("10.1.0.2")))
    assert not stale(dns(endpoint("10.1.0.1"), protocol="TCP"), dns(protocol="TCP"))
    assert not stale((), dns(endpoint("10.1.0.1")))
