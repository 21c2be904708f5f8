"""Three nodes, each with a pod behind a veth pair, joined by a bridge with a router; each a network namespace.

    pod-a 10.244.1.2 -- node-a 172.30.1.11 --+
    pod-b 10.244.2.2 -- node-b 172.30.1.12 --+-- switch 172.30.1.1, 172.30.2.1
    pod-c 10.244.3.2 -- node-c 172.30.2.13 --+

Nodes a and b share a subnet; c is behind the router, which knows the nodes but no pods.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PREFIX = "kybern-test-net-"
_SERVER = Path(__file__).parent / "server.py"


@dataclass(frozen=True)
class Machine:
    """A node and its pod. Addresses are (IPv4, IPv6)."""

    name: str
    subnet: int
    number: int

    @property
    def addresses(self) -> tuple[str, str]:
        return f"172.30.{self.subnet}.{10 + self.number}", f"fd77:{self.subnet}::{10 + self.number}"

    @property
    def cidrs(self) -> tuple[str, str]:
        return f"10.244.{self.number}.0/24", f"fd00:{self.number}::/64"

    @property
    def pod(self) -> tuple[str, str]:
        return f"10.244.{self.number}.2", f"fd00:{self.number}::2"


A, B, C = Machine("a", 1, 1), Machine("b", 1, 2), Machine("c", 2, 3)
MACHINES = (A, B, C)
SWITCH = {subnet: (f"172.30.{subnet}.1", f"fd77:{subnet}::1") for subnet in (1, 2)}


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
        return ("nsenter", f"--net=/run/netns/{self.name(role)}")

    def ip(self, role: str, *words: str, check: bool = True) -> str:
        return run("ip", "-n", self.name(role), *words, check=check)

    def json(self, role: str, *words: str) -> Any:
        return json.loads(run("ip", "-n", self.name(role), "-j", *words) or "[]")

    def get(self, role: str, address: str, path: str = "/", timeout: float = 1) -> str:
        """Who answers a GET and whom it saw; "" if nobody does."""
        host = f"[{address}]" if ":" in address else address
        command = [*self.inside(role), "curl", "-gs", "--noproxy", "*", "--max-time", str(timeout)]
        return run(*command, f"http://{host}:8080{path}", check=False).strip()

    def routes(self, machine: Machine) -> dict[str, tuple[str, str]]:
        """Ours: destination -> gateway and device."""
        found = [entry for family in ("-4", "-6") for entry in self.json(f"node-{machine.name}", family, "route")]
        return {entry["dst"]: (entry["gateway"], entry["dev"]) for entry in found if entry.get("protocol") == "75"}

    def build(self) -> None:
        self._space("switch")
        self.ip("switch", "link", "add", "br0", "type", "bridge")
        for addresses in SWITCH.values():
            self._hold("switch", "br0", f"{addresses[0]}/24", f"{addresses[1]}/64")
        self.ip("switch", "link", "set", "br0", "up")
        for machine in MACHINES:
            self._add(machine)

    def _space(self, role: str) -> None:
        run("ip", "netns", "add", self.name(role))
        self.ip(role, "link", "set", "lo", "up")
        for switch in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            run(*self.inside(role), "sh", "-c", f"echo 1 > /proc/sys/net/{switch}")

    def _hold(self, role: str, device: str, *addresses: str) -> None:
        for address in addresses:
            nodad = ("nodad",) if ":" in address else ()
            self.ip(role, "address", "add", address, "dev", device, *nodad)

    def _add(self, machine: Machine) -> None:
        node, pod = f"node-{machine.name}", f"pod-{machine.name}"
        self._space(node)
        self._space(pod)
        far = ("peer", "name", "eth0", "netns", self.name(node))
        self.ip("switch", "link", "add", node, "type", "veth", *far)
        self.ip("switch", "link", "set", node, "master", "br0", "up")
        self._hold(node, "eth0", f"{machine.addresses[0]}/24", f"{machine.addresses[1]}/64")
        self.ip(node, "link", "set", "eth0", "up")
        # As the CNI plugin ptp does: the gateway's address on the pod's pair, and a route to the pod alone.
        self.ip(node, "link", "add", "pod", "type", "veth", "peer", "name", "eth0", "netns", self.name(pod))
        for end, device in ((node, "pod"), (pod, "eth0")):
            self.ip(end, "link", "set", device, "up")
        for version, gateway in enumerate((f"10.244.{machine.number}.1", f"fd00:{machine.number}::1")):
            width = "/128" if version else "/32"
            self._hold(node, "pod", gateway + width)
            self._hold(pod, "eth0", machine.pod[version] + width)
            self.ip(node, "route", "add", machine.pod[version] + width, "dev", "pod")
            self.ip(node, "route", "add", "default", "via", SWITCH[machine.subnet][version])
            self.ip(pod, "route", "add", gateway + width, "dev", "eth0")
            self.ip(pod, "route", "add", "default", "via", gateway, "dev", "eth0")
        server = subprocess.Popen([*self.inside(pod), sys.executable, str(_SERVER), pod], stdout=subprocess.PIPE)
        self.servers.append(server)
        assert server.stdout
        assert server.stdout.readline() == b"ready\n"

    def remove(self) -> None:
        for server in self.servers:
            server.kill()
            server.wait()
            if server.stdout:
                server.stdout.close()
        for role in ("switch", *(f"{kind}-{machine.name}" for kind in ("pod", "node") for machine in MACHINES)):
            run("ip", "netns", "del", self.name(role), check=False)


def remove_leftovers() -> None:
    """Namespaces of runs that were killed: those whose process, part of the name, is gone."""
    for line in run("ip", "netns", "list").splitlines():
        name = line.split()[0]
        pid = name.removeprefix(PREFIX).partition("-")[0]
        if name.startswith(PREFIX) and pid.isdigit() and not Path(f"/proc/{pid}").exists():
            for left in run("ip", "netns", "pids", name, check=False).split():
                os.kill(int(left), 9)
            run("ip", "netns", "del", name, check=False)
