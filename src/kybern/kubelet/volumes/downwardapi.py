"""downwardAPI: fields of the pod itself as files."""

from __future__ import annotations

from pathlib import Path

from kybern.api.types import Object
from kybern.kubelet import downward
from kybern.kubelet.volumes import atomic
from kybern.kubelet.volumes.base import DEFAULT_MODE, Request, VolumeError


def files(request: Request, source: Object, mode: int) -> dict[str, atomic.File]:
    """The files of a downward API source (also of a projected volume). Raises VolumeError."""
    result = {}
    for item in source.get("items") or []:
        own = item.get("mode")
        try:
            if reference := item.get("fieldRef"):
                path = reference["fieldPath"]
                value = downward.field(request.pod, path, ips=request.ips, host_ips=request.host_ips)
            else:
                value = downward.resource(request.pod, item["resourceFieldRef"], "", request.allocatable)
        except downward.Unknown as error:
            raise VolumeError(str(error)) from error
        result[item["path"]] = atomic.File(value.encode(), mode if own is None else own)
    return result


class DownwardAPIVolume:
    source, directory, refreshed = "downwardAPI", "downward-api", True

    async def set_up(self, request: Request) -> Path:
        source = request.volume["downwardAPI"]
        mode = source.get("defaultMode")
        payload = files(request, source, DEFAULT_MODE if mode is None else mode)
        atomic.write(request.path, payload, request.fs_group)
        return request.path


PLUGIN = DownwardAPIVolume()
