"""What the runtime has, per pod, kept fresh: by listing each second, by the runtime's events where it has them, and at
once after the kubelet's own actions. A list is two cheap calls; details are asked for only of what changed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import replace

from kybern.kubelet.runtime import state
from kybern.kubelet.runtime._generated import cri_pb2 as cri
from kybern.kubelet.runtime.client import RuntimeClient, RuntimeFailure
from kybern.kubelet.runtime.state import Container, PodState, Sandbox
from kybern.process.clock import monotonic

log = logging.getLogger(__name__)

RELIST_PERIOD = 1.0
"""Seconds between lists."""
RELIST_PERIOD_WITH_EVENTS = 30.0
UNHEALTHY_AFTER = 180.0
"""Seconds without a successful list after which the node is not ready (upstream's PLEG threshold)."""

MessageReader = Callable[[cri.ContainerStatus], str]
"""Gives an exited container's termination message."""


class RuntimeCache:
    """Pod states by pod UID. `on_change` is called with the UID of each pod that changed, on the loop."""

    def __init__(self, client: RuntimeClient, message: MessageReader = lambda status: status.message) -> None:
        self.client = client
        self.pods: dict[str, PodState] = {}
        self.on_change: Callable[[str], None] = lambda uid: None
        self.listed_at = 0.0
        self._message = message
        self._has_events = False
        self._lists = 0
        self._written: dict[str, int] = {}
        """Which list a pod's state is from: a slow list must not overwrite what a later one saw."""

    def get(self, uid: str) -> PodState:
        """The pod's state; an empty one if the runtime has nothing of it."""
        return self.pods.get(uid) or PodState(uid)

    @property
    def healthy(self) -> bool:
        """Whether a list succeeded lately."""
        return bool(self.listed_at) and monotonic() - self.listed_at < UNHEALTHY_AFTER

    async def refresh(self, uid: str) -> PodState:
        """List one pod now and return its state; does not call `on_change`. Raises RuntimeFailure."""
        await self._update({state.POD_UID: uid})
        return self.get(uid)

    async def relist(self) -> None:
        """List everything. Raises RuntimeFailure."""
        changed = await self._update({})
        self.listed_at = monotonic()
        for uid in changed:
            self.on_change(uid)

    async def run(self) -> None:
        """List again and again; where the runtime has events, rarely, and otherwise when it tells of one."""
        events = asyncio.ensure_future(self._follow_events())
        failed = False
        try:
            while True:
                try:
                    await self.relist()
                    failed = False
                except RuntimeFailure as error:
                    if not failed:
                        log.warning("listing the runtime's pods: %s", error)
                    failed = True
                await asyncio.sleep(RELIST_PERIOD_WITH_EVENTS if self._has_events and not failed else RELIST_PERIOD)
        finally:
            events.cancel()

    async def _follow_events(self) -> None:
        while True:
            try:
                async for event in self.client.events():
                    self._has_events = True
                    uid = event.pod_sandbox_status.metadata.uid
                    if uid and event.container_event_type != cri.CONTAINER_CREATED_EVENT:
                        with contextlib.suppress(RuntimeFailure):
                            if await self._update({state.POD_UID: uid}):
                                self.on_change(uid)
            except RuntimeFailure as error:
                if error.code == "UNIMPLEMENTED":
                    return
            self._has_events = False
            await asyncio.sleep(1)

    async def _update(self, labels: dict[str, str]) -> set[str]:
        """List by label, bring `pods` up to date, return the UIDs that changed."""
        self._lists += 1
        number = self._lists
        sandboxes = await self.client.list_sandboxes(labels)
        containers = await self.client.list_containers(labels)
        found: dict[str, PodState] = {}
        for box in sandboxes:
            if uid := box.labels.get(state.POD_UID):
                pod = found.setdefault(uid, PodState(uid, box.metadata.name, box.metadata.namespace))
                pod.sandboxes.append(await self._sandbox(uid, box))
        for item in containers:
            if uid := item.labels.get(state.POD_UID):
                names = item.labels.get(state.POD_NAME, ""), item.labels.get(state.POD_NAMESPACE, "")
                pod = found.setdefault(uid, PodState(uid, *names))
                if container := await self._container(uid, item):
                    pod.containers.append(container)
        for pod in found.values():
            pod.sandboxes.sort(key=lambda box: (-box.attempt, -box.created_at))
            pod.containers.sort(key=lambda container: -container.created_at)
        asked = {labels[state.POD_UID]} if labels else self.pods.keys() | found.keys()
        return {uid for uid in asked if self._write(number, uid, found.get(uid))}

    def _write(self, number: int, uid: str, pod: PodState | None) -> bool:
        """Keep what list `number` saw of a pod; False if that is nothing new."""
        if self._written.get(uid, 0) > number or self.pods.get(uid) == pod:
            return False
        if pod is None:
            del self.pods[uid]
            self._written.pop(uid, None)
        else:
            self.pods[uid] = pod
            self._written[uid] = number
        return True

    async def _sandbox(self, uid: str, box: cri.PodSandbox) -> Sandbox:
        listed = state.sandbox_from_list(box)
        for known in self.get(uid).sandboxes:
            if known.id == listed.id and (known.ready == listed.ready or not listed.ready):
                return replace(known, ready=listed.ready)
        if not listed.ready:
            return listed
        try:
            return state.with_addresses(listed, await self.client.sandbox_status(box.id))
        except RuntimeFailure:
            return replace(listed, ready=False)

    async def _container(self, uid: str, item: cri.Container) -> Container | None:
        phase = state.PHASES.get(item.state, "unknown")
        for known in self.get(uid).containers:
            if known.id == item.id and known.phase == phase:
                return known
        try:
            status = await self.client.container_status(item.id)
        except RuntimeFailure:
            return None
        container = state.container_from_status(status, item.pod_sandbox_id)
        return replace(container, message=self._message(status)) if container.phase == "exited" else container
