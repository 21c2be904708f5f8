"""hostPath: a file or directory of the node itself."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Callable
from pathlib import Path

from kybern.api.types import Object
from kybern.kubelet.volumes.base import Request, VolumeError

_CHECKS: dict[str, tuple[Callable[[int], bool], str]] = {
    "Directory": (stat.S_ISDIR, "a directory"),
    "File": (stat.S_ISREG, "a file"),
    "Socket": (stat.S_ISSOCK, "a socket file"),
    "CharDevice": (stat.S_ISCHR, "a character device"),
    "BlockDevice": (stat.S_ISBLK, "a block device"),
}


def _check(source: Object) -> Path:
    path, kind = Path(source["path"]), source.get("type") or ""
    if kind == "DirectoryOrCreate" and not path.exists():
        path.mkdir(parents=True, mode=0o755)
    elif kind == "FileOrCreate" and not path.exists():
        path.touch(0o644)
    kind = kind.removesuffix("OrCreate")
    if kind:
        matches, text = _CHECKS[kind]
        try:
            good = matches(path.stat().st_mode)
        except OSError:
            good = False
        if not good:
            raise VolumeError(f"hostPath type check failed: {path} is not {text}")
    return path


class HostPathVolume:
    source, directory, refreshed = "hostPath", "host-path", False

    async def set_up(self, request: Request) -> Path:
        # In a thread: a path of the host may be on a network file system that hangs.
        return await asyncio.to_thread(_check, request.volume["hostPath"])


PLUGIN = HostPathVolume()
