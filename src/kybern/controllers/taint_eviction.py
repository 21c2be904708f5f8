"""Evicts pods from nodes with NoExecute taints: at once, or when their toleration has run out.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/
"""

from __future__ import annotations

from collections.abc import Iterable

from kybern.api.errors import NotFound
from kybern.api.types import Object, key_of
from kybern.controllers import conditions, pods
from kybern.controllers.controller import Context, Controller
from kybern.controllers.owners import is_deleting
from kybern.process.clock import clock


class TaintEvictionController(Controller):
    name = "taint-eviction-controller"
    workers = 8

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.nodes = self.informer("v1", "nodes", namespaced=False)
        self.pods = pods.index(self.informer("v1", "pods"))
        self._pods = self.client.resource("v1", "pods")
        self._recorder = context.recorder("taint-eviction-controller")
        self._since: dict[str, float] = {}
        self.nodes.on_change(self._node_changed)
        self.pods.on_change(self._pod_changed)

    def _node_changed(self, old: Object | None, new: Object | None) -> None:
        if evicting(old) == evicting(new):
            return
        for pod in self.pods.by_index("node", (new or old or {})["metadata"]["name"]):
            self.queue.add(key_of(pod))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        if new is None:
            self._since.pop(key_of(old or {}), None)
            return
        node = self.nodes.get(new["spec"].get("nodeName", ""))
        if evicting(node) and (old is None or not old["spec"].get("nodeName") or _tolerates(old) != _tolerates(new)):
            self.queue.add(key_of(new))

    async def reconcile(self, key: str) -> float | None:
        pod = self.pods.get(key)
        if pod is None or is_deleting(pod):
            self._since.pop(key, None)
            return None
        taints = evicting(self.nodes.get(pod["spec"].get("nodeName", "")))
        seconds = tolerated_for(pod, taints)
        if seconds is None:
            if self._since.pop(key, None) is not None:
                self._recorder.event(pod, "Normal", "TaintManagerEviction", f"Cancelling deletion of Pod {key}")
            return None
        now = clock.time()
        left = self._since.setdefault(key, now) + seconds - now
        if left > 0:
            return left
        # Forgotten only then: an eviction that fails is tried again, not put off by the whole toleration.
        await self._evict(pod)
        self._since.pop(key, None)
        return None

    async def _evict(self, pod: Object) -> None:
        meta = pod["metadata"]
        self._recorder.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key_of(pod)}")
        said = "Taint manager: deleting due to NoExecute taint"
        target = conditions.make("DisruptionTarget", "True", "DeletionByTaintManager", said)
        try:
            body = {"metadata": {"uid": meta["uid"]}, "status": {"conditions": [target]}}
            await self._pods.patch(meta["name"], body, meta["namespace"], type="strategic", subresource="status")
            await self._pods.delete(meta["name"], meta["namespace"], uid=meta["uid"])
        except NotFound:
            return


def evicting(node: Object | None) -> list[Object]:
    """The node's NoExecute taints."""
    if node is None:
        return []
    return [taint for taint in node["spec"].get("taints") or () if taint["effect"] == "NoExecute"]


def tolerated_for(pod: Object, taints: Iterable[Object]) -> float | None:
    """Seconds the pod may stay with these taints; None for ever."""
    shortest: float | None = None
    for taint in taints:
        # Of several tolerations the first counts.
        toleration = next((one for one in _tolerates(pod) if matches(one, taint)), None)
        if toleration is None:
            return 0.0
        if toleration.get("tolerationSeconds") is not None:
            limit = max(0.0, float(toleration["tolerationSeconds"]))
            shortest = limit if shortest is None else min(shortest, limit)
    return shortest


def matches(toleration: Object, taint: Object) -> bool:
    """Whether a toleration tolerates a taint."""
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("operator") == "Exists":
        return True
    return bool(toleration.get("key")) and toleration.get("value", "") == taint.get("value", "")


def _tolerates(pod: Object) -> list[Object]:
    found: list[Object] = pod["spec"].get("tolerations") or []
    return found
