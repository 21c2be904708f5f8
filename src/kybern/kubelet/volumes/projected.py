"""projected: several sources in one directory, among them tokens of the pod's service account."""

from __future__ import annotations

from pathlib import Path

from kybern.api.errors import APIError
from kybern.api.types import Object
from kybern.kubelet.volumes import atomic, configmap, downwardapi, emptydir, secret
from kybern.kubelet.volumes.base import DEFAULT_MODE, Request, VolumeError

_DEFAULT_EXPIRATION = 3600


class ProjectedVolume:
    source, directory, refreshed = "projected", "projected", True

    async def set_up(self, request: Request) -> Path:
        spec = request.volume["projected"]
        mode = spec.get("defaultMode")
        payload: dict[str, atomic.File] = {}
        for source in spec.get("sources") or []:
            payload |= await self._files(request, source, DEFAULT_MODE if mode is None else mode)
        emptydir.in_memory(request.path)
        atomic.write(request.path, payload, request.fs_group)
        return request.path

    async def _files(self, request: Request, source: Object, mode: int) -> dict[str, atomic.File]:
        if part := source.get("configMap"):
            return await configmap.files(request, part, mode)
        if part := source.get("secret"):
            return await secret.files(request, part, part["name"], mode)
        if part := source.get("downwardAPI"):
            return downwardapi.files(request, part, mode)
        if part := source.get("serviceAccountToken"):
            return await self._token(request, part, mode)
        raise VolumeError(f"unsupported projection source: {', '.join(source)}")

    async def _token(self, request: Request, source: Object, mode: int) -> dict[str, atomic.File]:
        seconds = source.get("expirationSeconds") or _DEFAULT_EXPIRATION
        try:
            token = await request.tokens.token(request.pod, source.get("audience") or "", seconds)
        except APIError as error:
            account = request.pod["spec"].get("serviceAccountName") or "default"
            raise VolumeError(
                f'failed to fetch token: failed to create token for "{request.namespace}/{account}": {error}'
            ) from error
        if request.fs_user is not None or request.fs_group is not None:
            mode = 0o600
        return {source["path"]: atomic.File(token.encode(), mode, request.fs_user)}


PLUGIN = ProjectedVolume()
