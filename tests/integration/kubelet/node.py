"""A containerd of the tests' own, and kubelets as processes on it."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from kybern.cluster import containerd, host, images
from kybern.cluster.layout import Layout
from kybern.cluster.processes import Process
from kybern.kubelet import cgroups

ROOT = Path("/var/tmp/kybern-kubelet-test")
"""Always the same directory, so that a run cleans up what a killed one left."""
CGROUP = "/kybern-kubelet-test"


def eventually(check: Callable[[], Any], seconds: float = 30, what: str = "it") -> Any:
    """The first true value of `check`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := check():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come true within {seconds} s")


class Node:
    """A running containerd; `start_kubelet` starts one kubelet on it at a time."""

    def __init__(self) -> None:
        self.layout = Layout(ROOT)
        self._containerd: subprocess.Popen[bytes] | None = None
        self._kubelet: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Raises OperatorError where the machine lacks something."""
        clean()
        self.layout.make()
        containerd.write_config(self.layout)
        archives = images.archives(self.layout.images, (images.PAUSE, images.BUSYBOX))
        program = [containerd.program(), "--config", str(self.layout.containerd / "config.toml")]
        self._containerd = self._spawn("containerd", program)
        containerd.image_names(self.layout.containerd_socket)
        for archive in archives.values():
            containerd.import_image(self.layout.containerd_socket, archive)

    def _spawn(self, name: str, command: list[str]) -> subprocess.Popen[bytes]:
        with (self.layout.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        Process.of(process.pid).write(self.layout.run / f"{name}.json")
        return process

    def start_kubelet(self, *flags: str) -> None:
        own = [
            f"--container-runtime-endpoint=unix://{self.layout.containerd_socket}",
            "--hostname-override=node1",
            "--node-ip=127.0.0.1",
            "--address=127.0.0.1",
            "--port=0",
            "--healthz-port=0",
            f"--root-dir={ROOT}/kubelet",
            f"--pod-log-dir={ROOT}/logs/pods",
            f"--pod-manifest-path={self.layout.manifests}",
            f"--cgroup-root={CGROUP}",
            "--fail-swap-on=false",
        ]
        self._kubelet = self._spawn("kubelet", [sys.executable, "-m", "kybern", "kubelet", *own, *flags])

    def stop_kubelet(self) -> int:
        """SIGTERM; gives the exit code."""
        assert self._kubelet
        self._kubelet.send_signal(signal.SIGTERM)
        return self._kubelet.wait(20)

    def stop(self) -> None:
        for process in (self._kubelet, self._containerd):
            if process and process.poll() is None:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                if process.poll() is None:
                    process.kill()
                    process.wait()
        clean()

    def kubelet_log(self) -> str:
        return (self.layout.logs / "kubelet.log").read_text()

    def write_manifest(self, pod: dict[str, Any]) -> Path:
        path = self.layout.manifests / f"{pod['metadata']['name']}.yaml"
        scratch = path.with_name(f".{path.name}")
        scratch.write_text(yaml.safe_dump(pod))
        os.replace(scratch, path)
        return path

    def tasks(self) -> dict[str, int]:
        """Container id -> pid of what runs, as containerd's own client tells it; sandboxes too."""
        listed = containerd.ctr(self.layout.containerd_socket, "tasks", "list").stdout
        return {id: int(pid) for id, pid in re.findall(r"^(\S+)\s+(\d+)\s+RUNNING", listed, re.M)}

    def pids(self, marker: str) -> list[int]:
        """Pids of containers whose command line has `marker`."""
        return [pid for pid in self.tasks().values() if marker in _command_line(pid)]


def _command_line(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def clean() -> None:
    """Remove everything of this and of killed runs."""
    layout = Layout(ROOT)
    for name in ("kubelet", "containerd"):
        if process := Process.read(layout.run / f"{name}.json"):
            os.kill(process.pid, signal.SIGKILL)
            eventually(lambda process=process: not process.alive(), what=f"the end of {name}")
    for _ in range(3):
        host.kill_containers(layout)
    host.unmount_below(ROOT)
    for group in _groups():
        for directory, _, _ in os.walk(group, topdown=False):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
    shutil.rmtree(ROOT, ignore_errors=True)


def _groups() -> Iterator[Path]:
    for hierarchy in cgroups.hierarchies():
        if (hierarchy / CGROUP.lstrip("/")).is_dir():
            yield hierarchy / CGROUP.lstrip("/")


def busybox(name: str, command: list[str], **spec: Any) -> dict[str, Any]:
    """A static pod on the host's network."""
    container = {"name": "main", "image": images.BUSYBOX, "command": command}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"hostNetwork": True, "terminationGracePeriodSeconds": 1, "containers": [container], **spec},
    }
