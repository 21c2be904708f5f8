"""emptyDir: scratch space that lives as long as the pod, on disk or (medium Memory) in memory."""

from __future__ import annotations

import os
from pathlib import Path

from kybern.api import quantity
from kybern.kubelet import mounts
from kybern.kubelet.volumes.base import Request, VolumeError, own_by_group


def in_memory(path: Path, size: int = 0) -> None:
    """Make `path` a tmpfs if it isn't one yet; `size` in bytes, 0 for no limit of its own."""
    path.mkdir(parents=True, exist_ok=True)
    if not os.path.ismount(path):
        mounts.tmpfs(path, size)


def _set_up(request: Request) -> Path:
    source, fresh = request.volume["emptyDir"] or {}, not request.path.exists()
    match source.get("medium") or "":
        case "":
            request.path.mkdir(parents=True, exist_ok=True)
        case "Memory":
            limit = source.get("sizeLimit")
            fresh = fresh or not os.path.ismount(request.path)
            in_memory(request.path, quantity.whole(limit) if limit else 0)
        case medium:
            raise VolumeError(f'unknown storage medium "{medium}"')
    if fresh:
        request.path.chmod(0o777)
        own_by_group(request.path, request.fs_group, writable=True)
    return request.path


class EmptyDirVolume:
    source, directory, refreshed = "emptyDir", "empty-dir", False

    async def set_up(self, request: Request) -> Path:
        return _set_up(request)


PLUGIN = EmptyDirVolume()
