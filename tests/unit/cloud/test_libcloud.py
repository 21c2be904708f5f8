"""Libcloud as a cloud: its own dummy for machines, and a driver in memory for load balancers, of which it has none."""

from __future__ import annotations

import pytest
from libcloud.compute.drivers.dummy import DummyNodeDriver
from libcloud.compute.types import NodeState
from libcloud.loadbalancer import providers
from libcloud.loadbalancer.base import Algorithm, Driver, LoadBalancer, Member
from libcloud.loadbalancer.types import State

from kybern.cloud import provider
from kybern.cloud.provider import CloudError
from kybern.cloud.providers import libcloud
from kybern.process.daemon import OperatorError
from kybern.testing import builders
from tests.unit.cloud.test_service import balanced, ensured

UID = "6d8e0f5a-30f3-4bd4-9f39-5a3c5a6f5d11"
PREFIX = "a6d8e0f5a30f34bd49f395a3c5-"
MACHINES = {"compute": {"driver": "dummy", "credentials": {"creds": {"env": "DUMMY"}}, "zone": "z1", "region": "r1"}}
BALANCERS = {"loadBalancer": {"driver": "memory", "arguments": {"key": "k"}}}


class Balancers(Driver):
    """In memory, with its members in `members`: balancer's name -> (machine, ip, port)."""

    name = "memory"
    address: str | None = "203.0.113.1"
    protocols = ["http", "TCP"]
    knows_addresses = True

    def __init__(self, key, **rest):
        self.there: dict[str, LoadBalancer] = {}
        self.members: dict[str, list[Member]] = {}
        self._ALGORITHM_TO_VALUE_MAP = {Algorithm.LEAST_CONNECTIONS: "least", Algorithm.ROUND_ROBIN: "rr"}

    def list_protocols(self):
        return self.protocols

    def list_balancers(self):
        return [*self.there.values()]

    def create_balancer(self, name, port, protocol, algorithm, members):
        assert (protocol, algorithm) == ("TCP", Algorithm.ROUND_ROBIN)
        assert len(name) <= 32
        self.there[name] = LoadBalancer(name, name, State.RUNNING, self.address, port, self)
        self.members[name] = [*members]
        return self.there[name]

    def destroy_balancer(self, balancer):
        del self.there[balancer.name], self.members[balancer.name]
        return True

    def balancer_attach_member(self, balancer, member):
        self.members[balancer.name].append(member)

    def balancer_detach_member(self, balancer, member):
        kept = [one for one in self.members[balancer.name] if one.id != member.id]
        assert len(kept) == len(self.members[balancer.name]) - 1
        self.members[balancer.name] = kept

    def balancer_list_members(self, balancer):
        members = self.members[balancer.name]
        return members if self.knows_addresses else [Member(one.id, None, None) for one in members]


@pytest.fixture(autouse=True)
def memory(monkeypatch):
    """Registers the driver, and gives the number of dummy machines by environment."""
    monkeypatch.setenv("DUMMY", "3")
    monkeypatch.setattr(providers, "DRIVERS", dict(providers.DRIVERS))
    providers.set_driver("memory", __name__, "Balancers")


@pytest.fixture
def machines():
    return provider.load("libcloud", MACHINES).instances


def driver_of(part):
    return part._driver._driver


def node(name="dummy-1", **spec):
    return {"metadata": {"name": name}, "spec": spec}


async def test_a_machine_is_found_by_name_and_described(machines):
    found = await machines.metadata(node())
    assert (found.provider_id, found.zone, found.region) == ("libcloud://dummy/1", "z1", "r1")
    assert found.addresses == [
        {"type": "InternalIP", "address": "127.0.0.2"},
        {"type": "ExternalIP", "address": "127.0.0.2"},
        {"type": "Hostname", "address": "dummy-1"},
    ]
    assert await machines.exists(node("any", providerID="libcloud://dummy/2"))
    assert not await machines.exists(node("any", providerID="libcloud://dummy/9"))
    assert not await machines.exists(node("other"))
    with pytest.raises(CloudError, match="instance not found"):
        await machines.metadata(node("other"))


