"""The local cloud's load balancers in a network namespace, with a real HAProxy, asked by curl and plain sockets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

HERE = Path(__file__).parent
NODES = [
    {
        "metadata": {"name": name},
        "spec": {},
        "status": {"addresses": [{"type": "InternalIP", "address": ip}]},
    }
    for name, ip in (("one", "10.9.0.1"), ("two", "10.9.0.2"))
]
CLIENT = "10.9.0.9"
ASK_UDP = """
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((sys.argv[1], 0))
s.settimeout(float(sys.argv[4]))
for word in sys.argv[5:]:
    s.sendto(word.encode(), (sys.argv[2], int(sys.argv[3])))
    try:
        data, server = s.recvfrom(100)
        print(server[0], data.decode())
    except TimeoutError:
        print("no answer")
"""
HOLD_TCP = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=5)
for line in sys.stdin:
    s.sendall(b"slow\\n")
    print(s.recv(100).decode().strip(), flush=True)
"""


def run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


def service(name="web", ports=None, **spec):
    return {
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"},
        "spec": {"type": "LoadBalancer", "ports": ports or [{"port": 80, "nodePort": 30080}], **spec},
    }


UDP = [{"port": 53, "nodePort": 30053, "protocol": "UDP"}]


class Here:
    """The namespace, and the load balancers in it."""

    def __init__(self, directory: Path) -> None:
        self.name = f"kybern-test-{os.getpid()}-{uuid.uuid4().hex[:4]}-lb"
        self.directory = directory
        self.started: list[subprocess.Popen[str]] = []

    def build(self) -> None:
        run("ip", "netns", "add", self.name)
        for words in (
            "link set lo up",
            "link add nodes type bridge",
            "link set nodes up",
            *(f"addr add {ip}/24 dev nodes" for ip in ("10.9.0.1", "10.9.0.2", CLIENT)),
        ):
            run("ip", "-n", self.name, *words.split())
        self.start(sys.executable, str(HERE / "nodes.py"))
        self.cloud = self.start_cloud()

    def inside(self, *command: str) -> list[str]:
        return ["ip", "netns", "exec", self.name, *command]

    def start(self, *command: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        child = subprocess.Popen(self.inside(*command), stdin=pipe, stdout=pipe, text=True)
        self.started.append(child)
        assert child.stdout.readline() == "ready\n"
        return child

    def start_cloud(self) -> subprocess.Popen[str]:
        return self.start(sys.executable, str(HERE / "balance.py"), str(self.directory))

    def tell(self, do: str, given, nodes=NODES):
        self.cloud.stdin.write(json.dumps({"do": do, "service": given, "nodes": nodes}) + "\n")
        self.cloud.stdin.flush()
        return json.loads(self.cloud.stdout.readline())

    def ensure(self, given, nodes=NODES) -> str:
        """The address."""
        return self.tell("ensure", given, nodes)["ingress"][0]["ip"]

    def curl(self, address: str, source: str = CLIENT) -> str:
        """What a node says, or nothing."""
        options = ("-s", "--noproxy", "*", "--max-time", "5", "--interface", source)
        return run(*self.inside("curl", *options, f"http://{address}/"), check=False)

    def ask(self, address: str, *words: str, source: str = CLIENT, patience: float = 5) -> list[str]:
        command = (sys.executable, "-c", ASK_UDP, source, address, "53", str(patience), *words)
        return run(*self.inside(*command)).splitlines()

    def addresses(self) -> list[str]:
        shown = json.loads(run("ip", "-json", "-4", "-n", self.name, "addr", "show"))
        return [held["local"] for link in shown if link["ifname"] == "kybern-lb" for held in link["addr_info"]]

    def haproxies(self) -> list[psutil.Process]:
        mark = str(self.directory)
        found = [one for one in psutil.process_iter(["cmdline"]) if mark in " ".join(one.info["cmdline"] or [])]
        return [one for one in found if "haproxy" in one.info["cmdline"][0]]

    def remove(self) -> None:
        for child in reversed(self.started):
            child.kill()
            child.communicate()
        eventually(lambda: not self.haproxies())
        run("ip", "netns", "del", self.name)


def eventually(check):
    end = time.monotonic() + 20
    while not (value := check()):
        assert time.monotonic() < end, f"still {value!r}"
        time.sleep(0.02)
    return value


@pytest.fixture
def here(tmp_path):
    missing = [name for name in ("ip", "curl", "haproxy") if not shutil.which(name, path="/usr/sbin:/usr/bin:/sbin")]
    if os.geteuid() or missing:
        pytest.skip(f"needs root and {', '.join(missing) or 'nothing more'}")
    made = Here(tmp_path)
    try:
        made.build()
        yield made
    finally:
        made.remove()


def test_an_address_answers_for_all_nodes_until_its_service_goes(here):
    assert here.addresses() == []
    assert here.haproxies() == []
    address = here.ensure(service())
    assert here.addresses() == [address]
    assert {here.curl(address) for _ in range(4)} == {"one", "two"}
    here.ensure(service(), NODES[1:])
    eventually(lambda: {here.curl(address) for _ in range(4)} == {"two"})
    here.tell("delete", service())
    assert here.addresses() == []
    assert here.haproxies() == []


def test_connections_outlast_a_reload(here):
    address = here.ensure(service())
    holder = subprocess.Popen(
        here.inside(sys.executable, "-c", HOLD_TCP, address, "80"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def ask() -> str:
        holder.stdin.write("again\n")
        holder.stdin.flush()
        return holder.stdout.readline().strip()

    node = ask()
    assert node in ("one", "two")
    other = here.ensure(service("other"))
    assert here.curl(other) in ("one", "two")
    assert ask() == node
    holder.communicate()


def test_only_sources_in_range_connect(here):
    ranges = {"loadBalancerSourceRanges": [f"{CLIENT}/32"]}
    address = here.ensure(service(**ranges))
    assert here.curl(address)
    assert here.curl(address, source="10.9.0.1") == ""
    datagrams = here.ensure(service("dns", UDP, **ranges))
    assert here.ask(datagrams, "hi")[0].startswith(f"{datagrams} ")
    assert here.ask(datagrams, "hi", source="10.9.0.1", patience=0.3) == ["no answer"]


def test_clients_with_affinity_keep_their_node(here):
    address = here.ensure(service(sessionAffinity="ClientIP"))
    assert len({here.curl(address) for _ in range(6)}) == 1


def test_local_traffic_goes_only_where_pods_are(here):
    local = {"externalTrafficPolicy": "Local", "healthCheckNodePort": 31000}
    address, datagrams = here.ensure(service(**local)), here.ensure(service("dns", UDP, **local))
    eventually(lambda: {here.curl(address) for _ in range(4)} == {"one"})
    eventually(lambda: {here.ask(datagrams, "x")[0].split()[1] for _ in range(4)} == {"one"})


def test_a_client_of_udp_keeps_its_way(here):
    address = here.ensure(service(ports=UDP))
    answers = [line.split() for line in here.ask(address, "a", "b", "c")]
    assert [word for _, _, word, _ in answers] == ["a", "b", "c"]
    assert len({(node, port) for _, node, _, port in answers}) == 1
    # Another node port on the same port: the old relay must be out of the way.
    assert here.ensure(service(ports=[{**UDP[0], "nodePort": 30054}])) == address
    here.ensure(service(ports=UDP))
    assert here.ask(address, "d")[0].split()[2] == "d"


def test_a_port_that_is_taken_is_named_and_harms_no_other(here):
    address = here.ensure(service())
    here.start(
        sys.executable, "-c",
        "import socket, time\ns = socket.create_server(('0.0.0.0', 81))\nprint('ready', flush=True)\ntime.sleep(99)",
    )  # fmt: skip
    said = here.tell("ensure", service("other", [{"port": 81, "nodePort": 30080}]))
    assert said == {"error": "TCP port 81 of 10.89.1.2 is taken on this machine"}
    assert here.addresses() == [address]
    assert here.curl(address)


def test_all_is_back_after_the_process_was_killed(here):
    address = here.ensure(service())
    datagrams = here.ensure(service("dns", UDP))
    here.cloud.kill()
    here.cloud.wait()
    eventually(lambda: not here.haproxies())
    here.cloud = here.start_cloud()
    assert here.curl(address)
    assert here.ask(datagrams, "hi")[0].endswith(tuple("0123456789"))


def test_a_killed_haproxy_is_started_again(here):
    address = here.ensure(service())
    for process in here.haproxies():
        process.kill()
    eventually(lambda: here.curl(address))
