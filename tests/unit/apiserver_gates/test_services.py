"""Cluster addresses and node ports, on servers that share a store."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from kybern.api.errors import APIError, InternalError, Invalid
from kybern.api.scheme import builtin
from kybern.api.types import Object
from kybern.apiserver.registry import Registry
from kybern.apiserver.services import repair_ports
from kybern.apiserver.services.addresses import ip_address
from kybern.apiserver.services.running import Services
from kybern.process.clock import clock
from kybern.store.memory import MemoryStore

PORTS = (30000, 30031)


class Server:
    """What gives Services their addresses and ports on one server, and writes of Services as the verbs make them."""

    def __init__(self, store: MemoryStore, cidr: str) -> None:
        self.registry = Registry(builtin(), store)
        self.metrics = CollectorRegistry()
        networks = [ipaddress.ip_network(text) for text in cidr.split(",")]
        self.given = Services(self.registry, networks, PORTS, self.metrics)
        self.kinds = {
            plural: self.registry.scheme.resource(group, plural)
            for group, plural in (("", "services"), ("networking.k8s.io", "ipaddresses"), ("", "events"),
                                  ("networking.k8s.io", "servicecidrs"))
        }  # fmt: skip

    @property
    def hooks(self) -> Any:
        return self.registry.hooks[("", "services")]

    async def create(self, obj: Object, *, dry_run: bool = False) -> Object:
        claim = await self.hooks.before_create(obj, dry_run)
        try:
            return await self.registry.create(self.kinds["services"], obj, dry_run=dry_run)  # type: ignore[arg-type]
        except APIError:
            await claim.undo()
            raise

    async def update(self, new: Object) -> Object:
        meta, kind = new["metadata"], self.kinds["services"]
        assert kind is not None
        old = await self.registry.get(kind, meta["namespace"], meta["name"])
        claim = await self.hooks.before_update(new, old, False)
        stored = await self.registry.guaranteed_update(kind, meta["namespace"], meta["name"], lambda _: new)
        await claim.keep()
        return stored

    async def delete(self, obj: Object) -> None:
        assert self.kinds["services"] is not None
        await self.registry.delete(self.kinds["services"], "default", obj["metadata"]["name"])
        await self.hooks.after_delete(obj)

    def names(self, plural: str, group: str = "networking.k8s.io") -> set[str]:
        return {obj["metadata"]["name"] for obj in self.registry.lister(group, plural).list()}

    async def reasons(self) -> list[str]:
        """Of the events there are."""
        assert self.kinds["events"] is not None
        await self.registry.started(self.kinds["events"])
        return sorted(event["reason"] for event in self.registry.lister("", "events").list())


@asynccontextmanager
async def servers(number: int = 1, cidr: str = "10.96.0.0/28") -> AsyncIterator[list[Server]]:
    store = MemoryStore()
    made = [Server(store, cidr) for _ in range(number)]
    try:
        for server in made:
            await server.given.start()
        yield made
    finally:
        for server in made:
            await server.given.stop()
            await server.registry.close()
        await store.close()


def service(name: str = "web", kind: str = "ClusterIP", **spec: Any) -> Object:
    ports = spec.pop("ports", [{"port": 80, "protocol": "TCP"}])
    return {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"type": kind, "selector": {"a": "b"}, "ports": ports, **spec},
    }


def with_address(address: str, name: str = "web") -> Object:
    return service(name, clusterIP=address, clusterIPs=[address])


def with_node_port(port: int, name: str = "web") -> Object:
    return service(name, "NodePort", ports=[{"port": 80, "protocol": "TCP", "nodePort": port}])


async def test_an_address_is_given_shown_and_noted_down() -> None:
    async with servers() as [one]:
        spec = (await one.create(service()))["spec"]
        assert ipaddress.ip_address(spec["clusterIP"]) in ipaddress.ip_network("10.96.0.0/28")
        assert spec["clusterIPs"] == [spec["clusterIP"]]
        assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
        [noted] = one.registry.lister("networking.k8s.io", "ipaddresses").list()
        assert noted["metadata"]["name"] == spec["clusterIP"]
        parent = {"group": "", "resource": "services", "namespace": "default", "name": "web"}
        assert noted["spec"]["parentRef"] == parent
        assert noted["metadata"]["labels"] == {
            "ipaddress.kubernetes.io/ip-family": "IPv4", "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
        }  # fmt: skip


async def test_two_servers_never_give_the_same_twice() -> None:
    async with servers(2) as pair:
        made = await asyncio.gather(
            *(pair[i % 2].create(service(f"s{i}", "NodePort")) for i in range(40)), return_exceptions=True
        )
        good = [obj for obj in made if isinstance(obj, dict)]
        assert len(good) == 14 and len({obj["spec"]["clusterIP"] for obj in good}) == 14
        assert len({obj["spec"]["ports"][0]["nodePort"] for obj in good}) == 14
        full = [error for error in made if isinstance(error, InternalError)]
        assert len(full) == 26 and "failed to allocate a serviceIP: range is full" in str(full[0])
        for index, obj in enumerate(good[:4]):
            await pair[index % 2].delete(obj)
        again = await asyncio.gather(*(pair[i % 2].create(service(f"again{i}", "NodePort")) for i in range(4)))
        freed = {obj["spec"]["clusterIP"] for obj in good[:4]}
        assert {obj["spec"]["clusterIP"] for obj in again} == freed


async def test_taken_and_foreign_addresses_are_refused() -> None:
    async with servers(2) as [one, other]:
        await one.create(with_address("10.96.0.9"))
        with pytest.raises(Invalid) as caught:
            await other.create(with_address("10.96.0.9", "b"))
        assert caught.value.message == (
            'Service "b" is invalid: spec.clusterIPs: Invalid value: ["10.96.0.9"]: failed to allocate IP 10.96.0.9: '
            "provided IP is already allocated"
        )
        with pytest.raises(Invalid, match="the provided network does not match the current range"):
            await one.create(with_address("10.97.0.1", "b"))
        with pytest.raises(Invalid, match=r"is not in the valid range\. The range of valid IPs is 10\.96\.0\.0/28"):
            await one.create(with_address("10.96.0.15", "b"))


async def test_what_a_refused_write_took_is_free_again() -> None:
    async with servers() as [one]:
        await one.create(service(), dry_run=True)
        assert one.names("ipaddresses") == set()
        await one.create(with_node_port(30001))
        with pytest.raises(APIError):
            await one.create(service(kind="NodePort", ports=[{"port": 80, "protocol": "TCP", "nodePort": 30005}]))
        assert len(one.names("ipaddresses")) == 1
        await one.create(with_node_port(30005, "b"))


async def test_node_ports_are_shared_by_protocols_and_refused_by_name() -> None:
    async with servers(2) as [one, other]:
        asked = [{"port": 53, "protocol": "TCP", "nodePort": 30005}, {"port": 53, "protocol": "UDP"}]
        made = await one.create(service(kind="NodePort", ports=asked))
        assert [port["nodePort"] for port in made["spec"]["ports"]] == [30005, 30005]
        with pytest.raises(Invalid) as caught:
            await other.create(with_node_port(30005, "b"))
        assert caught.value.message == (
            'Service "b" is invalid: spec.ports[0].nodePort: Invalid value: 30005: provided port is already allocated'
        )
        with pytest.raises(Invalid, match="The range of valid ports is 30000-30031"):
            await other.create(with_node_port(80, "b"))
        local: dict[str, Any] = {"externalTrafficPolicy": "Local", "allocateLoadBalancerNodePorts": False}
        balanced = await other.create(service("lb", "LoadBalancer", **local))
        assert "nodePort" not in balanced["spec"]["ports"][0] and balanced["spec"]["healthCheckNodePort"] >= 30000


async def test_an_update_frees_what_it_gives_up() -> None:
    async with servers() as [one]:
        old = await one.create(with_node_port(30005))
        kept = {key: old["spec"][key] for key in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")}
        await one.update({**old, "spec": service(**kept)["spec"]})
        assert one.names("ipaddresses") == {old["spec"]["clusterIP"]}
        await one.create(with_node_port(30005, "b"))
        external = {**old, "spec": {"type": "ExternalName", "externalName": "example.com"}}
        await one.update(external)
        assert old["spec"]["clusterIP"] not in one.names("ipaddresses")
        again = await one.update({**old, "spec": service()["spec"]})
        assert again["spec"]["clusterIP"] in one.names("ipaddresses")


async def test_headless_and_external_need_no_address() -> None:
    async with servers() as [one]:
        headless = await one.create(service(clusterIP="None", clusterIPs=["None"]))
        assert headless["spec"]["clusterIPs"] == ["None"] and headless["spec"]["ipFamilyPolicy"] == "SingleStack"
        bare = await one.create(service("bare", clusterIP="None", clusterIPs=["None"], selector=None))
        assert bare["spec"]["ipFamilies"] == ["IPv4", "IPv6"] and bare["spec"]["ipFamilyPolicy"] == "RequireDualStack"
        external = await one.create(service("ext", "ExternalName", externalName="example.com"))
        assert "clusterIP" not in external["spec"] and one.names("ipaddresses") == set()


async def test_two_families_come_and_go() -> None:
    async with servers(cidr="10.96.0.0/28,fd00::/112") as [one]:
        obj = await one.create(service(ipFamilyPolicy="PreferDualStack"))
        assert obj["spec"]["ipFamilies"] == ["IPv4", "IPv6"]
        assert one.names("ipaddresses") == set(obj["spec"]["clusterIPs"])
        single = await one.update({**obj, "spec": {**obj["spec"], "ipFamilyPolicy": "SingleStack"}})
        assert single["spec"]["ipFamilies"] == ["IPv4"] and len(single["spec"]["clusterIPs"]) == 1
        assert one.names("ipaddresses") == {obj["spec"]["clusterIP"]}
        both = await one.update({**single, "spec": {**single["spec"], "ipFamilyPolicy": "RequireDualStack"}})
        assert both["spec"]["clusterIPs"][0] == obj["spec"]["clusterIP"] and len(both["spec"]["clusterIPs"]) == 2
        fewer = {**both["spec"], "clusterIPs": both["spec"]["clusterIPs"][:1]}
        with pytest.raises(Invalid, match="must be 'SingleStack' to release the secondary cluster IP"):
            await one.update({**both, "spec": fewer})
    async with servers() as [one]:
        with pytest.raises(Invalid, match="this cluster is not configured for dual-stack services"):
            await one.create(service(ipFamilyPolicy="RequireDualStack"))
        with pytest.raises(Invalid, match='"IPv6": not configured on this cluster'):
            await one.create(service(ipFamilies=["IPv6"]))
        # One that was given two families keeps them when the cluster has only one any more.
        pair = ["10.96.0.3", "fd00::3"]
        two = service(ipFamilyPolicy="PreferDualStack", ipFamilies=["IPv4", "IPv6"], clusterIPs=list(pair))
        claim = await one.hooks.before_update(two, {**two, "spec": dict(two["spec"])}, False)
        assert claim.taken_addresses == [] and two["spec"]["clusterIPs"] == pair


async def test_ranges_may_be_added_and_only_ready_ones_count() -> None:
    async with servers(cidr="10.96.0.0/30") as [one]:
        ranges = one.kinds["servicecidrs"]
        assert ranges is not None and one.names("servicecidrs") == {"kubernetes"}
        for name in ("a", "b"):
            await one.create(service(name))
        more = {"metadata": {"name": "more"}, "spec": {"cidrs": ["192.0.2.0/28"]}}
        await one.registry.create(ranges, more)
        with pytest.raises(InternalError, match="range is full"):
            await one.create(service("c"))
        ready = {"conditions": [{"type": "Ready", "status": "True"}]}
        await one.registry.guaranteed_update(ranges, "", "more", lambda now: {**now, "status": ready})
        found = await one.create(service("c"))
        assert found["spec"]["clusterIP"].startswith("192.0.2.")


async def test_the_default_range_grows_to_two_families_and_says_where_it_differs() -> None:
    async with servers() as [one]:
        for cidr, cidrs in (("10.96.0.0/28,fd00::/112", ["10.96.0.0/28", "fd00::/112"]), ("10.1.0.0/24", None)):
            other = Server(one.registry.store, cidr)  # type: ignore[arg-type]
            await other.given.start()
            found = other.registry.lister("networking.k8s.io", "servicecidrs").get("", "kubernetes")
            assert found is not None and (cidrs is None or found["spec"]["cidrs"] == cidrs)
            await other.registry.close()
        assert await one.reasons() == ["KubernetesDefaultServiceCIDRInconsistent"]


async def test_addresses_are_repaired(monkeypatch: pytest.MonkeyPatch) -> None:
    async with servers() as [one]:
        services, addresses = one.kinds["services"], one.kinds["ipaddresses"]
        assert services is not None and addresses is not None
        lost = await one.create(with_address("10.96.0.3"))
        await one.registry.delete(addresses, "", "10.96.0.3")
        for name, address in (("twin", "10.96.0.4"), ("far", "10.97.0.1"), ("wrong", "10.96.0.5")):
            await one.registry.create(services, with_address(address, name))
        await one.create(with_address("10.96.0.4", "first"))
        await one.registry.create(addresses, ip_address("10.96.0.5", service("nobody")))
        await one.registry.create(addresses, ip_address("10.96.0.6", service("leaked")))
        await one.given.keep()
        assert await one.reasons() == [
            "ClusterIPAlreadyAllocated", "ClusterIPNotAllocated", "ClusterIPNotAllocated", "ClusterIPOutOfRange",
        ]  # fmt: skip
        held = {obj["metadata"]["name"]: obj for obj in one.registry.lister("networking.k8s.io", "ipaddresses").list()}
        assert held["10.96.0.3"]["spec"]["parentRef"]["name"] == lost["metadata"]["name"]
        assert held["10.96.0.5"]["spec"]["parentRef"]["name"] == "wrong"
        now = clock.time()
        monkeypatch.setattr(clock, "now_fn", lambda: now + 120)
        assert await one.given._look("address", "", "10.96.0.6") is None
        assert "10.96.0.6" not in one.names("ipaddresses")


async def test_node_ports_are_repaired() -> None:
    async with servers() as [one]:
        services = one.kinds["services"]
        assert services is not None
        await one.registry.create(services, with_node_port(30007, "unknown"))
        await one.registry.create(services, with_node_port(30007, "twin"))
        await one.registry.create(services, with_node_port(80, "out"))
        leaked = await one.create(with_node_port(30009, "leaked"))
        await one.registry.delete(services, "default", leaked["metadata"]["name"])
        repair = one.given._port_repair
        for left in range(repair_ports.PASSES, -1, -1):
            with pytest.raises(Invalid, match="already allocated"):
                await one.create(with_node_port(30009, "b"))
            await repair.run()
            assert repair._leaks == ({30009: left - 1} if left else {})
        await one.create(with_node_port(30009, "b"))
        with pytest.raises(Invalid, match="already allocated"):
            await one.create(with_node_port(30007, "c"))
        assert await one.reasons() == ["PortAlreadyAllocated", "PortNotAllocated", "PortOutOfRange"]


async def test_metrics() -> None:
    async with servers() as [one]:
        # First the address that is named: the others get any that is free.
        await one.create(with_address("10.96.0.9", "b"))
        await one.create(with_node_port(30005))
        for obj in (with_address("10.96.0.9", "c"), with_node_port(30005, "d")):
            try:
                await one.create(obj)
            except Invalid as error:
                assert "already allocated" in error.message

        def value(name: str, **labels: str) -> float | None:
            return one.metrics.get_sample_value(f"kube_apiserver_{name}", labels)

        assert value("clusterip_allocator_allocated_ips", cidr="10.96.0.0/28") == 2
        assert value("clusterip_allocator_available_ips", cidr="10.96.0.0/28") == 12
        assert value("clusterip_allocator_allocation_total", cidr="10.96.0.0/28", scope="static") == 1
        assert value("clusterip_allocator_allocation_errors_total", cidr="10.96.0.0/28", scope="static") == 1
        assert value("nodeport_allocator_allocated_ports") == 1
        assert value("nodeport_allocator_allocation_total", scope="static") == 1
        assert value("nodeport_allocator_allocation_errors_total", scope="static") == 1
