"""Mounting through the C library: tmpfs and bind mounts below the kubelet's own directory, and undoing them."""

from __future__ import annotations

import ctypes
import os
import re
from pathlib import Path

_MS_RDONLY, _MS_BIND, _MS_REC, _MS_REMOUNT = 1, 4096, 16384, 32
_MNT_DETACH = 2
_libc = ctypes.CDLL(None, use_errno=True)


def _mount(source: str, target: Path, kind: str, flags: int, data: str = "") -> None:
    result = _libc.mount(source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), data.encode())
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def tmpfs(target: Path, size: int = 0) -> None:
    """Mount memory; `size` in bytes, 0 for the kernel's default (half of memory). Raises OSError."""
    _mount("tmpfs", target, "tmpfs", 0, f"size={size}" if size else "")


def bind(source: str, target: Path) -> None:
    """Make `source` visible at `target`, which must exist and be of the same sort. Raises OSError."""
    _mount(source, target, "", _MS_BIND | _MS_REC)


def unmount(target: Path) -> None:
    """Lazily, so that a straggling process can't keep it; what isn't mounted is no error."""
    _libc.umount2(os.fsencode(target), _MNT_DETACH)


_ESCAPE = re.compile(r"\\(\d{3})")


def below(directory: Path) -> list[Path]:
    """Mount points at or below a directory, deepest first."""
    prefix = os.path.realpath(directory)
    found = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as lines:
        for line in lines:
            point = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), line.split(" ", 5)[4])
            if point == prefix or point.startswith(prefix + "/"):
                found.append(Path(point))
    return sorted(found, key=lambda path: -len(path.parts))


def unmount_below(directory: Path) -> None:
    """Unmount everything at or below a directory."""
    for point in below(directory):
        unmount(point)
