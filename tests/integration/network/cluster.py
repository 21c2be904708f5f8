"""An API server at the switch, Nodes made by hand, and an agent on each machine that is to have one."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from kybern.cluster.addons import network_binding, network_role
from tests.integration.network.net import SWITCH, Machine, Net, run

ADMIN, AGENT = "network-admin", "network-agent"
KYBERN = (sys.executable, "-m", "kybern")
PORT = 26443
RBAC = "/apis/rbac.authorization.k8s.io/v1"
_SERVER = f"https://{SWITCH[1][0]}:{PORT}"


def until(what: Callable[[], object], said: Callable[[], str], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, said()
        time.sleep(0.05)


class Cluster:
    """The API server of a package's tests, and agents of one test each."""

    def __init__(self, net: Net, directory: Path) -> None:
        self.net, self.directory = net, directory
        (directory / "tokens").write_text(f'{ADMIN},admin,1,"system:masters"\n{AGENT},system:kybern-network,2\n')
        config = {
            "clusters": [{"name": "c", "cluster": {"server": _SERVER, "insecure-skip-tls-verify": True}}],
            "users": [{"name": "u", "user": {"token": AGENT}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        (directory / "kubeconfig").write_text(json.dumps(config))

    @contextlib.contextmanager
    def process(self, role: str, name: str, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
        with self._log(role, name).open("wb") as log:
            child = subprocess.Popen([*self.net.inside(role), *KYBERN, name, *flags], stdout=log, stderr=log)
        try:
            yield child
        finally:
            child.terminate()
            child.wait(20)

    def _log(self, role: str, name: str) -> Path:
        return self.directory / f"{role}-{name}.log"

    def said(self, machine: Machine) -> str:
        """The log of a machine's last agent."""
        return self._log(f"node-{machine.name}", "network").read_text()

    @contextlib.contextmanager
    def running(self) -> Iterator[Cluster]:
        flags = (
            f"--data-dir={self.directory}/data",
            f"--secure-port={PORT}",
            f"--token-auth-file={self.directory}/tokens",
            "--authorization-mode=Node,RBAC",
        )
        with self.process("switch", "apiserver", *flags) as server:
            ready = [*self.net.inside("switch"), "curl", "-ksf", f"{_SERVER}/readyz"]

            def is_ready() -> bool:
                assert server.poll() is None, self._log("switch", "apiserver").read_text()
                return subprocess.run(ready, capture_output=True, check=False).returncode == 0

            until(is_ready, lambda: self._log("switch", "apiserver").read_text())
            self.api("POST", f"{RBAC}/clusterroles", network_role())
            self.api("POST", f"{RBAC}/clusterrolebindings", network_binding())
            yield self

    def api(self, method: str, path: str, body: Any = None) -> Any:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        head = ("-H", f"Authorization: Bearer {ADMIN}", "-H", f"Content-Type: {kind}")
        sent = ("-d", json.dumps(body)) if body is not None else ()
        return json.loads(run(*self.net.inside("switch"), "curl", "-ksf", "-X", method, *head, *sent, _SERVER + path))

    def node(self, machine: Machine) -> Any:
        return self.api("GET", f"/api/v1/nodes/{machine.name}")

    def register(self, machine: Machine) -> None:
        spec = {"podCIDR": machine.cidrs[0], "podCIDRs": machine.cidrs}
        made = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": machine.name}, "spec": spec}
        self.api("POST", "/api/v1/nodes", made)
        self.place(machine, *machine.addresses)

    def place(self, machine: Machine, *addresses: str) -> None:
        """Say where a node is."""
        entries = [{"type": "InternalIP", "address": address} for address in addresses]
        self.api("PATCH", f"/api/v1/nodes/{machine.name}/status", {"status": {"addresses": entries}})

    def delete(self, machine: Machine) -> None:
        self.api("DELETE", f"/api/v1/nodes/{machine.name}")

    @contextlib.contextmanager
    def agents(self, machines: tuple[Machine, ...], *flags: str) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for machine in machines:
                words = (f"--kubeconfig={self.directory}/kubeconfig", f"--hostname-override={machine.name}", *flags)
                stack.enter_context(self.process(f"node-{machine.name}", "network", *words))
            yield

    def health(self, machine: Machine) -> str:
        """What the agent's /healthz says; "" if it does not answer."""
        url = "http://127.0.0.1:10262/healthz"
        return run(*self.net.inside(f"node-{machine.name}"), "curl", "-s", url, check=False).strip()

    def until_well(self, *machines: Machine) -> None:
        for machine in machines:
            until(partial(self._is_well, machine), partial(self.said, machine))

    def _is_well(self, machine: Machine) -> bool:
        return self.health(machine) == "ok"

    def cleanup(self, machine: Machine) -> None:
        run(*self.net.inside(f"node-{machine.name}"), *KYBERN, "network", "--cleanup")

    def until_reached(self, client: str, server: Machine, seen: tuple[str, ...]) -> None:
        """The pod of a machine answers in both IP versions, and sees the client's own address."""
        wanted = [f"pod-{server.name} {source}" for source in seen]

        def found() -> list[str]:
            return [self.net.get(client, address) for address in server.pod]

        until(lambda: found() == wanted, lambda: f"{client} gets {found()}, not {wanted}\n{self.said(server)}")
