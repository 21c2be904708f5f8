"""Pods that the scheduler bound to this node."""

from __future__ import annotations

from kybern.api.types import Object
from kybern.client.informer import Informer, InformerFactory
from kybern.kubelet.sources.base import Changed


class APISource:
    """Tells the whole set at the first list, then at each change of a pod."""

    def __init__(self, informers: InformerFactory, node_name: str, changed: Changed) -> None:
        self.changed = changed
        self.informer: Informer = informers.informer("v1", "pods", field_selector=f"spec.nodeName={node_name}")
        self.informer.on_change(self._on_change)

    async def run(self) -> None:
        """Wait for the first list, which tells of pods that went away while the kubelet didn't look."""
        await self.informer.synced()
        self._tell()

    def _on_change(self, old: Object | None, new: Object | None) -> None:
        if self.informer.has_synced:
            self._tell()

    def _tell(self) -> None:
        self.changed("api", self.informer.list())
