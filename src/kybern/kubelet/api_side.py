"""What a kubelet has only where there is an API server: its node, statuses, mirror pods, tokens, events, and caches of
what concerns its pods."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kybern.api.types import Object, key_of
from kybern.client.events import EventRecorder
from kybern.client.informer import InformerFactory
from kybern.client.rest import Client
from kybern.kubelet.config import Config
from kybern.kubelet.lease import Lease
from kybern.kubelet.mirrors import Mirrors
from kybern.kubelet.node import Node
from kybern.kubelet.node_status import Facts
from kybern.kubelet.objects import Objects
from kybern.kubelet.recorder import log_only
from kybern.kubelet.sources.api import APISource
from kybern.kubelet.sources.base import Changed, is_static
from kybern.kubelet.status_manager import StatusManager
from kybern.kubelet.tokens import Tokens

EARLY_EVENTS = 500


class APISide:
    """`facts` gives what was seen of the node just now."""

    def __init__(self, client: Client, config: Config, facts: Callable[[], Facts]) -> None:
        self.client, self.config = client, config
        self.objects, self.tokens = Objects(client), Tokens(client)
        self.recorder = EventRecorder(client, "kubelet", config.node_name)
        self.informers = InformerFactory(client)
        self.services = self.informers.informer("v1", "services")
        self.nodes = self.informers.informer(
            "v1", "nodes", namespaced=False, field_selector=f"metadata.name={config.node_name}"
        )
        self.source = APISource(self.informers, config.node_name, self._changed)
        self.node = Node(client, config, facts, self.record)
        self.lease = Lease(client, config.node_name, config.lease_seconds, lambda: self.node.object)
        self.mirrors = Mirrors(client, lambda: self.node.object)
        self.statuses = StatusManager(client, self.mirrors.of)
        self._static: list[Object] = []
        self._mirrored: dict[str, str] = {}
        self._known: dict[str, tuple[object, ...]] = {}
        """UID -> what others than the kubelet may change of the pod."""
        self._early: list[tuple[Object, str, str, str, str]] | None = []
        """Events from before the API answered: a recorder that fails waits long before it tries again."""
        self._take: Changed = lambda source, pods: None

    def record(self, obj: Object, type_: str, reason: str, message: str, field_path: str) -> None:
        """A `Recorder`: into the log, and into the API as soon as it answers."""
        log_only(obj, type_, reason, message, field_path)
        if self._early is None:
            self.recorder.event(obj, type_, reason, message, field_path=field_path)
        elif len(self._early) < EARLY_EVENTS:
            self._early.append((obj, type_, reason, message, field_path))

    def status_of(self, pod: Object) -> Object:
        """The status the API last had of a pod."""
        if is_static(pod):
            known = self.mirrors.of(pod)
        else:
            known = self.source.informer.get(key_of(pod))
            if known and known["metadata"]["uid"] != pod["metadata"]["uid"]:
                known = None
        return (known or pod).get("status") or {}

    def labels(self) -> dict[str, str]:
        """The node's labels, as pods may select by them."""
        found: dict[str, str] = ((self.node.object or {}).get("metadata") or {}).get("labels") or {}
        return found

    def set_static(self, pods: list[Object]) -> None:
        self._static = pods
        self.mirrors.set_static(pods)

    def set_mirrors(self, mirrors: list[Object]) -> None:
        """A new mirror knows nothing of its pod's status yet."""
        self.mirrors.set_mirrors(mirrors)
        now = {key_of(mirror): mirror["metadata"]["uid"] for mirror in mirrors}
        for pod in self._static:
            if now.get(key_of(pod)) != self._mirrored.get(key_of(pod)):
                self.statuses.resend(pod["metadata"]["uid"])
        self._mirrored = now

    def forget(self, uid: str) -> None:
        """A pod is gone from this node."""
        self.statuses.forget(uid)

    async def run(self, begin: asyncio.Event, changed: Changed) -> None:
        """Register, then keep the API as the node is. `changed` gets the pods once they are known, and `begin` is
        set."""
        await self.node.register()
        self._send_early()
        self.informers.start()
        try:
            async with asyncio.TaskGroup() as group:
                for part in (self.node, self.lease, self.mirrors, self.statuses):
                    group.create_task(part.run(), name=type(part).__name__)
                # Services first: a container's environment names those that were there before it.
                await self.services.synced()
                await begin.wait()
                self._take = changed
                await self.source.run()
        finally:
            await self.informers.stop()

    def _send_early(self) -> None:
        early, self._early = self._early or [], None
        for obj, type_, reason, message, field_path in early:
            self.recorder.event(obj, type_, reason, message, field_path=field_path)

    def _changed(self, source: str, pods: list[Object]) -> None:
        known = self._known
        self._known = {pod["metadata"]["uid"]: _asked(pod) for pod in pods}
        self.objects.keep({pod["metadata"]["namespace"] for pod in (*pods, *self._static)})
        for pod in pods:
            # Who changes a pod, if only an annotation, wants it looked at with what is in the API now.
            if known.get(pod["metadata"]["uid"]) != self._known[pod["metadata"]["uid"]]:
                self.objects.expire(pod["metadata"]["namespace"])
        self._take(source, pods)

    async def close(self) -> None:
        """Write the last events."""
        await self.recorder.close()


def _asked(pod: Object) -> tuple[object, ...]:
    metadata = pod["metadata"]
    return metadata.get("generation"), metadata.get("annotations"), metadata.get("labels")
