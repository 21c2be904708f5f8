"""The machine under the node: what it is, read once, and what it has left, read at each report."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kybern.api import quantity

_ARCHITECTURES = {
    "x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386", "ppc64le": "ppc64le", "s390x": "s390x",
    "riscv64": "riscv64",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Machine:
    """What doesn't change while the kubelet runs. Sizes in bytes."""

    cpus: int
    memory: int
    hugepages: Mapping[str, int]
    """Bytes set aside per resource name: `hugepages-2Mi`."""
    machine_id: str = ""
    system_uuid: str = ""
    boot_id: str = ""
    kernel: str = ""
    os_image: str = ""
    architecture: str = "amd64"


@dataclass(frozen=True, slots=True)
class Usage:
    """What is free now, in bytes. `disk` is the file system of the kubelet's root directory."""

    memory_available: int
    disk_size: int
    disk_available: int


def read(root: Path = Path("/")) -> Machine:
    """Look at /proc, /sys and /etc below `root`; what isn't there stays empty."""
    machine_id = _text(root / "etc/machine-id") or _text(root / "var/lib/dbus/machine-id")
    kernel = platform.uname()
    return Machine(
        cpus=os.cpu_count() or 1,
        memory=_meminfo(root, "MemTotal"),
        hugepages=_hugepages(root / "sys/kernel/mm/hugepages"),
        machine_id=machine_id,
        system_uuid=_text(root / "sys/class/dmi/id/product_uuid") or machine_id,
        boot_id=_text(root / "proc/sys/kernel/random/boot_id"),
        kernel=kernel.release,
        os_image=_os_image(root),
        architecture=_ARCHITECTURES.get(kernel.machine, kernel.machine),
    )


def usage(directory: Path, root: Path = Path("/")) -> Usage:
    """What is left; `directory`, or the nearest one above it that exists, says which disk. Raises OSError."""
    while not directory.exists():
        directory = directory.parent
    disk = os.statvfs(directory)
    return Usage(_meminfo(root, "MemAvailable"), disk.f_blocks * disk.f_frsize, disk.f_bavail * disk.f_frsize)


def swaps(root: Path = Path("/")) -> list[str]:
    """The swap areas in use."""
    return [line.split()[0] for line in _text(root / "proc/swaps").splitlines()[1:]]


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _meminfo(root: Path, name: str) -> int:
    match = re.search(rf"^{name}:\s+(\d+) kB", _text(root / "proc/meminfo"), re.M)
    return int(match[1]) << 10 if match else 0


def _hugepages(directory: Path) -> dict[str, int]:
    found = {}
    for path in sorted(directory.glob("hugepages-*kB")) if directory.is_dir() else []:
        size = int(path.name.removeprefix("hugepages-").removesuffix("kB")) << 10
        found[f"hugepages-{quantity.from_bytes(size)}"] = size * int(_text(path / "nr_hugepages") or 0)
    return found


def _os_image(root: Path) -> str:
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)', _text(root / "etc/os-release"), re.M)
    return match[1] if match else "Linux"
