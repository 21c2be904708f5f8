"""Mirror pods: what the API shows of static pods. Made by the kubelet, deleted with their manifest, made anew when
somebody deletes them. Source: "Static Pods", upstream's annotations."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from kybern.api.errors import AlreadyExists, APIError, NotFound
from kybern.api.types import Object, key_of
from kybern.client.rest import Client
from kybern.client.transport import severity
from kybern.client.workqueue import WorkQueue
from kybern.kubelet.sources.base import CONFIG_HASH, CONFIG_MIRROR

log = logging.getLogger(__name__)


class Mirrors:
    """Keeps the API's mirror pods as the static pods are. Keys are `namespace/name`."""

    def __init__(self, client: Client, node: Callable[[], Object | None]) -> None:
        self._pods = client.resource("v1", "pods")
        self._node = node
        self._static: dict[str, Object] = {}
        self._mirrors: dict[str, Object] = {}
        self._queue: WorkQueue = WorkQueue()

    def of(self, pod: Object) -> Object | None:
        """The mirror that stands for this very static pod, if there is one."""
        mirror = self._mirrors.get(key_of(pod))
        return mirror if mirror and _stands_for(mirror, pod) else None

    def set_static(self, pods: list[Object]) -> None:
        self._enqueue(self._static, static := {key_of(pod): pod for pod in pods})
        self._static = static

    def set_mirrors(self, pods: list[Object]) -> None:
        self._enqueue(self._mirrors, mirrors := {key_of(pod): pod for pod in pods})
        self._mirrors = mirrors

    def _enqueue(self, old: dict[str, Object], new: dict[str, Object]) -> None:
        for key in old.keys() | new.keys():
            if old.get(key) is not new.get(key):
                self._queue.add(key)

    async def run(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._reconcile(key)
                self._queue.forget(key)
            except APIError as error:
                log.log(severity(error), "mirror pod %s: %s", key, error)
                self._queue.add_rate_limited(key)
            finally:
                self._queue.done(key)

    async def _reconcile(self, key: str) -> None:
        static, mirror = self._static.get(key), self._mirrors.get(key)
        wrong = mirror and (static is None or not _stands_for(mirror, static))
        if mirror and (wrong or mirror["metadata"].get("deletionTimestamp")):
            meta = mirror["metadata"]
            with contextlib.suppress(NotFound):
                await self._pods.delete(meta["name"], meta["namespace"], grace_period_seconds=0, uid=meta["uid"])
            self._mirrors.pop(key, None)
            mirror = None
        if static and mirror is None:
            try:
                await self._pods.create(self._mirror(static))
            except AlreadyExists:
                log.debug("mirror pod %s is there already", key)

    def _mirror(self, static: Object) -> Object:
        meta = static["metadata"]
        annotations = {**meta["annotations"], CONFIG_MIRROR: meta["annotations"][CONFIG_HASH]}
        mirror: Object = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": meta["name"], "namespace": meta["namespace"], "annotations": annotations},
            "spec": static["spec"],
        }
        if meta.get("labels"):
            mirror["metadata"]["labels"] = meta["labels"]
        if node := self._node():
            owner = {"apiVersion": "v1", "kind": "Node", "name": node["metadata"]["name"]}
            owner |= {"uid": node["metadata"]["uid"], "controller": True}
            mirror["metadata"]["ownerReferences"] = [owner]
        return mirror


def _stands_for(mirror: Object, static: Object) -> bool:
    wanted = static["metadata"]["annotations"].get(CONFIG_HASH)
    return bool(mirror["metadata"]["annotations"].get(CONFIG_MIRROR) == wanted)
