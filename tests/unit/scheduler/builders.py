"""Pods, nodes and schedulers for the tests of this folder."""

from __future__ import annotations

from typing import Any

from kybern.api.types import Object
from kybern.scheduler.cache import Cache
from kybern.scheduler.cycle import Scheduler, queue_for
from kybern.scheduler.framework import Handle
from kybern.scheduler.pod import PodInfo
from kybern.scheduler.profiles import Configuration, Profile, build
from kybern.scheduler.report import Reporter
from kybern.scheduler.watching import Feed

DEFAULT = "default-scheduler"


def node(name: str, *, labels: dict[str, str] | None = None, taints: list[Object] | None = None,
         images: list[Object] | None = None, unschedulable: bool = False, **allocatable: str) -> Object:  # fmt: skip
    spec: Object = {"taints": taints or []}
    if unschedulable:
        spec["unschedulable"] = True
    named = {resource.replace("__", "/"): quantity for resource, quantity in allocatable.items()}
    allocatable = {"cpu": "4", "memory": "8Gi", "pods": "110", **named}
    return {
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": spec,
        "status": {"allocatable": allocatable, "images": images or []},
    }


def pod(name: str, *, requests: dict[str, str] | None = None, node_name: str = "", host_port: int = 0,
        image: str = "app:1", **spec: Any) -> Object:  # fmt: skip
    container: Object = {"name": "app", "image": image, "resources": {"requests": requests or {}}}
    if host_port:
        container["ports"] = [{"containerPort": host_port, "hostPort": host_port, "protocol": "TCP"}]
    body: Object = {"schedulerName": DEFAULT, "containers": [container], **spec}
    if node_name:
        body["nodeName"] = node_name
    return {"kind": "Pod", "apiVersion": "v1", "spec": body, "status": {"phase": "Pending"},
            "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"}}  # fmt: skip


class World:
    """A scheduler without an API server."""

    def __init__(self, *nodes: Object, configuration: Configuration | None = None, reporter: Reporter | None = None,
                 handle: Handle | None = None) -> None:  # fmt: skip
        self.profiles: dict[str, Profile] = build(configuration or Configuration(), handle or Handle())
        self.cache = Cache()
        for obj in nodes:
            self.cache.set_node(obj)
        self.queue = queue_for(self.profiles)
        self.reporter = reporter or Reporter()
        self.scheduler = Scheduler(self.profiles, self.cache, self.queue, self.reporter)
        self.feed = Feed(self.cache, self.queue, self.profiles, self.reporter)

    def wait(self, obj: Object, *rejected_by: str) -> None:
        """Let the pod wait, as unschedulable if plugins rejected it."""
        self.feed.pod_changed(None, obj)
        if rejected_by:
            queued = self.queue.take()
            assert queued and queued.pod.obj is obj
            self.queue.park(queued, rejected_by)

    def place_of(self, name: str) -> str:
        """Where in the queue the pod is; empty if nowhere."""
        queued = self.queue.get(f"default/{name}")
        return queued.place.name if queued else ""

    def choose(self, obj: Object) -> str:
        """The node for the pod; assumes it there. Raises Unfit."""
        info = PodInfo(obj)
        choice = self.scheduler.choose(self.profiles[DEFAULT], info)
        self.cache.assume(info, choice.node)
        return choice.node
