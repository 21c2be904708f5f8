"""Short ways to say what a pod is and what the runtime has of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kybern.api.types import Object
from kybern.kubelet import sync
from kybern.kubelet.config import Config
from kybern.kubelet.paths import Paths
from kybern.kubelet.runtime.state import Container, PodState, Sandbox
from kybern.testing.builders import container, pod

NOW = 1_800_000_000.0
"""The time of all tests, in seconds since the epoch."""
READY = Sandbox("s1", 0, True, NOW - 100, ("10.244.0.9",))


def made(*containers: Object, inits: list[Object] | None = None, policy: str = "Always", **spec: Any) -> Object:
    """A pod as the API gives it; containers default to one named app."""
    found = pod("web", restartPolicy=policy, **spec)
    found["metadata"] |= {"uid": "u1", "annotations": {}}
    found["spec"]["containers"] = [*containers] or [container("app")]
    if inits:
        found["spec"]["initContainers"] = inits
    return found


def sidecar(name: str = "side") -> Object:
    return container(name, restartPolicy="Always")


def running(spec: Object, count: int = 0, **fields: Any) -> Container:
    """An attempt at a container that runs."""
    values: dict[str, Any] = {"hash": sync.container_hash(spec), "started_at": NOW - 50, **fields}
    return Container(f"{spec['name']}-{count}", spec["name"], "s1", "running", count, NOW - 50 + count, **values)


def exited(spec: Object, code: int = 0, count: int = 0, ago: float = 1.0, **fields: Any) -> Container:
    """An attempt that ended `ago` seconds before now."""
    values: dict[str, Any] = {"exit_code": code, "started_at": NOW - ago - 10, "finished_at": NOW - ago, **fields}
    values.setdefault("hash", sync.container_hash(spec))
    return Container(f"{spec['name']}-{count}", spec["name"], "s1", "exited", count, NOW - 90 + count, **values)


def state(*containers: Container, sandbox: Sandbox | None = READY) -> PodState:
    """What the runtime has; newest first, as the cache keeps it."""
    ordered = sorted(containers, key=lambda c: -c.created_at)
    return PodState("u1", "web", "default", [sandbox] if sandbox else [], ordered)


def config(root: Path = Path("/nowhere"), **fields: Any) -> Config:
    """A kubelet's configuration for node1."""
    paths = Paths(root / "root", root / "pods", root / "containers")
    return Config("node1", "node1", paths, **{"node_ips": ("192.0.2.7",), **fields})
