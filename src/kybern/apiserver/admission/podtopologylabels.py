"""PodTopologyLabels: pods get the zone and region of their node as labels, when they are bound to it.

Source: KEP-4742.
"""

from __future__ import annotations

from kybern.api.cells import at
from kybern.apiserver.admission.base import CREATE, Attributes, Plugin
from kybern.apiserver.app import App

LABELS = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone")


class PodTopologyLabels(Plugin):
    """Looks at bindings, whose labels become the pod's, and at pods that are made with a node."""

    name = "PodTopologyLabels"
    handles = frozenset({("", "pods")})
    operations = frozenset((CREATE,))

    def __init__(self, app: App) -> None:
        self._nodes = app.registry.lister("", "nodes")

    async def admit(self, a: Attributes) -> None:
        if a.object is None:
            return
        name = None
        if a.subresource == "binding":
            # Schedulers needn't say more of the target than its kind and name.
            if at(a.object, "target", "kind") == "Node":
                name = at(a.object, "target", "name")
        elif not a.subresource:
            name = at(a.object, "spec", "nodeName")
        node = self._nodes.get("", name) if name else None
        if node is None:
            return
        labels = node["metadata"].get("labels") or {}
        copied = {key: labels[key] for key in LABELS if key in labels}
        if copied:
            metadata = a.object["metadata"]
            metadata["labels"] = {**(metadata.get("labels") or {}), **copied}
