"""What the workers of all pods share: the runtime, the builders, and where statuses and events go."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from kybern.api.types import Object
from kybern.kubelet.builder import Builder
from kybern.kubelet.config import Config
from kybern.kubelet.images import Images
from kybern.kubelet.recorder import Recorder, log_only
from kybern.kubelet.runtime.cache import RuntimeCache
from kybern.kubelet.runtime.client import RuntimeClient
from kybern.kubelet.volumes.manager import Volumes


@dataclass(slots=True)
class Host:
    """One node's means."""

    config: Config
    runtime: RuntimeClient
    cache: RuntimeCache
    builder: Builder
    images: Images
    volumes: Volumes
    record: Recorder = log_only
    runtime_name: str = "containerd"
    network_error: Callable[[], str] = lambda: ""
    """Why the pod network isn't ready; empty if it is."""
    api_status: Callable[[Object], Object] = lambda pod: pod.get("status") or {}
    """The status the API last had of a pod."""
    report: Callable[[Object, Object], None] = lambda pod, status: None
    """Takes a pod and its new status."""
    forget_tokens: Callable[[str], None] = lambda uid: None
    starting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(16))
    """How many sandboxes and containers may be made at once: more would only make each of them slower. Not held while
    a pod waits for an image, a hook or the end of a container, which may depend on another pod's start."""
