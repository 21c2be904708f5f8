"""Where the kubelet keeps things on the host: upstream's layout under --root-dir, logs under --pod-log-dir."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kybern.api.types import Object


@dataclass(frozen=True, slots=True)
class Paths:
    """The base directories. Everything of a pod is below `pod(uid)`, its logs below `logs(pod)`."""

    root: Path
    pod_logs: Path
    container_logs: Path
    """Where the links `<pod>_<namespace>_<container>-<id>.log` for log collectors are."""

    @property
    def pods(self) -> Path:
        return self.root / "pods"

    def pod(self, uid: str) -> Path:
        return self.pods / uid

    def volume(self, uid: str, plugin: str, name: str) -> Path:
        """`plugin` is the volume type in kebab case: `configmap`, `empty-dir`."""
        return self.pod(uid) / "volumes" / f"kubernetes.io~{plugin}" / name

    def container(self, uid: str, name: str) -> Path:
        """Holds the termination messages of a container's attempts."""
        return self.pod(uid) / "containers" / name

    def termination_message(self, uid: str, name: str, restart_count: int) -> Path:
        return self.container(uid, name) / f"termination-{restart_count}"

    def hosts(self, uid: str) -> Path:
        """The pod's /etc/hosts."""
        return self.pod(uid) / "etc-hosts"

    def logs(self, pod: Object) -> Path:
        return self.pod_logs / log_directory_name(pod)

    def log(self, pod: Object, container: str, restart_count: int) -> Path:
        return self.logs(pod) / container / f"{restart_count}.log"

    def next_attempt(self, pod: Object, container: str) -> int:
        """How often a container was started before, from its logs: for when the runtime has forgotten it."""
        numbers = [file.name.partition(".")[0] for file in (self.logs(pod) / container).glob("*.log*")]
        return max((int(number) + 1 for number in numbers if number.isdigit()), default=0)

    def log_link(self, pod: Object, container: str, container_id: str) -> Path:
        meta = pod["metadata"]
        return self.container_logs / f"{meta['name']}_{meta['namespace']}_{container}-{container_id}.log"


def log_directory_name(pod: Object) -> str:
    """`<namespace>_<name>_<uid>`."""
    meta = pod["metadata"]
    return f"{meta['namespace']}_{meta['name']}_{meta['uid']}"
