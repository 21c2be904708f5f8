"""An API server, schedulers as processes beside it, and nodes that exist only there."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.apiserver.conftest import TOKEN, Kubectl, apiserver, free_port, kubectl

__all__ = ["apiserver", "kubectl"]


@dataclass
class Scheduler:
    """A running `kybern scheduler`."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def answer(self, path: str) -> str:
        """What its health port says; empty when it says nothing good."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return str(answer.read().decode())
        except (urllib.error.URLError, OSError):
            return ""

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


@dataclass
class Cluster:
    """kubectl, and what a test puts into the cluster."""

    kubectl: Kubectl
    directory: Path
    schedulers: list[Scheduler] = field(default_factory=list)

    def scheduler(self, *flags: str, wait: bool = True) -> Scheduler:
        """Start one; with `wait`, until it is ready."""
        port = free_port()
        kubeconfig = self.directory / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(_kubeconfig(self.kubectl.server)))
        command = [sys.executable, "-m", "kybern", "scheduler", "--kubeconfig", str(kubeconfig), "-v", "2"]
        command += ["--bind-address", "127.0.0.1", "--secure-port", str(port), *flags]
        log = self.directory / f"scheduler-{len(self.schedulers)}.log"
        with log.open("wb") as file:
            started = Scheduler(subprocess.Popen(command, stdout=file, stderr=file), port, log)
        self.schedulers.append(started)
        if wait:
            self.kubectl.until(lambda: started.answer("/readyz") == "ok", "the scheduler is ready")
        return started

    def node(self, name: str, cpu: str = "4", taint: str = "", **labels: str) -> None:
        """A node as a kubelet and the node lifecycle controller would leave it."""
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": _status(cpu)}
        self.kubectl.run("create", "-f", "-", stdin=node)
        self.kubectl.run("taint", "node", name, "node.kubernetes.io/not-ready-", *([taint] if taint else []))
        if labels:
            self.kubectl.run("label", "node", name, *(f"{key}={value}" for key, value in labels.items()))

    def allocatable(self, name: str, cpu: str) -> None:
        status = json.dumps({"status": _status(cpu)})
        self.kubectl.run("patch", "node", name, "--subresource=status", "--type=merge", "-p", status)

    def pod(self, name: str, cpu: str = "100m", **spec: Any) -> None:
        container = {"name": "c", "image": "app:1", "resources": {"requests": {"cpu": cpu}}}
        metadata = {"name": name, "namespace": self.kubectl.namespace}
        body = {"containers": [container], "automountServiceAccountToken": False, **spec}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": body}
        self.kubectl.run("create", "-f", "-", stdin=pod)

    def node_of(self, name: str) -> str:
        return self.kubectl.out("get", "pod", name, "-o", "jsonpath={.spec.nodeName}")

    def bound(self, name: str) -> str:
        """The pod's node, once it has one."""
        return str(self.kubectl.until(lambda: self.node_of(name), f"pod {name} is bound"))

    def events(self, name: str, reason: str) -> list[str]:
        """The messages of the pod's events of a kind."""
        selector = f"reason={reason},involvedObject.name={name}"
        return self.kubectl.out("get", "events", "--field-selector", selector, "-o",
                                "jsonpath={range .items[*]}{.message}{'\\n'}{end}").splitlines()  # fmt: skip

    def told(self, name: str, reason: str, check: Callable[[list[str]], bool] = bool) -> list[str]:
        """The same, once there are some that pass the check."""

        def found() -> list[str]:
            messages = self.events(name, reason)
            return messages if check(messages) else []

        return list(self.kubectl.until(found, f"{reason} of pod {name}"))


def _status(cpu: str) -> dict[str, Any]:
    amounts = {"cpu": cpu, "memory": "8Gi", "pods": "110"}
    return {"capacity": amounts, "allocatable": amounts}


def _kubeconfig(server: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server, "insecure-skip-tls-verify": True}}],
        "users": [{"name": "c", "user": {"token": TOKEN}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    }  # fmt: skip


@pytest.fixture
def cluster(kubectl: Kubectl, tmp_path: Path) -> Iterator[Cluster]:
    """A cluster without nodes, and a namespace of the test's own."""
    kubectl.run("create", "serviceaccount", "default")
    made = Cluster(kubectl, tmp_path)
    try:
        yield made
    finally:
        for scheduler in made.schedulers:
            if scheduler.process.poll() is None:
                scheduler.stop()
        kubectl.run("delete", "pods", "--all", "--force")
        kubectl.run("delete", "nodes", "--all")
