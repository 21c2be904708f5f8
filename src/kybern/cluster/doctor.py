"""`kybern doctor`: what this machine has and lacks, a line each, with what to do. `up` asks the same questions."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from kybern.cluster import balancer, containerd
from kybern.cluster.layout import HOME, Layout, Settings, add_data_dir
from kybern.cluster.processes import Process
from kybern.process.daemon import OperatorError, reason

_MIB = 1024 * 1024
_DISK_NEEDED = 1024 * _MIB
_IP_FREEBIND = 15
"""From linux/in.h; Python's socket has no name for it."""


@dataclass(frozen=True)
class Finding:
    """One check's outcome. `fatal`: the cluster can't start."""

    good: bool
    what: str
    fix: str = ""
    fatal: bool = True

    def __str__(self) -> str:
        mark = "ok  " if self.good else "FAIL" if self.fatal else "note"
        return f"{mark}  {self.what}" + ("" if self.good or not self.fix else f" — {self.fix}")


def add_flags(parser: argparse.ArgumentParser) -> None:
    add_data_dir(parser)


async def run(args: argparse.Namespace) -> int:
    layout = Layout.of(args)
    settings, damage = _settings(layout)
    # Where the cluster runs, its ports are taken by itself.
    running = damage is None and Process.read(layout.run / "supervisor.json") is not None
    found = [*examine(layout, None if running else settings), *([damage] if damage else [])]
    sys.stdout.writelines(f"{finding}\n" for finding in found)
    return int(any(not finding.good and finding.fatal for finding in found))


def _settings(layout: Layout) -> tuple[Settings | None, Finding | None]:
    """What an earlier `up` decided, or what keeps it from being read."""
    try:
        return layout.read_settings(), None
    except OperatorError as error:
        return None, _finding(error)
    except OSError as error:
        return None, Finding(False, f"can't read {layout.root}: {reason(error)}", "run it as root (sudo)")


def require(layout: Layout, settings: Settings | None, *, running: bool) -> None:
    """Raise OperatorError with the first thing that keeps a cluster from starting."""
    for finding in examine(layout, None if running else settings):
        if not finding.good and finding.fatal:
            raise OperatorError(f"{finding.what}; {finding.fix}")


def examine(layout: Layout, settings: Settings | None) -> Iterator[Finding]:
    """Every check, in order. Ports are looked at only where `settings` say which and nothing of ours runs."""
    root = os.geteuid() == 0
    yield Finding(root, "running as root" if root else "not running as root", "run it as root (sudo)")
    for name, package in (("runc", "runc"), ("nft", "nftables"), ("ip", "iproute2"), ("mount", "mount")):
        yield _installed(name, package)
    for name, package in (("busybox", "busybox-static"), ("catatonit", "catatonit")):
        yield _installed(name, package)
    yield from (_tried(check) for check in (containerd.program, containerd.cni_plugin_dir))
    for name, package in (("kubectl", "kubernetes-client"), ("iptables", "iptables"), ("conntrack", "conntrack")):
        yield _installed(name, package, fatal=False)
    # A single node can do without, but for Services of type LoadBalancer.
    yield replace(_tried(balancer.program), fatal=bool(settings and settings.role == HOME))
    yield _data_dir(layout.root)
    yield _disk(layout.root)
    yield _filter()
    yield Finding(
        Path("/proc/sys/net/ipv4/ip_forward").exists(), "IPv4 forwarding can be set", "use a kernel with IPv4"
    )
    yield Finding(True, f"cgroups: {cgroup_mode()}")
    restricted = containerd.oom_score_is_restricted()
    what = "may not lower oom_score_adj" if restricted else "may lower oom_score_adj"
    yield Finding(not restricted, what, "no CAP_SYS_RESOURCE: pods keep the default", fatal=False)
    if settings and settings.role == HOME:
        for name in ("nsenter", "unshare"):
            yield _installed(name, "util-linux")
    if settings:
        yield from _ports(settings)


def _tried(check: Callable[[], str]) -> Finding:
    try:
        return Finding(True, check())
    except OperatorError as error:
        return _finding(error)


def _finding(error: OperatorError) -> Finding:
    what, _, fix = str(error).partition("; ")
    return Finding(False, what, fix)


def _installed(name: str, package: str, *, fatal: bool = True) -> Finding:
    found = shutil.which(name)
    fix = f"run `apt-get install {package}` (or `make install`)"
    return Finding(bool(found), found or f"{name} is not installed", fix, fatal)


def _existing(path: Path) -> Path:
    """The path, or the nearest directory above it that is there."""
    while not os.path.lexists(path):
        path = path.parent
    return path


def _data_dir(path: Path) -> Finding:
    there = _existing(path)
    if not there.is_dir():
        return Finding(False, f"{there} is not a directory", "remove it or use another --data-dir")
    writable = os.access(there, os.W_OK | os.X_OK)
    what = f"{path} can be written to" if writable else f"{path} can't be written to"
    return Finding(writable, what, "run it as root (sudo) or use another --data-dir")


def _disk(path: Path) -> Finding:
    path = _existing(path)
    free = shutil.disk_usage(path).free
    return Finding(
        free >= _DISK_NEEDED,
        f"{free // _MIB} MiB free at {path}",
        f"free {_DISK_NEEDED // _MIB} MiB or use another --data-dir",
    )


def _filter() -> Finding:
    if not shutil.which("nft"):
        return Finding(False, "the kernel's packet filter was not tried", "install nftables")
    done = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False)
    reason = done.stderr.strip().splitlines()[0] if done.stderr.strip() else ""
    what = "the kernel's packet filter answers" if not done.returncode else f"nft fails: {reason}"
    return Finding(not done.returncode, what, "run as root on a kernel with nf_tables")


def cgroup_mode() -> str:
    """How this machine mounts cgroups."""
    if Path("/sys/fs/cgroup/cgroup.controllers").exists():
        return "v2"
    hybrid = Path("/sys/fs/cgroup/unified").exists()
    return "v1 with a unified hierarchy (hybrid)" if hybrid else "v1"


def _ports(settings: Settings) -> Iterator[Finding]:
    for name, address, port in _listeners(settings):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if settings.role == HOME:  # the bridge with its address is still to be made
                probe.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            try:
                probe.bind((address, port))
                yield Finding(True, f"port {port} is free for the {name}")
            except OSError as error:
                fix = f"stop what listens there (`ss -ltnp sport = :{port}`) or choose another port"
                yield Finding(False, f"port {port} for the {name}: {error.strerror}", fix)


def _listeners(settings: Settings) -> Iterator[tuple[str, str, int]]:
    """Who will listen on the machine itself, on which address and port."""
    local = "127.0.0.1"
    yield "API server", settings.node_ip, settings.secure_port
    yield "cloud controller manager", local, 10258
    if settings.role != HOME:
        yield "kubelet", settings.node_ip, settings.kubelet_port
        yield "DNS", settings.node_ip, settings.dns_port
        yield "controller manager", local, 10257
        yield "scheduler", local, 10259
        yield "kubelet's health", local, 10248
        yield "proxy's health", "0.0.0.0", 10256
        yield "proxy's metrics", local, 10249
        yield "health of DNS", local, 10054
