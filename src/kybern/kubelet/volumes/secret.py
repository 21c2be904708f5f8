"""secret: its keys as files. They are kept in memory (tmpfs), never on a disk."""

from __future__ import annotations

import base64
from pathlib import Path

from kybern.api.errors import NotFound
from kybern.api.types import Object
from kybern.kubelet.volumes import atomic, emptydir
from kybern.kubelet.volumes.base import DEFAULT_MODE, Request, VolumeError
from kybern.kubelet.volumes.configmap import pick


async def files(request: Request, source: Object, name: str, mode: int) -> dict[str, atomic.File]:
    """The files of the Secret `name` (also of a projected volume, which calls the field differently)."""
    try:
        found = await request.objects.secret(request.namespace, name)
    except NotFound as error:
        if source.get("optional"):
            return {}
        raise VolumeError(f'secret "{name}" not found') from error
    data = {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}
    return pick("references non-existent secret key", data, source, mode)


class SecretVolume:
    source, directory, refreshed = "secret", "secret", True

    async def set_up(self, request: Request) -> Path:
        source = request.volume["secret"]
        mode = source.get("defaultMode")
        payload = await files(request, source, source["secretName"], DEFAULT_MODE if mode is None else mode)
        emptydir.in_memory(request.path)
        atomic.write(request.path, payload, request.fs_group)
        return request.path


PLUGIN = SecretVolume()
