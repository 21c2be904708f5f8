from __future__ import annotations

import ipaddress

import pytest

from kybern.api.errors import InternalError, Invalid
from kybern.api.types import Object
from kybern.apiserver.allocators import ServiceAllocator
from tests.unit.apiserver_gates.fakes import FakeLister


def allocator(*services: Object, cidr: str = "10.96.0.0/24", ports: tuple[int, int] = (30000, 30031)) -> tuple[
    ServiceAllocator, FakeLister
]:
    lister = FakeLister(*services)
    networks = [ipaddress.ip_network(text) for text in cidr.split(",")]
    return ServiceAllocator(lister, networks, ports), lister


def service(name: str = "web", kind: str = "ClusterIP", **spec: object) -> Object:
    ports = spec.pop("ports", [{"port": 80, "protocol": "TCP"}])
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": kind, "selector": {"a": "b"}, "ports": ports, **spec},
    }


async def test_an_address_is_given_and_shown_in_both_fields() -> None:
    given, _ = allocator()
    obj = service()
    await given.before_create(obj, False)
    spec = obj["spec"]
    assert ipaddress.ip_address(spec["clusterIP"]) in ipaddress.ip_network("10.96.0.0/24")
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")


async def test_no_address_is_given_twice_and_all_are_used() -> None:
    given, _ = allocator(cidr="10.96.0.0/28")
    seen = set()
    for number in range(14):
        obj = service(f"s{number}")
        await given.before_create(obj, False)
        seen.add(obj["spec"]["clusterIP"])
    assert len(seen) == 14
    with pytest.raises(InternalError, match="range is full"):
        await given.before_create(service("more"), False)


async def test_taken_and_foreign_addresses_are_refused() -> None:
    given, _ = allocator(service("old", clusterIPs=["10.96.0.9"], clusterIP="10.96.0.9"))
    with pytest.raises(Invalid) as caught:
        await given.before_create(service(clusterIP="10.96.0.9", clusterIPs=["10.96.0.9"]), False)
    assert caught.value.message == (
        'Service "web" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.9"]: failed to allocate IP 10.96.0.9: '
        "provided IP is already allocated"
    )
    for address in ("10.97.0.1", "10.96.0.0", "10.96.0.255"):
        with pytest.raises(Invalid, match="does not match the current range"):
            await given.before_create(service(clusterIP=address, clusterIPs=[address]), False)


async def test_rollback_and_deletion_free() -> None:
    given, lister = allocator()
    first = service(clusterIP="10.96.0.9", clusterIPs=["10.96.0.9"])
    await given.before_create(first, True)
    given.rollback(first)
    again = service("other", clusterIP="10.96.0.9", clusterIPs=["10.96.0.9"])
    await given.before_create(again, False)
    lister.put(again)
    given.rollback(again)
    with pytest.raises(Invalid):
        await given.before_create(service("third", clusterIP="10.96.0.9", clusterIPs=["10.96.0.9"]), False)
    lister.drop("default", "other")
    await given.before_create(service("third", clusterIP="10.96.0.9", clusterIPs=["10.96.0.9"]), False)


async def test_node_ports() -> None:
    given, lister = allocator()
    asked = [{"port": 53, "protocol": "TCP", "nodePort": 30005}, {"port": 53, "protocol": "UDP"}]
    obj = service(kind="NodePort", ports=asked)
    await given.before_create(obj, False)
    assert [port["nodePort"] for port in obj["spec"]["ports"]] == [30005, 30005]
    lister.put(obj)
    with pytest.raises(Invalid) as caught:
        await given.before_create(service("b", kind="NodePort", ports=[{"port": 1, "nodePort": 30005}]), False)
    assert caught.value.message == (
        'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30005: provided port is already allocated'
    )
    with pytest.raises(Invalid, match="The range of valid ports is 30000-30031"):
        await given.before_create(service("b", kind="NodePort", ports=[{"port": 1, "nodePort": 80}]), False)


async def test_an_update_frees_what_it_gives_up_once_stored() -> None:
    given, lister = allocator()
    old = service(kind="NodePort", ports=[{"port": 80, "protocol": "TCP", "nodePort": 30005}])
    await given.before_create(old, False)
    lister.put(old)
    new = service(clusterIP=old["spec"]["clusterIP"], clusterIPs=old["spec"]["clusterIPs"])
    await given.before_update(new, old, False)
    with pytest.raises(Invalid):
        await given.before_create(service("b", kind="NodePort", ports=[{"port": 1, "nodePort": 30005}]), False)
    lister.put(new)
    await given.before_create(service("b", kind="NodePort", ports=[{"port": 1, "nodePort": 30005}]), False)


async def test_headless_and_external_need_no_address() -> None:
    given, _ = allocator()
    headless = service(clusterIP="None", clusterIPs=["None"])
    await given.before_create(headless, False)
    assert headless["spec"]["clusterIPs"] == ["None"]
    assert headless["spec"]["ipFamilyPolicy"] == "SingleStack"
    bare = service(clusterIP="None", clusterIPs=["None"], selector=None)
    await given.before_create(bare, False)
    assert (bare["spec"]["ipFamilies"], bare["spec"]["ipFamilyPolicy"]) == (["IPv4", "IPv6"], "RequireDualStack")
    external = service(kind="ExternalName", externalName="example.com")
    await given.before_create(external, False)
    assert "clusterIP" not in external["spec"]


async def test_dual_stack() -> None:
    given, _ = allocator(cidr="10.96.0.0/24,fd00::/112")
    obj = service(ipFamilyPolicy="PreferDualStack")
    await given.before_create(obj, False)
    assert obj["spec"]["ipFamilies"] == ["IPv4", "IPv6"]
    assert len(obj["spec"]["clusterIPs"]) == 2
    single, _ = allocator()
    with pytest.raises(Invalid, match="not configured for dual-stack"):
        await single.before_create(service(ipFamilyPolicy="RequireDualStack"), False)
