"""Binds through the pod's binding subresource."""

from __future__ import annotations

from kybern.api.errors import APIError
from kybern.api.types import Object
from kybern.scheduler.framework import Code, CycleState, Handle, Plugin, Status
from kybern.scheduler.pod import PodInfo


class DefaultBinder(Plugin):
    name = "DefaultBinder"

    def __init__(self, handle: Handle, args: Object) -> None:
        super().__init__(handle, args)
        self._pods = handle.client.resource("v1", "pods") if handle.client else None

    def sign(self, pod: PodInfo) -> str:
        return ""

    async def bind(self, state: CycleState, pod: PodInfo, node: str) -> Status | None:
        if self._pods is None:
            return None
        binding: Object = {
            "kind": "Binding",
            "apiVersion": "v1",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"kind": "Node", "name": node},
        }
        try:
            await self._pods.post(pod.name, "binding", binding, pod.namespace)
        except APIError as error:
            return Status(Code.ERROR, error.message, self.name)
        return None
