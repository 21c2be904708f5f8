"""The local cloud: what it makes of its configuration, of nodes and of Services."""

from __future__ import annotations

import json
import subprocess
from dataclasses import asdict
from ipaddress import ip_network

import pytest

from kybern.cloud.provider import CloudError, Metadata, load
from kybern.cloud.providers.local import balancer, load_balancers
from kybern.cloud.providers.local.datagrams import Relay
from kybern.cloud.providers.local.load_balancers import LoadBalancers
from kybern.process.daemon import OperatorError

MEMBERS = [
    {"name": "node-1", "ip": "10.89.0.11", "control_plane": True},
    {"name": "node-2", "ip": "10.89.0.12", "stopped": True},
]
BALANCERS = {"subnet": "10.89.1.0/30", "interface": "none", "directory": "/nowhere"}


def node(name, ip="10.89.0.11", provider_id=""):
    return {
        "metadata": {"name": name},
        "spec": {"providerID": provider_id} if provider_id else {},
        "status": {"addresses": [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": ip}]},
    }


def service(name="web", annotations=None, status=None, **spec):
    return {
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}", "annotations": annotations or {}},
        "spec": {"type": "LoadBalancer", "ports": [{"protocol": "TCP", "port": 80, "nodePort": 30080}], **spec},
        "status": {"loadBalancer": {"ingress": [{"ip": ip} for ip in status or ()]}},
    }


NODES = [node("node-2", "10.89.0.12"), node("node-1", "10.89.0.11")]


@pytest.fixture
def nodes_json(tmp_path):
    path = tmp_path / "nodes.json"
    path.write_text(json.dumps({"members": MEMBERS, "subnet": "10.89.0.0/24"}))
    return path


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "either machines"),
        ({"machines": "x", "machine": {"name": "a", "ip": "192.0.2.1"}}, "either machines"),
        ({"machine": {"name": "a"}}, "machine takes ip, name"),
        ({"machine": {"name": "a", "ip": "b"}}, "machine.ip: 'b'"),
        ({"machines": "x", "sky": 1}, "unknown sky"),
        ({"machines": "x", "loadBalancers": {**BALANCERS, "subnet": "10.0.0.1/24"}}, "has host bits set"),
        ({"machines": "x", "loadBalancers": {**BALANCERS, "subnet": "fd00::/64"}}, "must be of IPv4"),
    ],
)
def test_a_configuration_that_can_not_work_is_refused(config, said):
    with pytest.raises(OperatorError, match=said):
        load("local", config)


async def test_machines_are_the_members_of_the_file(nodes_json):
    instances = load("local", {"machines": str(nodes_json)}).instances
    known = await instances.metadata(node("node-1"))
    addresses = [{"type": "InternalIP", "address": "10.89.0.11"}, {"type": "Hostname", "address": "node-1"}]
    assert known == Metadata("local://node-1", addresses, "local", "local", "local")
    assert not await instances.is_shutdown(node("node-1"))
    assert await instances.is_shutdown(node("node-2", provider_id="local://node-2"))
    nodes_json.write_text(json.dumps({"members": MEMBERS[:1]}))
    assert not await instances.exists(node("node-2", provider_id="local://node-2"))
    assert await instances.exists(node("node-1", provider_id="local://node-1"))
    nodes_json.unlink()
    with pytest.raises(CloudError, match="can't tell which machines there are"):
        await instances.exists(node("node-1", provider_id="local://node-1"))


async def test_the_machine_itself_may_be_the_only_node():
    provider = load("local", {"machine": {"name": "here", "ip": "192.0.2.1"}})
    assert (await provider.instances.metadata(node("here"))).addresses[0]["address"] == "192.0.2.1"
    assert provider.routes is None
    assert provider.load_balancers is None


@pytest.mark.parametrize("other", [node("elsewhere"), node("node-1", provider_id="aws:///i-1")])
async def test_nodes_of_others_are_left_alone(nodes_json, other):
    instances = load("local", {"machines": str(nodes_json)}).instances
    assert await instances.exists(other)
    assert await instances.metadata(other) is None
    assert not await instances.is_shutdown(other)


# Balancers.


def made(given, nodes=NODES):
    return balancer.balancer(given, nodes, "10.89.1.1")


def test_a_balancer_sends_to_the_nodes_ports_and_asks_their_proxies():
    text = balancer.haproxy([made(service())])
    assert "\nlisten default.web:80\n    bind 10.89.1.1:80\n" in text
    assert "server node-1 10.89.0.11:30080\n    server node-2 10.89.0.12:30080\n" in text
    assert "check port 10256 " in text
    assert "balance roundrobin" in text
    assert "reject" not in text


def test_what_a_service_asks_for_is_in_the_configuration():
    text = balancer.haproxy(
        [
            made(
                service(
                    loadBalancerSourceRanges=["192.0.2.0/24", "198.51.100.7/32"],
                    sessionAffinity="ClientIP",
                    externalTrafficPolicy="Local",
                    healthCheckNodePort=31000,
                )
            )
        ]
    )
    assert "tcp-request connection reject unless { src 192.0.2.0/24 198.51.100.7/32 }" in text
    assert "balance source" in text
    assert "check port 31000 " in text


