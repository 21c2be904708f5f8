"""What runs, in plain values: the only shape of the runtime that the deciding code (sync.py, status.py) sees."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from kybern.kubelet.runtime._generated import cri_pb2 as cri

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
HASH = "io.kubernetes.container.hash"
RESTART_COUNT = "io.kubernetes.container.restartCount"
MESSAGE_PATH = "io.kubernetes.container.terminationMessagePath"
MESSAGE_POLICY = "io.kubernetes.container.terminationMessagePolicy"
GRACE_PERIOD = "io.kubernetes.pod.terminationGracePeriod"
CONTAINER_PORTS = "io.kubernetes.container.ports"

Phase = Literal["created", "running", "exited", "unknown"]
PHASES: dict[int, Phase] = {0: "created", 1: "running", 2: "exited", 3: "unknown"}


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A pod's network and process home. Times in seconds since the epoch."""

    id: str
    attempt: int
    ready: bool
    created_at: float
    ips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Container:
    """One attempt at one container. Times in seconds since the epoch, 0 if it has not come to that."""

    id: str
    name: str
    sandbox_id: str
    phase: Phase
    restart_count: int
    created_at: float
    hash: str = ""
    started_at: float = 0
    finished_at: float = 0
    exit_code: int = 0
    reason: str = ""
    message: str = ""
    image: str = ""
    image_ref: str = ""
    log_path: str = ""

    @property
    def running(self) -> bool:
        return self.phase == "running"

    @property
    def succeeded(self) -> bool:
        return self.phase == "exited" and self.exit_code == 0


@dataclass(slots=True)
class PodState:
    """What the runtime has of one pod; newest sandbox and newest container first."""

    uid: str
    name: str = ""
    namespace: str = ""
    sandboxes: list[Sandbox] = field(default_factory=list)
    containers: list[Container] = field(default_factory=list)

    @property
    def sandbox(self) -> Sandbox | None:
        """The newest sandbox."""
        return self.sandboxes[0] if self.sandboxes else None

    def latest(self, name: str, sandbox_id: str = "") -> Container | None:
        """The newest attempt at a container, if asked only within one sandbox."""
        for container in self.containers:
            if container.name == name and (not sandbox_id or container.sandbox_id == sandbox_id):
                return container
        return None

    def attempts(self, name: str) -> list[Container]:
        """All attempts at a container that the runtime still has, newest first."""
        return [container for container in self.containers if container.name == name]

    @property
    def running(self) -> list[Container]:
        return [container for container in self.containers if container.phase in ("running", "unknown")]


def _seconds(nanoseconds: int) -> float:
    return nanoseconds / 1e9 if nanoseconds > 0 else 0.0


def sandbox_from_list(item: cri.PodSandbox) -> Sandbox:
    """Without addresses: a list doesn't have them."""
    return Sandbox(item.id, item.metadata.attempt, item.state == cri.SANDBOX_READY, _seconds(item.created_at))


def with_addresses(sandbox: Sandbox, status: cri.PodSandboxStatus) -> Sandbox:
    """Add what only the detailed status knows."""
    ips = tuple(ip for ip in (status.network.ip, *(more.ip for more in status.network.additional_ips)) if ip)
    return replace(sandbox, ready=status.state == cri.SANDBOX_READY, ips=ips)


def container_from_status(status: cri.ContainerStatus, sandbox_id: str) -> Container:
    """The whole of one container."""
    return Container(
        id=status.id,
        name=status.labels.get(CONTAINER_NAME, status.metadata.name),
        sandbox_id=sandbox_id,
        phase=PHASES.get(status.state, "unknown"),
        restart_count=int(status.annotations.get(RESTART_COUNT, status.metadata.attempt)),
        created_at=_seconds(status.created_at),
        hash=status.annotations.get(HASH, ""),
        started_at=_seconds(status.started_at),
        finished_at=_seconds(status.finished_at),
        exit_code=status.exit_code,
        reason=status.reason,
        message=status.message,
        image=status.image.image,
        image_ref=status.image_ref,
        log_path=status.log_path,
    )