async def test_what_drivers_say_in_their_own_ways(machines):
    machine = driver_of(machines).nl[1]
    machine.private_ips = ["10.0.0.2"]
    machine.extra = {"availability": "eu-1a", "instance_type": "large"}
    found = await machines.metadata(node())
    assert (found.zone, found.instance_type) == ("eu-1a", "large")
    assert [one["address"] for one in found.addresses] == ["10.0.0.2", "127.0.0.2", "dummy-1"]
    machine.size = DummyNodeDriver("1").list_sizes()[0]
    assert (await machines.metadata(node())).instance_type == "1"


async def test_another_cloud_s_machine_is_neither_here_nor_gone(machines):
    with pytest.raises(CloudError, match="aws:///i-1 is not a machine of dummy"):
        await machines.exists(node(providerID="aws:///i-1"))


async def test_two_machines_of_one_name_are_no_machine(machines):
    driver_of(machines).nl[2].name = "dummy-1"
    with pytest.raises(CloudError, match="2 machines have the name dummy-1"):
        await machines.exists(node())


async def test_states(machines):
    machine = driver_of(machines).nl[1]
    assert not await machines.is_shutdown(node())
    for state in (NodeState.STOPPED, NodeState.SUSPENDED, NodeState.PAUSED):
        machine.state = state
        assert await machines.is_shutdown(node())
    machine.state = NodeState.TERMINATED
    assert not await machines.exists(node())


async def test_a_machine_made_just_now_is_found(machines):
    assert await machines.exists(node())
    listed = driver_of(machines).nl
    listed.append(type(listed[0])(7, "new", NodeState.RUNNING, ["127.0.0.7"], [], driver_of(machines)))
    assert await machines.exists(node("new"))


async def test_whatever_a_driver_raises_is_an_error_of_the_cloud(machines, monkeypatch):
    def broken():
        error = Exception("429 Rate limit exceeded")
        error.retry_after = 7.0
        raise error

    monkeypatch.setattr(driver_of(machines), "list_nodes", broken)
    with pytest.raises(CloudError, match="dummy: 429 Rate limit exceeded") as error:
        await machines.exists(node())
    assert error.value.retry_after == 7


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "neither compute nor loadBalancer is there"),
        ({"computer": {}}, "unknown computer"),
        ({"compute": {"driver": "dummy", "key": "secret"}}, "unknown key in compute"),
        ({"compute": {"driver": "sky"}}, "compute.driver 'sky': Provider sky does not exist"),
        ({"compute": {"driver": "dummy"}}, "driver dummy can't be made"),
        ({"compute": {"driver": "dummy", "credentials": {"creds": "secret"}}}, "compute.credentials.creds is neither"),
        ({"compute": {"driver": "dummy", "credentials": {"creds": {"env": "NOWHERE"}}}}, "NOWHERE is not set"),
        ({"compute": {"driver": "dummy", "credentials": {"creds": {"file": "/nowhere"}}}}, "No such file"),
    ],
)
def test_mistakes_in_the_configuration(config, said):
    with pytest.raises(OperatorError) as error:
        provider.load("libcloud", config)
    assert said in str(error.value)
    assert "secret" not in str(error.value)


async def test_a_secret_may_be_in_a_file(tmp_path):
    path = tmp_path / "creds"
    path.write_text("2\n")
    section = {"driver": "dummy", "credentials": {"creds": {"file": str(path)}}}
    machines = provider.load("libcloud", {"compute": section}).instances
    assert await machines.exists(node("dummy-1"))
    assert not await machines.exists(node("dummy-2"))


def service(*ports, **spec):
    listed = [{"port": port, "nodePort": 30000 + port, "protocol": "TCP"} for port in ports]
    return {"metadata": {"name": "web", "uid": UID}, "spec": {"ports": listed, **spec}}


def member(number):
    address = {"type": "InternalIP", "address": f"10.0.0.{number}"}
    return {
        "metadata": {"name": f"n{number}"},
        "spec": {"providerID": f"libcloud://dummy/{number}"},
        "status": {"addresses": [address]},
    }


