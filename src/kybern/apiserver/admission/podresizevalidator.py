"""PodResizeValidator: no pod is resized beyond what its node could ever give, nor on nodes that can't resize.

Source: Kubernetes documentation, "Resize CPU and Memory Resources"; KEP-1287.
"""

from __future__ import annotations

from kybern.api import quantity
from kybern.api.cells import at
from kybern.api.core import pod_resources
from kybern.api.types import Object
from kybern.apiserver.admission.base import UPDATE, Attributes, Plugin
from kybern.apiserver.app import App

_OS = "kubernetes.io/os"
CAPACITY, PLATFORM = "NodeCapacity", "UnsupportedPlatform"
"""The reasons of the causes by which clients tell refusals."""


class PodResizeValidator(Plugin):
    """Looks at resizes of pods that are on a node."""

    name = "PodResizeValidator"
    handles = frozenset({("", "pods")})
    operations = frozenset((UPDATE,))

    def __init__(self, app: App) -> None:
        self._nodes = app.registry.lister("", "nodes")

    async def validate(self, a: Attributes) -> None:
        name = at(a.object, "spec", "nodeName")
        if a.subresource != "resize" or not name or a.object is None:
            return
        if at(a.object, "metadata", "generation") == at(a.old, "metadata", "generation"):
            return
        node = self._nodes.get("", name)
        if node is None:
            raise a.forbidden(f'node "{name}" not found')
        system = (node["metadata"].get("labels") or {}).get(_OS, "linux")
        if system != "linux":
            self._refuse(a, PLATFORM, f'pod resize is only supported on linux nodes, node "{name}" is "{system}"')
        if lacking := _lacking(a.object, at(node, "status", "allocatable") or {}):
            self._refuse(a, CAPACITY, f"node didn't have enough allocatable resources: {lacking}")

    def _refuse(self, a: Attributes, reason: str, why: str) -> None:
        error = a.forbidden(why)
        error.details = {**(error.details or {}), "causes": [{"reason": reason}]}
        raise error


def _lacking(pod: Object, allocatable: Object) -> str:
    """Of which resources the pod asks more than there is, and how much."""
    asked = pod_resources.requests(pod, status=False)
    said = []
    for name, shown in (("cpu", quantity.milli), ("memory", quantity.whole)):
        wanted, there = (amounts.get(name, "0") for amounts in (asked, allocatable))
        if quantity.parse(wanted) > quantity.parse(there):
            said.append(f"{name}, requested: {shown(wanted)}, allocatable: {shown(there)}")
    return "; ".join(said)
