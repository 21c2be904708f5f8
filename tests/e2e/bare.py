"""Bare machines to make nodes of: network, mount and UTS namespaces on a bridge, with nothing in them."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from kybern.cluster import host, machines
from kybern.cluster.topology import Member, Topology
from kybern.network import masquerade

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "build" / "images"
DIRECTORY = Path("/var/lib/kybern-e2e-bare")
NAMES = ("bare-a", "bare-b", "bare-c")


class Machine:
    """One of them. `directory` is on the host; what the node keeps is below it."""

    def __init__(self, member: Member, directory: Path) -> None:
        self.member, self.name, self.ip = member, member.name, member.ip
        self.data_dir = directory / self.name / "data"
        private = directory / self.name / "private"
        mounts = "".join(
            f"mkdir -p {private}{path} {path}; mount --bind {private}{path} {path}; " for path in machines.PRIVATE
        )
        script = f"set -e; hostname {self.name}; {mounts} echo made; exec sleep infinity"
        command = machines.enter_command(member, ["sh", "-c", script])
        self._holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout is not None
        # Before that, entering its namespaces would be entering the host's.
        assert self._holder.stdout.readline() == "made\n"

    def run(self, *command: str, check: bool = True, timeout: float = 170) -> subprocess.CompletedProcess[str]:
        enter = ["nsenter", f"--target={self._holder.pid}", "--net", "--mount", "--uts", "--"]
        done = subprocess.run([*enter, *command], capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode:
            raise AssertionError(f"{self.name}: {' '.join(command)}\n{done.stdout}\n{done.stderr}\n{self.logs()}")
        return done

    def kybern(self, command: str, *flags: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "kybern", command, f"--data-dir={self.data_dir}", *flags, check=check)

    @contextlib.contextmanager
    def background(self, *command: str) -> Iterator[None]:
        """While something runs in it."""
        enter = ["nsenter", f"--target={self._holder.pid}", "--net", "--mount", "--uts", "--"]
        with subprocess.Popen([*enter, *command], stdin=subprocess.DEVNULL) as process:
            try:
                yield
            finally:
                process.kill()

    def left(self) -> list[str]:
        """What a node has left behind: files, processes, packet filter, interfaces, mounts, control groups."""
        mounts = Path(f"/proc/{self._holder.pid}/mountinfo").read_text().splitlines()
        groups = [*Path("/sys/fs/cgroup").rglob(f"kybern/{self.name}/kubepods*")]
        links = [line.split()[0].partition("@")[0] for line in self.run("ip", "-brief", "link").stdout.splitlines()]
        return [
            *(str(path) for path in self.data_dir.parent.glob("data*")),
            *self.command_lines(),
            *self.run("nft", "list", "ruleset").stdout.splitlines(),
            *(link for link in links if link not in ("lo", "eth0")),
            *(line for line in self.run("ip", "route").stdout.splitlines() if "eth0" not in line),
            *(line for line in mounts if f"{self.data_dir}" in line),
            *map(str, groups),
        ]

    def logs(self) -> str:
        """The end of each log, of the pods in kube-system too."""
        files = [*self.data_dir.glob("logs/*.log"), *self.data_dir.glob("logs/pods/kube-system_*/*/*.log")]
        ends = ["\n".join(path.read_text(errors="replace").splitlines()[-12:]) for path in sorted(files)]
        return "\n".join(f"--- {path}\n{end}" for path, end in zip(sorted(files), ends, strict=True))

    def processes(self) -> list[psutil.Process]:
        """Everything that runs in the machine, but for what keeps it."""
        inside = {process.pid: process for process in machines.processes(self.name)}
        network = os.stat(f"/proc/{self._holder.pid}/ns/net").st_ino
        for process in psutil.process_iter():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{process.pid}/ns/net").st_ino == network:
                    inside[process.pid] = process
        inside.pop(self._holder.pid, None)
        return [*inside.values()]

    def command_lines(self) -> list[str]:
        """Of all that runs in it."""
        lines = []
        for process in self.processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                lines.append(" ".join(process.cmdline()))
        return lines

    def remove(self) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)
        self._holder.kill()
        self._holder.communicate()


class Machines:
    """Several on one bridge. The host reaches them by their addresses."""

    def __init__(self) -> None:
        topology = _topology()
        self._new = [path for path in map(Path, machines.PRIVATE) if not path.exists()]
        machines.make_bridge(topology)
        machines.make_way_out(topology, "10.244.0.0/16")
        for member in topology.members:
            machines.make_network(topology, member)
        self.all = {member.name: Machine(member, DIRECTORY) for member in topology.members}

    def __getitem__(self, name: str) -> Machine:
        return self.all[name]

    def remove(self) -> None:
        for machine in self.all.values():
            machine.remove()
        clear()
        for path in self._new:
            with contextlib.suppress(OSError):
                path.rmdir()


def _topology() -> Topology:
    topology = Topology((), "10.89.0.0/24")
    for name in NAMES:
        topology = topology.with_new(name)
    return topology


def clear() -> None:
    """Take away what there is of the machines, also if the run that made them was killed."""
    for member in _topology().members:
        machines.kill(member.name)
        machines.remove_network(member)
        machines.remove_groups(member.name)
    machines.remove_bridge()
    masquerade.remove()
    host.unmount_below(DIRECTORY)
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    host.remove_cgroups()
