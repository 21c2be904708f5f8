"""Tells users how scheduling went: events and the PodScheduled condition, written behind the cycle's back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from kybern.api.errors import APIError, NotFound
from kybern.api.types import Object
from kybern.client.events import EventRecorder
from kybern.client.rest import Client
from kybern.process.clock import clock
from kybern.scheduler.pod import PodInfo

log = logging.getLogger(__name__)

_WRITERS = 8


class Reporter:
    """`recorders` by scheduler name; without a client nothing is written."""

    def __init__(self, client: Client | None = None, recorders: Mapping[str, EventRecorder] | None = None) -> None:
        self._pods = client.resource("v1", "pods") if client else None
        self._recorders = recorders or {}
        self._slots = asyncio.Semaphore(_WRITERS)
        self._writing: set[asyncio.Task[None]] = set()
        self._said: dict[str, str] = {}
        """Pod key -> the condition's message last written, to write each once."""

    def scheduled(self, pod: PodInfo, node: str) -> None:
        """The pod was bound."""
        self._said.pop(pod.key, None)
        self._event(pod, "Normal", "Scheduled", f"Successfully assigned {pod.namespace}/{pod.name} to {node}")
        if ignored := not_enforced(pod.spec):
            self._event(pod, "Warning", "NotEnforced", f"scheduled without regard to {', '.join(ignored)}")

    def failed(self, pod: PodInfo, reason: str, message: str) -> None:
        """The pod could not be scheduled. `reason` is Unschedulable or SchedulerError."""
        self._event(pod, "Warning", "FailedScheduling", message)
        if self._pods is None or self._said.get(pod.key) == message:
            return
        self._said[pod.key] = message
        task = asyncio.create_task(self._set_condition(pod, reason, message), name=f"condition of {pod.key}")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    def gone(self, key: str) -> None:
        """The pod was deleted."""
        self._said.pop(key, None)

    async def close(self) -> None:
        """Stop writing conditions; events get their time from their recorder."""
        for task in self._writing:
            task.cancel()
        await asyncio.gather(*self._writing, return_exceptions=True)
        for recorder in self._recorders.values():
            await recorder.close()

    def _event(self, pod: PodInfo, kind: str, reason: str, message: str) -> None:
        recorder = self._recorders.get(pod.spec.get("schedulerName") or "")
        if recorder:
            recorder.event({"kind": "Pod", "apiVersion": "v1", **pod.obj}, kind, reason, message)

    async def _set_condition(self, pod: PodInfo, reason: str, message: str) -> None:
        assert self._pods is not None
        condition: Object = {"type": "PodScheduled", "status": "False", "reason": reason, "message": message}
        current = condition_of(pod.obj)
        if current and all(current.get(name) == value for name, value in condition.items()):
            return
        unchanged = current.get("lastTransitionTime") if current and current.get("status") == "False" else None
        condition["lastTransitionTime"] = unchanged or clock.stamp()
        if generation := pod.obj["metadata"].get("generation"):
            condition["observedGeneration"] = generation
        body: Object = {"metadata": {"uid": pod.uid}, "status": {"conditions": [condition]}}
        async with self._slots:
            try:
                await self._pods.patch(pod.name, body, pod.namespace, type="strategic", subresource="status")
            except APIError as error:
                self._said.pop(pod.key, None)
                # A pod deleted meanwhile needs no condition.
                if not isinstance(error, NotFound):
                    log.warning("condition of pod=%s not written: %s", pod.key, error)


def condition_of(pod: Object) -> Object | None:
    """The pod's PodScheduled condition."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((condition for condition in conditions if condition["type"] == "PodScheduled"), None)


def not_enforced(spec: Object) -> list[str]:
    """Fields that ask for a placement no plugin here looks at."""
    affinity = spec.get("affinity") or {}
    ignored = [f"spec.affinity.{kind}" for kind in ("podAffinity", "podAntiAffinity") if affinity.get(kind)]
    if spec.get("topologySpreadConstraints"):
        ignored.append("spec.topologySpreadConstraints")
    if any(volume.get("persistentVolumeClaim") or volume.get("ephemeral") for volume in spec.get("volumes") or ()):
        ignored.append("the node affinity of its persistent volumes")
    if spec.get("resourceClaims"):
        ignored.append("spec.resourceClaims")
    return ignored
