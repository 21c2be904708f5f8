"""All volumes of a pod: set up before its containers start, refreshed while it runs, gone when it is gone."""

from __future__ import annotations

import importlib
import os
import pkgutil
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import kybern.kubelet.volumes as package
from kybern.api.errors import APIError
from kybern.api.types import Object
from kybern.kubelet import mounts
from kybern.kubelet.environment import ObjectSource
from kybern.kubelet.paths import Paths
from kybern.kubelet.volumes.base import Plugin, Request, TokenSource, VolumeError


@lru_cache(maxsize=1)
def plugins() -> dict[str, Plugin]:
    """Every module's `PLUGIN`, by the volume source it serves."""
    found: dict[str, Plugin] = {}
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        plugin: Any = getattr(importlib.import_module(module.name), "PLUGIN", None)
        if plugin is not None:
            found[plugin.source] = plugin
    return found


def used(pod: Object) -> list[Object]:
    """The volumes that some container mounts; the others need not be set up."""
    spec = pod["spec"]
    kinds = ("initContainers", "containers", "ephemeralContainers")
    containers = [container for kind in kinds for container in spec.get(kind) or []]
    names = {mount["name"] for container in containers for mount in container.get("volumeMounts") or []}
    return [volume for volume in spec.get("volumes") or [] if volume["name"] in names]


@dataclass(slots=True)
class Volumes:
    """The volume manager of a node."""

    paths: Paths
    objects: ObjectSource
    tokens: TokenSource
    allocatable: Mapping[str, str]
    host_ips: tuple[str, ...] = ()
    _mounted: dict[str, dict[str, Path]] = field(default_factory=dict)

    async def mount(self, pod: Object, ips: tuple[str, ...] = ()) -> dict[str, Path]:
        """Set up (or refresh) the pod's volumes; volume name -> host path. Raises VolumeError for the first that
        can't be, with upstream's text."""
        uid = pod["metadata"]["uid"]
        mounted = self._mounted.setdefault(uid, {})
        for volume in used(pod):
            plugin = self._plugin(volume)
            if volume["name"] in mounted and not plugin.refreshed:
                continue
            path = self.paths.volume(uid, plugin.directory, volume["name"])
            request = Request(
                pod, volume, path, self.objects, self.tokens, self.allocatable, ips=ips, host_ips=self.host_ips
            )
            try:
                mounted[volume["name"]] = await plugin.set_up(request)
            except (VolumeError, OSError, APIError) as error:
                raise VolumeError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : {error}') from error
        return mounted

    @staticmethod
    def _plugin(volume: Object) -> Plugin:
        for source in volume:
            if plugin := plugins().get(source):
                return plugin
        kinds = ", ".join(source for source in volume if source != "name")
        raise VolumeError(f'MountVolume.SetUp failed for volume "{volume["name"]}" : no volume plugin matched: {kinds}')

    def forget(self, uid: str) -> None:
        """Undo the mounts and remove the pod's directory. Works for pods of an earlier life of the kubelet too."""
        self._mounted.pop(uid, None)
        directory = self.paths.pod(uid)
        if not directory.exists():
            return
        mounts.unmount_below(directory)
        if not mounts.below(directory):
            shutil.rmtree(directory, ignore_errors=True)

    def sub_path(self, uid: str, volume: str, root: Path, sub_path: str, container: str, index: int) -> Path:
        """A path inside a volume, bound below the pod's directory so that nobody can swap it for a link out of the
        volume afterwards. Made if it isn't there. Raises VolumeError."""
        real_root = os.path.realpath(root)
        wanted = os.path.realpath(os.path.join(real_root, sub_path))
        if os.path.isabs(sub_path) or ".." in Path(sub_path).parts or not _inside(wanted, real_root):
            raise VolumeError(f'failed to prepare subPath for volumeMount "{volume}" of container "{container}"')
        target = self.paths.pod(uid) / "volume-subpaths" / volume / container / str(index)
        if not os.path.exists(wanted):
            os.makedirs(wanted, mode=os.stat(real_root).st_mode & 0o7777)
        handle = os.open(wanted, os.O_PATH | os.O_NOFOLLOW)
        try:
            held = f"/proc/self/fd/{handle}"
            if not _inside(os.readlink(held), real_root):
                raise VolumeError(f'subPath of volumeMount "{volume}" leaves its volume')
            mounts.unmount(target)
            target.parent.mkdir(parents=True, exist_ok=True)
            if os.path.isdir(held):
                target.mkdir(exist_ok=True)
            else:
                target.touch()
            mounts.bind(held, target)
        finally:
            os.close(handle)
        return target


def _inside(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")