def test_source_ranges_may_be_an_annotation():
    given = {"service.beta.kubernetes.io/load-balancer-source-ranges": "192.0.2.0/24, 10.0.0.0/8"}
    assert made(service(annotations=given)).sources == ("192.0.2.0/24", "10.0.0.0/8")
    assert made(service(annotations=given, loadBalancerSourceRanges=["1.2.3.4/32"])).sources == ("1.2.3.4/32",)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"ports": [{"port": 80}]}, "allocateLoadBalancerNodePorts is false"),
        ({"ports": [{"port": 80, "nodePort": 30080, "protocol": "SCTP"}]}, "not SCTP"),
        ({"loadBalancerSourceRanges": ["x"]}, "loadBalancerSourceRanges: 'x'"),
    ],
)
def test_what_can_not_be_is_said(spec, said):
    with pytest.raises(CloudError, match=said):
        made(service(**spec))


def test_udp_alone_needs_no_haproxy():
    ports = [{"port": 53, "nodePort": 30053, "protocol": "UDP"}]
    assert balancer.haproxy([made(service(ports=ports))]) == ""


def test_haproxy_takes_the_configuration(tmp_path):
    """All of what can be in one."""
    given = [made(service(sessionAffinity="ClientIP", loadBalancerSourceRanges=["10.0.0.0/8"])), made(service("b"), [])]
    path = tmp_path / "haproxy.cfg"
    path.write_text(balancer.haproxy(given))
    done = subprocess.run(["/usr/sbin/haproxy", "-c", "-f", path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_balancer_is_the_same_after_having_been_written_down():
    one = made(service(loadBalancerSourceRanges=["10.0.0.0/8"]))
    assert balancer.Balancer.from_json(json.loads(json.dumps(asdict(one)))) == one


# Addresses.


class Silent:
    """In place of what would touch the machine."""

    async def apply(self, *arguments):
        pass

    async def close(self):
        pass


@pytest.fixture
def balancers(tmp_path, monkeypatch):
    """Makes a cloud's load balancers on the same directory, as after a restart."""
    kept = []

    async def keep(interface, addresses):
        kept.append(sorted(addresses))

    monkeypatch.setattr(load_balancers.host, "keep_addresses", keep)
    monkeypatch.setattr(load_balancers, "Haproxy", lambda directory: Silent())
    monkeypatch.setattr(load_balancers, "_taken", lambda address, listeners: None)

    async def start(*left):
        new = LoadBalancers(ip_network("10.89.1.0/30"), "none", tmp_path)
        await new.start(Services([service(name) for name in left]))
        new.kept = kept
        return new

    return start


class Services:
    """A client that can list these."""

    def __init__(self, items):
        self.items = items

    def resource(self, version, kind):
        assert (version, kind) == ("v1", "services")
        return self

    async def list(self):
        return self


def ip(status):
    (found,) = status["ingress"]
    assert found["ipMode"] == "Proxy"
    return found["ip"]


async def test_each_service_has_an_address_until_it_goes(balancers):
    here = await balancers()
    assert ip(await here.ensure("c", service("a"), NODES)) == "10.89.1.1"
    assert ip(await here.ensure("c", service("b"), NODES)) == "10.89.1.2"
    assert ip(await here.ensure("c", service("a"), NODES)) == "10.89.1.1"
    with pytest.raises(CloudError, match=r"no address is left in 10\.89\.1\.0/30"):
        await here.ensure("c", service("d"), NODES)
    await here.delete("c", service("a"))
    assert here.kept[-1] == ["10.89.1.2"]
    assert await here.get("c", service("a")) is None
    assert ip(await here.ensure("c", service("d"), NODES)) == "10.89.1.1"


async def test_addresses_stay_over_restarts(balancers):
    before = await balancers()
    await before.ensure("c", service("a"), NODES)
    await before.ensure("c", service("b"), NODES)
    after = await balancers("b")
    assert after.kept[-1] == ["10.89.1.2"]
    assert ip(await after.get("c", service("b"))) == "10.89.1.2"
    assert await after.get("c", service("a")) is None


async def test_an_address_can_be_asked_for(balancers):
    here = await balancers()
    assert ip(await here.ensure("c", service("a", loadBalancerIP="10.89.1.2"), NODES)) == "10.89.1.2"
    for address in ("10.89.1.2", "192.0.2.1"):
        with pytest.raises(CloudError, match=f"loadBalancerIP {address} is taken or not in"):
            await here.ensure("c", service("b", loadBalancerIP=address), NODES)


async def test_what_a_service_had_is_preferred(balancers):
    here = await balancers()
    assert ip(await here.ensure("c", service("a", status=["10.89.1.2"]), NODES)) == "10.89.1.2"
    assert ip(await here.ensure("c", service("b", status=["10.89.1.2"]), NODES)) == "10.89.1.1"


# Datagrams.


def relay(ill=(), **spec):
    given = made(service(ports=[{"port": 53, "nodePort": 30053, "protocol": "UDP"}], **spec))
    return Relay(given, given.listeners[0], set(ill))


def chosen(found, *hosts):
    return [found._choose((host, 1000)) for host in hosts]


def test_clients_take_turns_or_keep_to_a_node():
    assert len(set(chosen(relay(), "192.0.2.1", "192.0.2.1"))) == 2
    sticky = relay(sessionAffinity="ClientIP")
    hosts = [f"192.0.2.{number}" for number in range(20)]
    assert chosen(sticky, *hosts) == chosen(sticky, *hosts)
    assert len(set(chosen(sticky, *hosts))) == 2


def test_ill_nodes_get_nothing():
    assert set(chosen(relay([("10.89.0.11", 10256)]), "192.0.2.1", "192.0.2.2")) == {"10.89.0.12"}
    assert chosen(relay([("10.89.0.11", 10256), ("10.89.0.12", 10256)]), "192.0.2.1") == [None]
