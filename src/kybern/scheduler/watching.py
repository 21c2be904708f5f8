"""From informers to the cache and the queue: what each change of a pod or node means to scheduling."""

from __future__ import annotations

from collections.abc import Container

from kybern.api.types import Object, key_of
from kybern.client.informer import InformerFactory
from kybern.scheduler.cache import Cache
from kybern.scheduler.framework import ClusterEvent
from kybern.scheduler.pod import PodInfo, total_requests
from kybern.scheduler.queue import SchedulingQueue
from kybern.scheduler.report import Reporter

LIVE_PODS = "status.phase!=Succeeded,status.phase!=Failed"
"""Field selector: ended pods neither wait nor use anything."""


def watch_cluster(informers: InformerFactory, feed: Feed) -> None:
    """Hand every change of nodes and live pods to `feed`."""
    informers.informer("v1", "nodes", namespaced=False).on_change(feed.node_changed)
    informers.informer("v1", "pods", field_selector=LIVE_PODS).on_change(feed.pod_changed)


class Feed:
    """Sorts changes into the cache (assigned pods, nodes) and the queue (pods of ours that need a node)."""

    def __init__(self, cache: Cache, queue: SchedulingQueue, ours: Container[str], reporter: Reporter) -> None:
        self._cache, self._queue, self._ours, self._reporter = cache, queue, ours, reporter

    def node_changed(self, old: Object | None, new: Object | None) -> None:
        """Informer handler for nodes."""
        if new is None:
            assert old is not None
            self._cache.remove_node(old["metadata"]["name"])
            return
        for event in self._cache.set_node(new):
            self._queue.wake(event, old, new)

    def pod_changed(self, old: Object | None, new: Object | None) -> None:
        """Informer handler for pods."""
        if old is not None and new is not None and old["metadata"].get("uid") != new["metadata"].get("uid"):
            # Nobody watched while another pod took its name.
            self._gone(old)
            old = None
        if new is None:
            assert old is not None
            self._gone(old)
        elif new["spec"].get("nodeName"):
            self._assigned(old, new)
        elif self._waits(new):
            self._waiting(old or new, new)
        else:
            self._queue.remove(key_of(new))

    def _gone(self, old: Object) -> None:
        key = key_of(old)
        self._queue.remove(key)
        self._reporter.gone(key)
        if self._cache.remove_pod(key):
            self._queue.wake(ClusterEvent.POD_DELETE, old, None)

    def _assigned(self, old: Object | None, new: Object) -> None:
        if old is not None and old["spec"].get("nodeName") == new["spec"]["nodeName"] and _same_needs(old, new):
            return
        self._queue.remove(key_of(new))
        self._cache.set_pod(new)
        if old is not None and old["spec"].get("nodeName"):
            self._queue.wake(ClusterEvent.POD_SCALE_DOWN, old, new)

    def _waits(self, pod: Object) -> bool:
        return pod["spec"].get("schedulerName") in self._ours and "deletionTimestamp" not in pod["metadata"]

    def _waiting(self, old: Object, new: Object) -> None:
        key = key_of(new)
        # One that is assumed and no longer queued was bound; this is old news of it.
        if self._queue.get(key) or not self._cache.is_assumed(key):
            self._queue.update(PodInfo(new), old)


def _same_needs(old: Object, new: Object) -> bool:
    """Whether the pod counts on its node as before (its resources may be resized in place)."""
    before, after = old["spec"], new["spec"]
    return bool(before == after) or total_requests(before, {}) == total_requests(after, {})