@pytest.fixture
def balancers():
    return provider.load("libcloud", BALANCERS).load_balancers


def members(balancers, port):
    return sorted((one.id, one.ip, one.port) for one in driver_of(balancers).members[f"{PREFIX}{port}"])


async def test_each_port_has_a_balancer(balancers):
    assert await balancers.get("c", service(80)) is None
    status = await balancers.ensure("c", service(80, 443), [member(1), member(2)])
    assert status == {
        "ingress": [
            {"ip": "203.0.113.1", "ports": [{"port": 80, "protocol": "TCP"}]},
            {"ip": "203.0.113.1", "ports": [{"port": 443, "protocol": "TCP"}]},
        ]
    }
    assert members(balancers, 443) == [("1", "10.0.0.1", 30443), ("2", "10.0.0.2", 30443)]
    assert await balancers.get("c", service(80, 443)) == status
    await balancers.ensure("c", service(80), [member(1)])
    assert [*driver_of(balancers).there] == [f"{PREFIX}80"]
    await balancers.delete("c", service(80))
    assert await balancers.get("c", service(80)) is None


@pytest.mark.parametrize("knows_addresses", [True, False])
async def test_members_follow_the_nodes(balancers, knows_addresses):
    driver_of(balancers).knows_addresses = knows_addresses
    await balancers.ensure("c", service(80), [member(1), member(2)])
    await balancers.update("c", service(80), [member(2), member(3)])
    assert members(balancers, 80) == [("2", "10.0.0.2", 30080), ("3", "10.0.0.3", 30080)]
    with pytest.raises(CloudError, match="there is no load balancer"):
        await balancers.update("c", service(81), [])


async def test_an_address_may_be_a_name_or_come_later(balancers):
    driver_of(balancers).address = "web.example.com"
    status = await balancers.ensure("c", service(80), [])
    assert status["ingress"][0]["hostname"] == "web.example.com"
    await balancers.delete("c", service(80))
    driver_of(balancers).address = None
    with pytest.raises(CloudError, match="has no address yet") as error:
        await balancers.ensure("c", service(80), [])
    assert error.value.retry_after == 10


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"loadBalancerSourceRanges": ["192.0.2.0/24"]}, "can't be limited"),
        ({"sessionAffinity": "ClientIP"}, "unsupported load balancer affinity: ClientIP"),
        ({"externalTrafficPolicy": "Local"}, "no health checks"),
        ({"ports": [{"port": 80}]}, "allocateLoadBalancerNodePorts is false"),
        ({"ports": [{"port": 53, "nodePort": 30053, "protocol": "UDP"}]}, "only http, TCP load balancers"),
    ],
)
async def test_what_can_not_be_had_is_refused(balancers, spec, said):
    with pytest.raises(CloudError, match=said):
        await balancers.ensure("c", service(80, **spec), [])
    assert not driver_of(balancers).there
    await balancers.ensure("c", service(80, loadBalancerSourceRanges=["0.0.0.0/0"]), [])


async def test_a_cluster_over_libcloud(here):
    here.cloud = provider.load("libcloud", {**MACHINES, **BALANCERS})
    joining = builders.node("dummy-1")
    taint = {"key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule"}
    joining["spec"] = {"taints": [taint]}
    await here.nodes.create(joining)
    async with here.manager():
        await here.cluster.create(balanced())
        served = await ensured(here)

        async def initialised():
            return (await here.nodes.get("dummy-1"))["spec"].get("providerID") == "libcloud://dummy/1"

        await here.until(initialised)
        (name,) = driver_of(here.cloud.load_balancers).there

        async def pointed():
            return [one.ip for one in driver_of(here.cloud.load_balancers).members[name]] == ["127.0.0.2"]

        await here.until(pointed)
    assert served["status"]["loadBalancer"]["ingress"] == [
        {"ip": "203.0.113.1", "ipMode": "VIP", "ports": [{"port": 80, "protocol": "TCP"}]}
    ]


def test_the_module_is_loaded_by_its_name():
    assert isinstance(provider.load("libcloud", MACHINES), libcloud.Libcloud)
