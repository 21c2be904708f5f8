"""Keeps a pod out of the queue while `spec.schedulingGates` has entries."""

from __future__ import annotations

from kybern.api.types import Object
from kybern.scheduler.framework import ClusterEvent, Code, Plugin, Status
from kybern.scheduler.pod import PodInfo


def _ungated(pod: PodInfo, old: Object | None, new: Object | None) -> bool:
    return not pod.spec.get("schedulingGates")


class SchedulingGates(Plugin):
    name = "SchedulingGates"
    events = {ClusterEvent.POD_UPDATE: _ungated}

    def sign(self, pod: PodInfo) -> str:
        return ""

    def pre_enqueue(self, pod: PodInfo) -> Status | None:
        gates = [gate["name"] for gate in pod.spec.get("schedulingGates") or ()]
        if not gates:
            return None
        return Status(Code.UNRESOLVABLE, f"waiting for scheduling gates: [{' '.join(gates)}]", self.name)
