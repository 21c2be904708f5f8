"""All pods of the node: which ones should be here (from the sources), a worker for each, and the end of those that
should not: deleted ones, and strays that only the runtime or the disk knows."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections.abc import Callable

from kybern.api.types import Object, key_of
from kybern.kubelet.admission import Rejection
from kybern.kubelet.host import Host
from kybern.kubelet.killer import kill_pod, remove_pod
from kybern.kubelet.recorder import PodEvents
from kybern.kubelet.runtime.client import RuntimeFailure
from kybern.kubelet.runtime.state import PodState
from kybern.kubelet.sources.base import is_mirror, is_static
from kybern.kubelet.worker import Ended, Worker

log = logging.getLogger(__name__)

HOUSEKEEPING = 15.0
STRAY_GRACE = 2
"""Seconds that containers of unknown pods have to end."""


class Pods:
    """The pod manager. `admit` may refuse a new pod; `on_deleted` is called with an API pod that is stopped and may
    be deleted there."""

    def __init__(self, host: Host, expected: set[str]) -> None:
        self.host = host
        self.expected = expected
        """Sources that must have spoken before anything unknown is taken for a stray."""
        self.workers: dict[str, Worker] = {}
        self.admit: Callable[[Object, list[Object]], Rejection | None] = lambda pod, others: None
        self.on_deleted: Callable[[Object], None] = lambda pod: None
        self.on_gone: Callable[[str], None] = lambda uid: None
        self.on_mirrors: Callable[[list[Object]], None] = lambda mirrors: None
        self.on_static: Callable[[list[Object]], None] = lambda pods: None
        self._sources: dict[str, dict[str, Object]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._cleaning: set[asyncio.Task[None]] = set()
        host.cache.on_change = self._runtime_changed

    @property
    def ready(self) -> bool:
        """Whether every source has spoken."""
        return self.expected <= self._sources.keys()

    def all(self) -> list[Object]:
        """The pods that should be here."""
        return [pod for pods in self._sources.values() for pod in pods.values()]

    def find(self, namespace: str, name: str, uid: str = "") -> Worker | None:
        """A worker by its pod's name, and UID if given."""
        for worker in self.workers.values():
            meta = worker.pod["metadata"]
            if (meta["namespace"], meta["name"]) == (namespace, name) and uid in ("", meta["uid"]):
                return worker
        return None

    def changed(self, source: str, pods: list[Object]) -> None:
        """A source's whole set."""
        wanted = {pod["metadata"]["uid"]: pod for pod in pods if not is_mirror(pod)}
        before = self._sources.get(source, {})
        self._sources[source] = wanted
        if source == "api":
            self.on_mirrors([pod for pod in pods if is_mirror(pod)])
        else:
            self.on_static([pod for pod in self.all() if is_static(pod)])
        for uid in before.keys() - wanted.keys():
            if worker := self.workers.get(uid):
                worker.terminate(removed=True)
                if worker.stopped.is_set():
                    self._clean(worker)
        for uid, pod in sorted(wanted.items(), key=lambda item: item[1]["metadata"].get("creationTimestamp") or ""):
            worker = self.workers.get(uid)
            if worker is None:
                self._begin(pod)
            elif worker.pod is not pod:
                worker.update(pod)

    def _begin(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        predecessor = self.find(pod["metadata"]["namespace"], pod["metadata"]["name"])
        if predecessor and not predecessor.stopped.is_set():
            # A changed static pod has the name of the one that is ending: it comes when that one is gone.
            return
        worker = self.workers[uid] = Worker(self.host, pod)
        worker.on_stopped = self._stopped
        if pod["metadata"].get("deletionTimestamp"):
            worker.terminate()
        elif (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            others = [w.pod for w in self.workers.values() if w is not worker and not w.over]
            if rejection := self.admit(pod, others):
                worker.events.pod("Warning", rejection.reason, rejection.message)
                worker.end(Ended("Failed", rejection.reason, rejection.message))
        self._tasks[uid] = asyncio.create_task(worker.run(), name=f"pod {key_of(pod)}")

    def _runtime_changed(self, uid: str) -> None:
        if worker := self.workers.get(uid):
            worker.wake()

    def _stopped(self, worker: Worker) -> None:
        """A worker has ended its pod."""
        if any(worker.uid in pods for pods in self._sources.values()):
            self.on_deleted(worker.pod)
        else:
            self._clean(worker)

    def _clean(self, worker: Worker) -> None:
        task = asyncio.create_task(self._clean_up(worker), name=f"clean up {key_of(worker.pod)}")
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)

    async def _clean_up(self, worker: Worker) -> None:
        try:
            await worker.clean_up()
        except RuntimeFailure as error:
            # Housekeeping comes back to it.
            log.info("cleaning up %s: %s", key_of(worker.pod), error)
        self._forget(worker.uid, self.host.config.paths.logs(worker.pod))

    def _forget(self, uid: str, logs: os.PathLike[str] | None = None) -> None:
        if logs:
            shutil.rmtree(logs, ignore_errors=True)
            self._drop_dead_links()
        self.host.images.forget(uid)
        self.host.forget_tokens(uid)
        self.workers.pop(uid, None)
        self._tasks.pop(uid, None)
        self.on_gone(uid)
        for pods in self._sources.values():
            for pod in pods.values():
                if pod["metadata"]["uid"] not in self.workers:
                    self._begin(pod)

    def _drop_dead_links(self) -> None:
        try:
            links = list(os.scandir(self.host.config.paths.container_logs))
        except OSError:
            return
        for link in links:
            if link.is_symlink() and not os.path.exists(link.path):
                os.unlink(link.path)

    # Strays.

    async def housekeep(self) -> None:
        """Again and again: end what nobody asked for."""
        while True:
            if self.ready and self.host.cache.listed_at:
                try:
                    await self._end_strays()
                except (RuntimeFailure, OSError) as error:
                    log.warning("housekeeping: %s", error)
                await asyncio.sleep(HOUSEKEEPING)
            else:
                await asyncio.sleep(0.5)

    async def _end_strays(self) -> None:
        cache = self.host.cache
        for uid, state in list(cache.pods.items()):
            if uid not in self.workers and self._is_strange(uid):
                await self._end_stray(uid, state)
        for uid in _names_in(self.host.config.paths.pods):
            if self._is_forgotten(uid):
                self.host.volumes.forget(uid)
        for name in _names_in(self.host.config.paths.pod_logs):
            if self._is_forgotten(name.rpartition("_")[2]):
                shutil.rmtree(self.host.config.paths.pod_logs / name, ignore_errors=True)
                self._drop_dead_links()

    def _is_strange(self, uid: str) -> bool:
        return not any(uid in pods for pods in self._sources.values())

    def _is_forgotten(self, uid: str) -> bool:
        """Whether only the disk knows this pod: a kubelet was stopped while it cleaned up."""
        return uid not in self.workers and uid not in self.host.cache.pods and self._is_strange(uid)

    async def _end_stray(self, uid: str, state: PodState) -> None:
        log.info("ending pod %s/%s, which nobody asks for any more", state.namespace, state.name)
        names = {container.name for container in state.containers}
        meta = {"name": state.name, "namespace": state.namespace, "uid": uid}
        pod: Object = {"metadata": meta, "spec": {"containers": [{"name": name} for name in sorted(names)]}}
        await kill_pod(self.host, PodEvents(self.host.record, lambda: pod), pod, state, STRAY_GRACE)
        await remove_pod(self.host, await self.host.cache.refresh(uid))
        self.host.volumes.forget(uid)
        self._forget(uid, self.host.config.paths.logs(pod))

    async def close(self) -> None:
        """End the workers, not the pods: they run on and are adopted by the next kubelet."""
        tasks = [*self._tasks.values(), *self._cleaning]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _names_in(directory: os.PathLike[str]) -> list[str]:
    """What is in a directory; nothing if there is none."""
    return os.listdir(directory) if os.path.isdir(directory) else []
