"""The namespaces that make a node: network on the bridge, mounts and host name of its own, a control group for it all.

Source: namespaces(7), cgroups(7); the programs ip, nsenter and unshare.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from kybern.cluster.layout import Layout, Settings
from kybern.cluster.topology import BRIDGE, Member, Topology, namespace_path, network_namespace
from kybern.network import masquerade
from kybern.process.clock import monotonic
from kybern.process.daemon import OperatorError

_CGROUPS = Path("/sys/fs/cgroup")
_UP = 1
"""IFF_UP of an interface's flags."""
GROUP = "kybern"
"""The control group above those of all nodes."""
PRIVATE = ("/run/containerd", "/var/lib/cni", "/var/log/containers")
"""Directories that runtimes take for granted; each node has its own."""


def make_bridge(topology: Topology) -> None:
    """The bridge with the machine's address, and the way out for the nodes. Idempotent. Raises OperatorError."""
    length = topology.subnet.partition("/")[2]
    if not Path("/sys/class/net", BRIDGE).exists():
        _ip(f"link add {BRIDGE} type bridge")
    _ip(f"addr replace {topology.gateway}/{length} dev {BRIDGE}")
    _ip(f"link set {BRIDGE} up")


def make_way_out(topology: Topology, cluster_cidr: str) -> None:
    """What nodes send beyond the machine leaves with its address. Raises OperatorError."""
    try:
        masquerade.install((topology.subnet,), (topology.subnet, cluster_cidr))
    except masquerade.MasqueradeFailed as error:
        raise OperatorError(f"nodes get no way out: {error}") from error


def route_services(topology: Topology, cidr: str) -> None:
    """The machine reaches Services through the first node that runs, and pods by the cloud's routes. Raises
    OperatorError."""
    running = [member for member in topology.members if not member.stopped]
    if running:
        _ip(f"route replace {cidr} via {running[0].ip}")


def make_network(topology: Topology, member: Member) -> None:
    """A node's network namespace, joined to the bridge. Idempotent. Raises OperatorError."""
    namespace, length = network_namespace(member.name), topology.subnet.partition("/")[2]
    if namespace_path(member.name).exists():
        return
    _ip(f"netns add {namespace}")
    host_side = link(member)
    _ip(f"link add {host_side} type veth peer name eth0 netns {namespace}")
    _ip(f"link set {host_side} master {BRIDGE} up")
    for words in (
        "link set lo up",
        f"addr add {member.ip}/{length} dev eth0",
        "link set eth0 up",
        f"route add default via {topology.gateway}",
    ):
        _ip(f"-n {namespace} {words}")


def link(member: Member) -> str:
    """The host's end of a node's cable; names of interfaces have 15 letters at most."""
    return f"kyb{int(member.ip.rpartition('.')[2])}"


def set_link(member: Member, *, up: bool) -> None:
    """Plug a node's cable in or out. Raises OperatorError."""
    _ip(f"link set {link(member)} {'up' if up else 'down'}")


def is_cut_off(member: Member) -> bool:
    """Whether a node's cable is pulled."""
    with contextlib.suppress(OSError):
        return not int(Path("/sys/class/net", link(member), "flags").read_text(), 16) & _UP
    return False


def remove_network(member: Member) -> None:
    """Take a node's namespace and cable away, if they are there."""
    subprocess.run(["ip", "link", "delete", link(member)], capture_output=True, check=False)
    subprocess.run(["ip", "netns", "delete", network_namespace(member.name)], capture_output=True, check=False)


def remove_bridge() -> None:
    subprocess.run(["ip", "link", "delete", BRIDGE], capture_output=True, check=False)


def _ip(words: str) -> None:
    done = subprocess.run(["ip", *words.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OperatorError(f"`ip {words}` failed: {done.stderr.strip()}; run as root with iproute2 installed")


# Inside.


def enter_command(member: Member, command: list[str]) -> list[str]:
    """The command line that runs `command` as the node: in its group and namespaces."""
    # A new group of cpuset has no processors and takes nobody in; nodes share them all anyway.
    groups = [group / "daemons" / "cgroup.procs" for group in _groups(member.name) if "cpuset" not in group.parts]
    for group in groups:
        group.parent.mkdir(parents=True, exist_ok=True)
    join = " ".join(f"echo $$ > {group};" for group in groups)
    enter = ["nsenter", f"--net={namespace_path(member.name)}", "unshare", "--mount", "--uts", "--propagation", "slave"]
    return ["/bin/sh", "-c", f'{join} exec "$@"', "enter", *enter, *command]


def settle(layout: Layout, settings: Settings) -> None:
    """Called inside a node's new namespaces: its name, its own directories, its kernel settings. What an earlier life
    of the node left running is ended: it holds on to namespaces that are no longer the node's."""
    kill(settings.node_name, spare=os.getpid())
    socket.sethostname(settings.node_name)
    for directory in PRIVATE:
        own = layout.root / "private" / directory.strip("/").replace("/", "-")
        own.mkdir(parents=True, exist_ok=True)
        Path(directory).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", str(own), directory], check=True)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")


# Control groups: for stopping a node at once, and for holding it still.


def _groups(name: str) -> Iterator[Path]:
    """The node's group in every hierarchy that can hold it."""
    if (_CGROUPS / "cgroup.controllers").exists():
        yield _CGROUPS / GROUP / name
        return
    for hierarchy in sorted(_CGROUPS.iterdir()):
        if hierarchy.is_dir() and not hierarchy.is_symlink():
            yield hierarchy / GROUP / name


def _freezer(name: str) -> Path:
    v1 = _CGROUPS / "freezer"
    return (v1 if v1.is_dir() else _CGROUPS) / GROUP / name


def processes(name: str) -> list[psutil.Process]:
    """Everything that runs in a node, its containers too."""
    found = []
    for procs in _freezer(name).rglob("cgroup.procs"):
        with contextlib.suppress(OSError):
            for pid in procs.read_text().split():
                with contextlib.suppress(psutil.NoSuchProcess):
                    found.append(psutil.Process(int(pid)))
    return found


def freeze(name: str, *, frozen: bool) -> None:
    """Hold every process of a node still, or let them go on. Raises OperatorError."""
    group = _freezer(name)
    v1, v2 = group / "freezer.state", group / "cgroup.freeze"
    try:
        if v1.exists():
            v1.write_text("FROZEN" if frozen else "THAWED")
        else:
            v2.write_text("1" if frozen else "0")
    except OSError as error:
        verb = "pause" if frozen else "resume"
        raise OperatorError(f"can't {verb} {name}: {error.strerror}; is it running?") from error


def is_frozen(name: str) -> bool:
    with contextlib.suppress(OSError):
        return (_freezer(name) / "freezer.state").read_text().strip() != "THAWED"
    with contextlib.suppress(OSError):
        return (_freezer(name) / "cgroup.freeze").read_text().strip() == "1"
    return False


def kill(name: str, patience: float = 20.0, spare: int = 0) -> None:
    """Switch a node off: everything in it but `spare` is killed. Blocking. Raises OperatorError if something stays."""
    if is_frozen(name):
        freeze(name, frozen=False)
    end = monotonic() + patience
    while left := [process for process in processes(name) if process.pid != spare and process.is_running()]:
        if monotonic() > end:
            raise OperatorError(f"{len(left)} processes of {name} can't be killed, first {left[0].pid}")
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.send_signal(signal.SIGKILL)
        time.sleep(0.02)


def remove_groups(name: str) -> None:
    """Remove a dead node's control groups, innermost first."""
    for top in _groups(name):
        for directory, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
