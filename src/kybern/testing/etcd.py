"""Debian's etcd on loopback: members on free ports with their data in a directory."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from kybern.store._generated import etcd_pb2 as etcd
from kybern.store.base import StoreUnavailable
from kybern.store.etcd_client import STATUS, EtcdClient, Tls

QUICK = ("--heartbeat-interval=20", "--election-timeout=200", "--logger=zap", "--log-level=warn")
"""Elections within a second."""


class EtcdServers:
    """Members of one cluster. `tls` are the flags' files: authority, certificate and key, for clients' connections."""

    def __init__(self, directory: Path, members: int = 1, *, flags: Sequence[str] = (), tls: Tls | None = None) -> None:
        self.directory, self.flags, self.tls = directory, list(flags), tls
        ports = free_ports(2 * members)
        self.scheme = "https" if tls else "http"
        self.names = [f"m{number}" for number in range(members)]
        self.clients = [f"{self.scheme}://127.0.0.1:{port}" for port in ports[:members]]
        self.peers = [f"http://127.0.0.1:{port}" for port in ports[members:]]
        self.processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def location(self) -> str:
        """As open_store takes it."""
        return ",".join(self.clients)

    def start(self, number: int, *, join: str = "new") -> None:
        """Start a member, with the data it has. `join`: "new" or "existing", of a cluster."""
        cluster = ",".join(f"{name}={peer}" for name, peer in zip(self.names, self.peers, strict=True))
        client, peer = self.clients[number], self.peers[number]
        command = [
            "etcd", f"--name={self.names[number]}", f"--data-dir={self.data(number)}",
            f"--listen-client-urls={client}", f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}", f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster={cluster}", f"--initial-cluster-state={join}", *QUICK, *self.flags,
        ]  # fmt: skip
        if self.tls:
            command += ["--client-cert-auth", f"--trusted-ca-file={self.tls.authority}"]
            command += [f"--cert-file={self.tls.certificate}", f"--key-file={self.tls.key}"]
        with open(self.directory / f"{self.names[number]}.log", "ab") as log:
            self.processes[number] = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.directory)

    def data(self, number: int) -> Path:
        """A member's data directory."""
        return self.directory / f"{self.names[number]}.etcd"

    def kill(self, number: int) -> None:
        """As a crash would."""
        process = self.processes.pop(number)
        process.kill()
        process.wait()

    def stop(self) -> None:
        """End what runs."""
        for process in self.processes.values():
            process.send_signal(signal.SIGKILL)
        for process in self.processes.values():
            process.wait()
        self.processes.clear()

    async def start_all(self, client_tls: Tls | None = None) -> None:
        """Start every member and wait until one is leader."""
        for number in range(len(self.names)):
            self.start(number)
        assert await self.leader(client_tls) >= 0

    async def leader(self, tls: Tls | None = None) -> int:
        """The number of the member that leads, once every running one knows it. Raises StoreUnavailable."""
        client = EtcdClient(self.clients, tls)
        try:
            for _ in range(100):
                with contextlib.suppress(StoreUnavailable):
                    states = {
                        number: await client.call(
                            STATUS, etcd.StatusRequest(), endpoint=self.clients[number], timeout=1.0
                        )
                        for number in self.processes
                    }
                    if len(leaders := {state.leader for state in states.values()}) == 1 and leaders != {0}:
                        leading = leaders.pop()
                        return next(n for n, state in states.items() if state.header.member_id == leading)
        finally:
            await client.close()
        logs = [path.read_text()[-300:] for path in self.directory.glob("m*.log")]
        raise StoreUnavailable(f"no leader: {logs}")


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for held in sockets:
        held.bind(("127.0.0.1", 0))
    ports = [int(held.getsockname()[1]) for held in sockets]
    for held in sockets:
        held.close()
    return ports
