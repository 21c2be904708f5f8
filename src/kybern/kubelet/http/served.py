"""What the handlers need of the kubelet they speak for."""

from __future__ import annotations

from typing import Protocol

from kybern.api.types import Object
from kybern.client.rest import Client
from kybern.kubelet.host import Host
from kybern.kubelet.http.message import Refused
from kybern.kubelet.pods import Pods
from kybern.kubelet.runtime.state import Container
from kybern.kubelet.worker import Worker


class Served(Protocol):
    """A running kubelet."""

    @property
    def pods(self) -> Pods: ...

    @property
    def host(self) -> Host: ...

    @property
    def client(self) -> Client | None:
        """None for a kubelet without an API server."""
        ...

    def healthy(self) -> str:
        """What is wrong; empty while nothing is."""
        ...


def worker_of(kubelet: Served, namespace: str, name: str, uid: str = "") -> Worker:
    """Raises Refused (404)."""
    worker = kubelet.pods.find(namespace, name, uid)
    if worker is None:
        raise Refused(404, "pod does not exist")
    return worker


def newest(worker: Worker) -> Object:
    """A worker's pod with its newest status."""
    return {**worker.pod, "status": worker.status or worker.pod.get("status") or {}}


def running_container(kubelet: Served, worker: Worker, name: str) -> Container:
    """The container of this name that runs now. Raises Refused (500, as upstream does)."""
    for container in kubelet.host.cache.get(worker.uid).running:
        if container.name == name:
            return container
    raise Refused(500, f'container not found ("{name}")')
