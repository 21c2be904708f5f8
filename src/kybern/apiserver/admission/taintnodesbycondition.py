"""TaintNodesByCondition: a new node is not ready until its kubelet and the node controller say so."""

from __future__ import annotations

from kybern.apiserver.admission.base import CREATE, Attributes, Plugin

TAINT = "node.kubernetes.io/not-ready"


class TaintNodesByCondition(Plugin):
    """Adds the not-ready taint to nodes being created."""

    name = "TaintNodesByCondition"
    handles = frozenset({("", "nodes")})
    operations = frozenset((CREATE,))

    async def admit(self, a: Attributes) -> None:
        if a.subresource or a.object is None:
            return
        taints = a.object.setdefault("spec", {}).setdefault("taints", [])
        if not any(taint.get("key") == TAINT and taint.get("effect") == "NoSchedule" for taint in taints):
            taints.append({"key": TAINT, "effect": "NoSchedule"})
