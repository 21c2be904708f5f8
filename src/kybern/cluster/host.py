"""What `up` changes on the host and `down` puts back: sysctls, mounts, cgroups, network leftovers."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil

from kybern.cluster.layout import Layout, write_json
from kybern.network import masquerade
from kybern.process.daemon import OperatorError

SYSCTLS = {"net/ipv4/ip_forward": "1"}
"""What pods need of the kernel, below /proc/sys."""
CGROUP_NAMES = ("kubepods", "kybern")
_CGROUPS = Path("/sys/fs/cgroup")
DUMMY, DUMMY_ADDRESS = "kybern0", "10.255.255.1"
_SHARED_TABLES = ("nat", "filter", "mangle", "raw", "security")
_CNI_CACHE = Path("/var/lib/cni")


def change(layout: Layout) -> None:
    """Set the sysctls and remember what was there before the first `up`."""
    path = layout.root / "host.json"
    before = json.loads(path.read_text()) if path.exists() else {}
    sysctls = before.get("sysctls") or {name: Path("/proc/sys", name).read_text().strip() for name in SYSCTLS}
    known = before.get("paths") or [str(made) for made in _made_by_runtimes() if made.exists()]
    tables = before["tables"] if "tables" in before else _tables()
    write_json(path, {"sysctls": sysctls, "paths": known, "tables": tables})
    for name, value in SYSCTLS.items():
        _set_sysctl(name, value)


def restore(layout: Layout) -> None:
    """Put back what `change` changed."""
    try:
        before = json.loads((layout.root / "host.json").read_text())
    except (OSError, ValueError):
        return
    for name, value in before.get("sysctls", {}).items():
        _set_sysctl(name, value)
    for made in _made_by_runtimes():
        if str(made) not in before.get("paths", []):
            with contextlib.suppress(OSError):
                made.rmdir()
    for table in set(_tables()) - set(before.get("tables", [])):
        _delete_if_empty(table)


def _tables() -> list[str]:
    """`ip nat` and other tables that iptables shares with everyone."""
    listed = _nft("list", "tables").splitlines()
    return [line.removeprefix("table ") for line in listed if line.split()[-1] in _SHARED_TABLES]


def _delete_if_empty(table: str) -> None:
    """The CNI plugins' iptables makes tables with nothing but the built-in chains, and leaves them."""
    rules = [line for line in _nft("list", "table", *table.split()).splitlines() if line.strip(" \t}")]
    said = ("table", "chain", "type")
    if rules and all(line.split()[0] in said for line in rules):
        _nft("delete", "table", *table.split())


def _nft(*words: str) -> str:
    nft = shutil.which("nft")
    return subprocess.run([nft, *words], capture_output=True, text=True, check=False).stdout if nft else ""


def _set_sysctl(name: str, value: str) -> None:
    path = Path("/proc/sys", name)
    if path.read_text().strip() != value:
        path.write_text(value)


def _made_by_runtimes() -> list[Path]:
    """Directories that runtimes make outside the data directory, innermost first; new and empty ones are removed."""
    return [
        _CNI_CACHE / "results",
        _CNI_CACHE / "networks",
        _CNI_CACHE,
        Path("/run/containerd"),
        Path("/var/log/containers"),
    ]


def address() -> str:
    """The address others would reach this machine at; without any, that of a dummy interface made for the purpose."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        # Connecting a datagram socket sends nothing: it only asks the routing table for the source address.
        probe.connect(("198.51.100.1", 9))
        found = str(probe.getsockname()[0])
        if not found.startswith("127."):
            return found
    if not Path("/sys/class/net", DUMMY).exists():
        for words in (
            f"link add {DUMMY} type dummy",
            f"addr add {DUMMY_ADDRESS}/32 dev {DUMMY}",
            f"link set {DUMMY} up",
        ):
            done = subprocess.run(["ip", *words.split()], capture_output=True, text=True, check=False)
            if done.returncode:
                raise OperatorError(f"no address for the node: `ip {words}` says {done.stderr.strip()}; set --node-ip")
    return DUMMY_ADDRESS


def remove_dummy() -> None:
    """Remove the interface `address` made, if it did."""
    if Path("/sys/class/net", DUMMY).exists():
        subprocess.run(["ip", "link", "delete", DUMMY], capture_output=True, check=False)


def mounts_below(root: Path) -> list[str]:
    """Mount points below `root`, innermost first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        target = re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), line.split()[4])
        if target.startswith(f"{root}/"):
            found.append(target)
    return sorted(found, key=len, reverse=True)


def unmount_below(root: Path) -> None:
    """Unmount everything below `root`; what is busy is detached lazily."""
    for _ in range(3):
        for target in mounts_below(root):
            subprocess.run(["umount", "--lazy", target], capture_output=True, check=False)


def shims(layout: Layout) -> Iterator[psutil.Process]:
    """containerd shims of this cluster (they name its socket) that still run."""
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "containerd-shim" in " ".join(line[:1]) and str(layout.containerd_socket) in line:
            yield process


def kill_containers(layout: Layout) -> None:
    """Kill the shims of this cluster and all below them; for containers that could not be stopped in order."""
    for shim in list(shims(layout)):
        with contextlib.suppress(psutil.Error):
            for process in [*shim.children(recursive=True), shim]:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(signal.SIGKILL)


def remove_cgroups() -> None:
    """Remove the cgroups of pods, innermost first, in every hierarchy; one with a process in it stays."""
    for name in CGROUP_NAMES:
        for top in {*_CGROUPS.glob(f"*/{name}"), *_CGROUPS.glob(name)}:
            for directory, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(directory)


def remove_network_leftovers() -> None:
    """The kubelet's table, and chains of the portmap plugin: it leaves its top-level ones behind."""
    with contextlib.suppress(masquerade.MasqueradeFailed):
        masquerade.remove()
    if not shutil.which("iptables-save"):
        return
    saved = subprocess.run(["iptables-save", "-t", "nat"], capture_output=True, text=True, check=False).stdout
    if "CNI-" not in saved:
        return
    kept = [line for line in saved.splitlines() if "CNI-HOSTPORT" not in line and "CNI-DN-" not in line]
    subprocess.run(["iptables-restore", "-T", "nat"], input="\n".join(kept) + "\n", text=True, check=False)


def remove_tree(layout: Layout) -> None:
    """Remove the data directory."""
    unmount_below(layout.root)
    shutil.rmtree(layout.root, ignore_errors=True)
