"""A node, a client outside of the cluster and two pods, each a network namespace, joined by veth pairs.

client 192.168.77.2 -- 192.168.77.1 node -- pod-1 10.244.0.2, pod-2 10.244.0.3
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

PREFIX = "kybern-test-"
NODE_IP, CLIENT_IP = "192.168.77.1", "192.168.77.2"
PODS = {"pod-1": "10.244.0.2", "pod-2": "10.244.0.3"}
_SERVER = Path(__file__).parent / "server.py"


def run(*command: str, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout


@dataclass
class Net:
    """The namespaces; `id` is in all their names."""

    id: str
    servers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def name(self, role: str) -> str:
        return f"{PREFIX}{self.id}-{role}"

    def inside(self, role: str) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.name(role))

    def get(self, role: str, address: str, port: int, timeout: float = 2) -> str:
        """Who answers a GET, or `refused` or `no answer`."""
        url = f"http://{address}:{port}/"
        command = [*self.inside(role), "curl", "-s", "--noproxy", "*", "--max-time", str(timeout), url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return {0: done.stdout.strip(), 7: "refused", 28: "no answer"}.get(done.returncode, str(done))

    def build(self) -> None:
        for role in ("node", "client", *PODS):
            run("ip", "netns", "add", self.name(role))
            run(*self.inside(role), "ip", "link", "set", "lo", "up")
        run(*self.inside("node"), "sysctl", "-qw", "net.ipv4.ip_forward=1")
        self._join("client", CLIENT_IP, NODE_IP)
        for role, address in PODS.items():
            self._join(role, address, "10.244.0.1")
        # As in a container: without a default route the node itself could not connect to a Service.
        # Not through the client: the kernel would send it redirects, and so few other ICMP errors.
        run("ip", "-n", self.name("node"), "link", "add", "uplink", "type", "veth", "peer", "name", "far")
        for end in ("uplink", "far"):
            run("ip", "-n", self.name("node"), "link", "set", end, "up")
        run("ip", "-n", self.name("node"), "route", "add", "default", "dev", "uplink")
        for role in PODS:
            self.serve(role, role)

    def _join(self, role: str, address: str, gateway: str) -> None:
        inner, node = self.name(role), self.name("node")
        run("ip", "-n", node, "link", "add", role, "type", "veth", "peer", "name", "eth0", "netns", inner)
        run("ip", "-n", node, "address", "add", f"{gateway}/32", "dev", role)
        run("ip", "-n", node, "link", "set", role, "up")
        run("ip", "-n", node, "route", "add", f"{address}/32", "dev", role)
        run("ip", "-n", inner, "address", "add", f"{address}/32", "dev", "eth0")
        run("ip", "-n", inner, "link", "set", "eth0", "up")
        run("ip", "-n", inner, "route", "add", f"{gateway}/32", "dev", "eth0")
        run("ip", "-n", inner, "route", "add", "default", "via", gateway)

    def serve(self, role: str, name: str) -> None:
        """A server on 8080 (TCP: HTTP; UDP) that answers with its name and who asked."""
        server = subprocess.Popen([*self.inside(role), sys.executable, str(_SERVER), name], stdout=subprocess.PIPE)
        self.servers.append(server)
        assert server.stdout
        assert server.stdout.readline() == b"ready\n"

    def remove(self) -> None:
        for server in self.servers:
            server.kill()
            server.wait()
            if server.stdout:
                server.stdout.close()
        for role in ("client", *PODS, "node"):
            run("ip", "netns", "del", self.name(role), check=False)


def _remove_leftovers() -> None:
    """Namespaces of runs that were killed: those whose process, part of the name, is gone."""
    for line in run("ip", "netns", "list").splitlines():
        name = line.split()[0]
        pid = name.removeprefix(PREFIX).partition("-")[0]
        if name.startswith(PREFIX) and pid.isdigit() and not Path(f"/proc/{pid}").exists():
            for left in run("ip", "netns", "pids", name, check=False).split():
                os.kill(int(left), 9)
            run("ip", "netns", "del", name, check=False)


@pytest.fixture(scope="package")
def net() -> Iterator[Net]:
    missing = [program for program in ("nft", "ip", "curl") if not shutil.which(program)]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"needs root and {', '.join(missing) or 'nothing more'}")
    _remove_leftovers()
    made = Net(f"{os.getpid()}-{uuid.uuid4().hex[:4]}")
    try:
        try:
            made.build()
        except AssertionError as error:
            if "not permitted" in str(error):
                pytest.skip(f"network namespaces can't be made here: {error}")
            raise
        yield made
    finally:
        made.remove()
