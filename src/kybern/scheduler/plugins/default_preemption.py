"""Says whether taking pods away would help a pod that fits nowhere. Takes none away."""

from __future__ import annotations

from kybern.scheduler.framework import CycleState, Diagnosis, Plugin
from kybern.scheduler.pod import PodInfo
from kybern.scheduler.snapshot import NodeTable


class DefaultPreemption(Plugin):
    name = "DefaultPreemption"

    def sign(self, pod: PodInfo) -> str:
        return ""

    def post_filter(self, state: CycleState, pod: PodInfo, nodes: NodeTable, diagnosis: Diagnosis) -> str:
        if pod.spec.get("preemptionPolicy") == "Never":
            return "preemption: not eligible due to preemptionPolicy=Never."
        candidates = diagnosis.resolvable.tolist()
        if any(other.priority < pod.priority for row in candidates for other in nodes.pods[row].values()):
            return ""
        hopeless = diagnosis.nodes - len(candidates)
        reasons = [
            f"{count} {reason}"
            for count, reason in (
                (len(candidates), "No preemption victims found for incoming pod"),
                (hopeless, "Preemption is not helpful for scheduling"),
            )
            if count
        ]
        return f"preemption: 0/{diagnosis.nodes} nodes are available: {', '.join(sorted(reasons))}."
