"""Packets through a real kernel: a node's namespace with the proxy's rules, pods and a client around it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kybern.proxy.conntrack import Conntrack, stale
from kybern.proxy.nftables import NFTables
from kybern.proxy.rules import Options
from kybern.proxy.services import Services
from tests.integration.proxy.conftest import CLIENT_IP, NODE_IP, PODS, Net, run
from tests.unit.proxy.objects import NODE, endpoint, service, slice_of

POD_1, POD_2 = PODS.values()
VIP = "10.96.0.10"
NODE_PORT = [{"port": 80, "nodePort": 30080, "protocol": "TCP"}]


class Proxy:
    """The backend with a model to fill."""

    def __init__(self, net: Net) -> None:
        self.net, self.services = net, Services(NODE)
        self.backend = NFTables(Options(("10.244.0.0/16",)), (*net.inside("node"), "nft"))
        self._slices: dict[str, Any] = {}

    async def put(self, one: Any, *endpoints: Any, protocol: str = "TCP") -> Any:
        """Have this Service, with these endpoints, in force."""
        name = one["metadata"]["name"]
        ports = [{"name": "", "port": 8080, "protocol": protocol}]
        new = slice_of(name, *endpoints, ports=ports)
        self.services.set_service("ns", name, one)
        self.services.set_slice(self._slices.get(name), new)
        self._slices[name] = new
        changed = self.services.take()
        await self.backend.sync(changed)
        return changed

    def table(self) -> str:
        return run(*self.net.inside("node"), "nft", "-a", "list", "table", "ip", "kube-proxy", check=False)

    def asked(self, role: str, address: str, port: int = 80, times: int = 12) -> set[str]:
        return {self.net.get(role, address, port) for _ in range(times)}


@pytest.fixture
async def proxy(net: Net) -> AsyncIterator[Proxy]:
    made = Proxy(net)
    made.backend.set_node_addresses((NODE_IP,))
    yield made
    await made.backend.cleanup()
    assert not made.table()


def who(answers: set[str]) -> set[str]:
    return {answer.split()[0] for answer in answers}


async def test_a_cluster_ip_leads_to_all_endpoints_from_everywhere(proxy: Proxy) -> None:
    await proxy.put(service(), endpoint(POD_1), endpoint(POD_2))
    for role in ("client", "node", "pod-1"):
        assert who(proxy.asked(role, VIP, times=30)) == {"pod-1", "pod-2"}, role


async def test_a_pod_reaches_itself_and_keeps_its_address_towards_others(proxy: Proxy) -> None:
    await proxy.put(service(), endpoint(POD_1))
    assert proxy.net.get("pod-1", VIP, 80) == "pod-1 10.244.0.1"
    assert proxy.net.get("pod-2", VIP, 80) == f"pod-1 {POD_2}"
    assert proxy.net.get("client", VIP, 80) == "pod-1 10.244.0.1"


async def test_without_endpoints_the_client_is_refused_at_once(proxy: Proxy) -> None:
    await proxy.put(service(ports=NODE_PORT, type="NodePort"))
    for role in ("client", "node", "pod-1"):
        assert proxy.net.get(role, VIP, 80) == "refused", role
    assert proxy.net.get("client", NODE_IP, 30080) == "refused"


async def test_a_port_that_a_service_lacks_is_refused(proxy: Proxy) -> None:
    await proxy.put(service(), endpoint(POD_1))
    assert proxy.net.get("client", VIP, 81) == "refused"
    assert proxy.net.get("node", VIP, 81) == "refused"


async def test_node_ports_answer_at_the_nodes_address(proxy: Proxy) -> None:
    one = service(ports=NODE_PORT, type="NodePort", externalIPs=["192.0.2.7"])
    await proxy.put(one, endpoint(POD_1), endpoint(POD_2))
    assert who(proxy.asked("client", NODE_IP, 30080, times=30)) == {"pod-1", "pod-2"}
    assert proxy.asked("client", NODE_IP, 30080, times=20) == {"pod-1 10.244.0.1", "pod-2 10.244.0.1"}
    assert who(proxy.asked("node", NODE_IP, 30080)) <= {"pod-1", "pod-2"}
    assert who(proxy.asked("client", "192.0.2.7", 80)) <= {"pod-1", "pod-2"}
    # 10.244.0.1 is the node's, too, but not among the addresses for node ports.
    assert proxy.net.get("pod-1", "10.244.0.1", 30080) == "refused"


async def test_local_policy_shows_the_client_and_drops_elsewhere(proxy: Proxy) -> None:
    one = service(ports=NODE_PORT, type="NodePort", externalTrafficPolicy="Local")
    await proxy.put(one, endpoint(POD_1), endpoint(POD_2, "far"))
    assert proxy.asked("client", NODE_IP, 30080) == {f"pod-1 {CLIENT_IP}"}
    await proxy.put(one, endpoint(POD_2, "far"))
    assert proxy.net.get("client", NODE_IP, 30080, timeout=0.5) == "no answer"
    # What comes from the node and its pods is not subject to the policy.
    assert proxy.net.get("pod-1", NODE_IP, 30080) == f"pod-2 {POD_1}"
    assert who(proxy.asked("node", NODE_IP, 30080, times=2)) == {"pod-2"}


async def test_a_client_with_affinity_keeps_its_endpoint(proxy: Proxy) -> None:
    one = service(sessionAffinity="ClientIP")
    await proxy.put(one, endpoint(POD_1), endpoint(POD_2))
    (kept,) = who(proxy.asked("client", VIP, times=15))
    # Another Service changes, and this one gets another port: the client stays where it is.
    await proxy.put(service("other", "10.96.0.11"), endpoint(POD_1))
    await proxy.put(service(sessionAffinity="ClientIP", externalIPs=["192.0.2.7"]), endpoint(POD_1), endpoint(POD_2))
    assert who(proxy.asked("client", VIP)) == {kept}
    assert who(proxy.asked("client", "192.0.2.7")) == {kept}
    # Its endpoint goes: it gets the other one.
    left = {"pod-1": POD_2, "pod-2": POD_1}[kept]
    await proxy.put(one, endpoint(left))
    assert who(proxy.asked("client", VIP)) == {"pod-1", "pod-2"} - {kept}


async def test_source_ranges_guard_a_load_balancers_address(proxy: Proxy) -> None:
    ranges = [f"{CLIENT_IP}/32"]
    one = service(type="LoadBalancer", ingress=[{"ip": "192.0.2.8"}], loadBalancerSourceRanges=ranges)
    await proxy.put(one, endpoint(POD_1))
    assert proxy.net.get("client", "192.0.2.8", 80) == "pod-1 10.244.0.1"
    assert proxy.net.get("pod-2", "192.0.2.8", 80, timeout=0.5) == "no answer"


async def test_a_change_leaves_all_else_as_it_is(proxy: Proxy) -> None:
    """Handles are numbers that the kernel gives to each rule and chain when it is made."""
    await proxy.put(service(), endpoint(POD_1))
    await proxy.put(service("other", "10.96.0.11"), endpoint(POD_1), endpoint(POD_2))

    def handles(word: str) -> set[str]:
        blocks = re.split(r"\n\t\}\n", proxy.table())
        return {line for block in blocks if f"/{word}/" in block.split("{")[0] for line in block.splitlines()}

    before, base = handles("other"), proxy.table().split("chain ")[1:9]
    assert len(before) > 8
    await proxy.put(service(), endpoint(POD_1), endpoint(POD_2))
    assert handles("other") == before
    assert proxy.table().split("chain ")[1:9] == base
    assert who(proxy.asked("client", VIP, times=20)) == {"pod-1", "pod-2"}


async def test_open_connections_survive_changes(proxy: Proxy) -> None:
    await proxy.put(service(), endpoint(POD_1))
    script = (
        "import socket,sys; s=socket.create_connection(('10.96.0.10',80)); print('open',flush=True);"
        "sys.stdin.readline(); s.sendall(b'GET / HTTP/1.1\\r\\n\\r\\n'); print(s.recv(999).decode())"
    )
    pipe = subprocess.PIPE
    command = [*proxy.net.inside("client"), sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as client:
        assert client.stdout
        assert client.stdout.readline() == "open\n"
        await proxy.put(service(), endpoint(POD_2))
        await proxy.put(service("other", "10.96.0.11"))
        said, _ = client.communicate("go\n", timeout=10)
    assert "pod-1" in said
    assert who(proxy.asked("client", VIP)) == {"pod-2"}


async def test_udp_follows_an_endpoint_that_moved(proxy: Proxy) -> None:
    if not shutil.which("conntrack"):
        pytest.skip("conntrack is not installed")
    ports = [{"port": 53, "protocol": "UDP"}]
    script = (
        "import socket,sys; s=socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.settimeout(5);"
        "s.connect(('10.96.0.10', 53))\n"
        "for line in sys.stdin: s.send(b'x'); print(s.recv(99).decode().strip(), flush=True)"
    )
    await proxy.put(service(ports=ports), endpoint(POD_1), protocol="UDP")
    pipe = subprocess.PIPE
    command = [*proxy.net.inside("client"), sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as client:
        assert client.stdin
        assert client.stdout

        def ask() -> str:
            assert client.stdin
            assert client.stdout
            client.stdin.write("\n")
            client.stdin.flush()
            return client.stdout.readline().split()[0]

        assert ask() == "pod-1"
        changed = await proxy.put(service(ports=ports), endpoint(POD_2), protocol="UDP")
        assert ask() == "pod-1"  # one socket is one flow, which the kernel remembers
        (change,) = changed.values()
        await Conntrack((*proxy.net.inside("node"), "conntrack")).forget(stale(*change))
        assert ask() == "pod-2"
        client.stdin.close()
        client.wait(10)


async def test_a_table_somebody_removed_is_made_anew(proxy: Proxy) -> None:
    await proxy.put(service(), endpoint(POD_1))
    assert await proxy.backend.verify()
    run(*proxy.net.inside("node"), "nft", "flush", "ruleset")
    assert not await proxy.backend.verify()
    await proxy.backend.sync({})
    assert who(proxy.asked("client", VIP, times=2)) == {"pod-1"}


async def test_unused_chains_go_and_may_come_back(proxy: Proxy) -> None:
    await proxy.put(service(), endpoint(POD_1), endpoint(POD_2))
    await proxy.put(service(), endpoint(POD_1))
    assert f"{POD_2}/8080" in proxy.table()
    proxy.backend.stale_seconds = 0.0
    assert await proxy.backend.verify()
    assert f"{POD_2}/8080" not in proxy.table()
    await proxy.put(service(), endpoint(POD_2))
    assert who(proxy.asked("client", VIP, times=3)) == {"pod-2"}


async def test_nft_and_the_table_agree_after_all(proxy: Proxy) -> None:
    """The kernel's own listing has exactly the elements that are wanted."""
    one = service(ports=NODE_PORT, type="NodePort", externalIPs=["192.0.2.7"])
    await proxy.put(one, endpoint(POD_1))
    await proxy.put(service("other", "10.96.0.11", sessionAffinity="ClientIP"), endpoint(POD_2))
    await proxy.put(one)
    listing = run(*proxy.net.inside("node"), "nft", "-j", "list", "table", "ip", "kube-proxy")
    sets = [entry.get("map") or entry.get("set") for entry in json.loads(listing)["nftables"]]
    count = sum(len(found.get("elem", [])) for found in sets if found)
    assert count == len(proxy.backend.table.content.elements)
