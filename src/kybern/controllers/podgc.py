"""Pods that nobody will clean up: finished ones beyond a number, those of nodes that are gone, those that are being
deleted without ever having been placed.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-garbage-collection
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import Any

from kybern.api.errors import APIError, NotFound
from kybern.api.types import Object, key_of
from kybern.client.transport import severity
from kybern.controllers import conditions, pods
from kybern.controllers.controller import Context, Controller, periodically
from kybern.controllers.owners import is_deleting
from kybern.process.clock import clock

log = logging.getLogger(__name__)

_PERIOD = 20.0
_QUARANTINE = 40.0
"""How long a node must be missing before its pods go: a node that registers anew keeps them."""
_OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"


class PodGarbageCollector(Controller):
    name = "pod-garbage-collector-controller"
    aliases = ("podgc",)
    workers = 0

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.pods = pods.index(self.informer("v1", "pods"))
        self.nodes = self.informer("v1", "nodes", namespaced=False)
        self._pods = self.client.resource("v1", "pods")
        self._nodes = self.client.resource("v1", "nodes", namespaced=False)
        self._missing_since: dict[str, float] = {}

    def background(self) -> Iterable[Coroutine[Any, Any, None]]:
        return [periodically(_PERIOD, self.collect, self.name)]

    async def collect(self) -> None:
        """One pass."""
        everything = self.pods.list()
        surplus = surplus_of(everything, self.options.terminated_pod_gc_threshold)
        await asyncio.gather(*(self._delete(pod, None) for pod in surplus))
        for pod in [pod for pod in everything if is_deleting(pod) and not pod["spec"].get("nodeName")]:
            await self._delete(pod, None)
        for pod in [pod for pod in everything if is_deleting(pod) and self._is_out_of_service(pod)]:
            await self._delete(pod, None)
        for node in await self._gone_nodes({pod["spec"].get("nodeName", "") for pod in everything} - {""}):
            for pod in self.pods.by_index("node", node):
                await self._delete(pod, "PodGC: node no longer exists")

    async def _gone_nodes(self, named: set[str]) -> list[str]:
        """Nodes that pods name and that have been missing for the whole quarantine."""
        now = clock.time()
        absent = {node for node in named if node not in self.nodes.store}
        self._missing_since = {node: self._missing_since.get(node, now) for node in absent}
        gone = []
        for node in [node for node, since in self._missing_since.items() if now - since >= _QUARANTINE]:
            try:
                await self._nodes.get(node)
            except NotFound:
                gone.append(node)
        return gone

    def _is_out_of_service(self, pod: Object) -> bool:
        node = self.nodes.get(pod["spec"].get("nodeName", ""))
        if node is None:
            return False
        condition = conditions.find(node.get("status"), "Ready")
        ready = condition is not None and condition["status"] == "True"
        return not ready and any(taint["key"] == _OUT_OF_SERVICE for taint in node["spec"].get("taints") or ())

    async def _delete(self, pod: Object, disruption: str | None) -> None:
        """Delete at once; a pod that had not finished is marked as failed first."""
        meta = pod["metadata"]
        try:
            if not pods.is_finished(pod):
                status: Object = {"phase": "Failed"}
                if disruption:
                    status["conditions"] = [conditions.make("DisruptionTarget", "True", "DeletionByPodGC", disruption)]
                await self._pods.patch(
                    meta["name"], {"status": status}, meta["namespace"], type="strategic", subresource="status"
                )
            await self._pods.delete(meta["name"], meta["namespace"], grace_period_seconds=0, uid=meta["uid"])
        except NotFound:
            return
        except APIError as error:
            log.log(severity(error), "pod %s: %s", key_of(pod), error)
            return
        log.info("deleted pod %s", key_of(pod))


def surplus_of(everything: Iterable[Object], threshold: int) -> list[Object]:
    """Finished pods beyond the threshold, evicted ones and then the oldest first; 0 keeps all."""
    if threshold <= 0:
        return []
    finished = [pod for pod in everything if pods.is_finished(pod) and not is_deleting(pod)]
    surplus = len(finished) - threshold
    if surplus <= 0:
        return []
    return sorted(finished, key=_expendable)[:surplus]


def _expendable(pod: Object) -> tuple[bool, str, str]:
    evicted = pods.phase(pod) == "Failed" and pod["status"].get("reason") == "Evicted"
    return not evicted, pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]
