"""configMap: its keys as files."""

from __future__ import annotations

import base64
from pathlib import Path

from kybern.api.errors import NotFound
from kybern.api.types import Object
from kybern.kubelet.volumes import atomic
from kybern.kubelet.volumes.base import DEFAULT_MODE, Request, VolumeError


def pick(missing: str, data: dict[str, bytes], source: Object, mode: int) -> dict[str, atomic.File]:
    """The files of a key-value object: all keys, or those of `items` at their paths. Raises VolumeError; `missing`
    is what it says of a key that isn't there."""
    items = source.get("items")
    if not items:
        return {key: atomic.File(value, mode) for key, value in data.items()}
    files = {}
    for item in items:
        if item["key"] in data:
            own = item.get("mode")
            files[item["path"]] = atomic.File(data[item["key"]], mode if own is None else own)
        elif not source.get("optional"):
            raise VolumeError(f"{missing}: {item['key']}")
    return files


async def files(request: Request, source: Object, mode: int) -> dict[str, atomic.File]:
    """The files of a ConfigMap source (also of a projected volume)."""
    try:
        found = await request.objects.config_map(request.namespace, source["name"])
    except NotFound as error:
        if source.get("optional"):
            return {}
        raise VolumeError(f'configmap "{source["name"]}" not found') from error
    data = {key: value.encode() for key, value in (found.get("data") or {}).items()}
    data |= {key: base64.b64decode(value) for key, value in (found.get("binaryData") or {}).items()}
    return pick("configmap references non-existent config key", data, source, mode)


class ConfigMapVolume:
    source, directory, refreshed = "configMap", "configmap", True

    async def set_up(self, request: Request) -> Path:
        source = request.volume["configMap"]
        mode = source.get("defaultMode")
        payload = await files(request, source, DEFAULT_MODE if mode is None else mode)
        atomic.write(request.path, payload, request.fs_group)
        return request.path


PLUGIN = ConfigMapVolume()
