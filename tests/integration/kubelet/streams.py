"""A containerd of its own, one pod on the host's network in it, and the kubelet's server in front."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kybern.apiserver.kubelets import trusting
from kybern.cluster import containerd, host, images
from kybern.cluster.layout import Layout
from kybern.kubelet import status
from kybern.kubelet.config import Config
from kybern.kubelet.paths import Paths
from kybern.kubelet.runtime import state
from kybern.kubelet.runtime._generated import cri_pb2 as cri
from kybern.kubelet.runtime.cache import RuntimeCache
from kybern.kubelet.runtime.client import RuntimeClient
from kybern.kubelet.server import Server
from kybern.process.clock import clock, new_uid

TALK = "echo hello; while read line; do echo got $line; echo oops >&2; done; echo bye"


@contextlib.contextmanager
def running_containerd() -> Iterator[Layout]:
    """A containerd with the pause and busybox images; all of it is gone afterwards."""
    layout = Layout(Path(tempfile.mkdtemp(prefix="kybern-streams-")))
    layout.make()
    command = [containerd.program(), "--config", str(containerd.write_config(layout))]
    with (layout.logs / "containerd.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        containerd.image_names(layout.containerd_socket)
        for archive in images.archives(layout.images, (images.PAUSE, images.BUSYBOX)).values():
            containerd.import_image(layout.containerd_socket, archive)
        yield layout
    finally:
        process.terminate()
        process.wait(20)
        host.kill_containers(layout)
        host.unmount_below(layout.root)
        shutil.rmtree(layout.root, ignore_errors=True)


@dataclass
class Pod:
    """A pod's worker, as far as the server looks at it."""

    name: str
    node: Node
    uid: str = field(default_factory=new_uid)
    sandbox: str = ""
    spec: dict[str, Any] = field(default_factory=lambda: {"hostNetwork": True, "containers": []})

    @property
    def pod(self) -> dict[str, Any]:
        return {"metadata": {"name": self.name, "namespace": "default", "uid": self.uid}, "spec": self.spec}

    @property
    def status(self) -> dict[str, Any]:
        facts = status.Facts(clock.time(), {}, {}, {}, ("127.0.0.1",), True, None, False, "containerd")
        return status.build(self.pod, self.node.cache.get(self.uid), facts)

    def config(self) -> cri.PodSandboxConfig:
        labels = {state.POD_NAME: self.name, state.POD_NAMESPACE: "default", state.POD_UID: self.uid}
        namespaces = cri.NamespaceOption(network=cri.NODE)
        security = cri.LinuxSandboxSecurityContext(namespace_options=namespaces)
        return cri.PodSandboxConfig(
            metadata=cri.PodSandboxMetadata(name=self.name, uid=self.uid, namespace="default"),
            log_directory=str(self.node.paths.logs(self.pod)),
            labels=labels,
            linux=cri.LinuxPodSandboxConfig(security_context=security),
        )

    async def start(self) -> None:
        self.node.paths.logs(self.pod).mkdir(parents=True)
        self.sandbox = await self.node.runtime.run_sandbox(self.config())
        self.node.workers[self.uid] = self

    async def run(self, name: str, script: str, *, stdin: bool = False, tty: bool = False) -> str:
        """Run a shell script in a container; gives its id."""
        sandbox = self.config()
        (self.node.paths.logs(self.pod) / name).mkdir()
        self.spec["containers"].append({"name": name, "image": images.BUSYBOX})
        labels = {**sandbox.labels, state.CONTAINER_NAME: name}
        security = cri.LinuxContainerSecurityContext(namespace_options=cri.NamespaceOption(network=cri.NODE))
        config = cri.ContainerConfig(
            metadata=cri.ContainerMetadata(name=name),
            image=cri.ImageSpec(image=images.BUSYBOX),
            command=["sh", "-c", script],
            log_path=f"{name}/0.log",
            labels=labels,
            stdin=stdin,
            stdin_once=stdin,
            tty=tty,
            linux=cri.LinuxContainerConfig(security_context=security),
        )
        container = await self.node.runtime.create_container(self.sandbox, config, sandbox)
        await self.node.runtime.start_container(container)
        await self.node.cache.relist()
        return container


class Node:
    """A runtime and the kubelet's server in front of it."""

    def __init__(self, layout: Layout, directory: Path) -> None:
        self.paths = Paths(directory / "root", directory / "logs", directory / "links")
        self.runtime = RuntimeClient(f"unix://{layout.containerd_socket}")
        self.cache = RuntimeCache(self.runtime)
        self.workers: dict[str, Pod] = {}
        self.tls = trusting()
        config = Config("n1", "n1", self.paths, address="127.0.0.1", port=0, healthz_port=0, cert_dir=directory / "pki")
        host = SimpleNamespace(config=config, cache=self.cache, runtime=self.runtime)
        self.server = Server(SimpleNamespace(pods=self, host=host, client=None, healthy=lambda: ""), config)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.server.port}"

    def all(self) -> list[dict[str, Any]]:
        return [worker.pod for worker in self.workers.values()]

    def find(self, namespace: str, name: str, uid: str = "") -> Pod | None:
        return next((w for w in self.workers.values() if w.name == name and uid in ("", w.uid)), None)

    async def close(self) -> None:
        await self.server.close()
        for pod in self.workers.values():
            await self.runtime.stop_sandbox(pod.sandbox)
            await self.runtime.remove_sandbox(pod.sandbox)
        await self.runtime.close()
