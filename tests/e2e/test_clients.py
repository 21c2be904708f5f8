"""Clients no one here wrote: the official Python client, and an operator on kopf."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import kubernetes
import pytest

from tests.e2e.conftest import Cluster, eventually, pod


def test_the_official_client_creates_watches_and_deletes(cluster: Cluster, namespace: str) -> None:
    api = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(cluster.kubeconfig))
    created = api.create_namespaced_pod(namespace, pod("watched", ["sleep", "3600"]))
    watch = kubernetes.watch.Watch()
    stream = watch.stream(
        api.list_namespaced_pod, namespace, resource_version=created.metadata.resource_version, timeout_seconds=60
    )
    phases, deleted = [], False
    for event in stream:
        if event["type"] == "DELETED":
            deleted = True
            break
        phases.append(event["object"].status.phase)
        if phases[-1] == "Running" and not event["object"].metadata.deletion_timestamp:
            api.delete_namespaced_pod("watched", namespace)
    assert "Running" in phases
    assert deleted


def test_the_official_client_execs(cluster: Cluster, namespace: str) -> None:
    from kubernetes.stream import stream

    api = kubernetes.client.CoreV1Api(kubernetes.config.new_client_from_config(cluster.kubeconfig))
    api.create_namespaced_pod(namespace, pod("target", ["sleep", "3600"]))
    eventually(lambda: api.read_namespaced_pod("target", namespace).status.phase == "Running")
    said = stream(
        api.connect_get_namespaced_pod_exec, "target", namespace, command=["echo", "hi"], stdout=True, stderr=True
    )
    assert said == "hi\n"


OPERATOR = """
import kopf

@kopf.on.create("example.test", "v1", "greetings")
def create(spec, name, namespace, patch, **_):
    import kubernetes
    kubernetes.config.load_kube_config()
    body = {"metadata": {"name": name}, "data": {"text": f"hello {spec['who']}"}}
    kubernetes.client.CoreV1Api().create_namespaced_config_map(namespace, body)
    patch.status["greeted"] = spec["who"]
"""

CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "greetings.example.test"},
    "spec": {
        "group": "example.test",
        "scope": "Namespaced",
        "names": {"plural": "greetings", "kind": "Greeting"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}


@pytest.fixture
def operator(cluster: Cluster, namespace: str, tmp_path: Path):
    cluster.apply(CRD)
    cluster.kubectl("wait", "--for=condition=Established", "crd/greetings.example.test", "--timeout=20s")
    (tmp_path / "operator.py").write_text(textwrap.dedent(OPERATOR))
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "-n", namespace, str(tmp_path / "operator.py")]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env={"KUBECONFIG": cluster.kubeconfig, "PATH": "/usr/bin:/bin"}
        )
    yield tmp_path / "log"
    process.terminate()
    process.wait(30)
    cluster.kubectl("delete", "crd", "greetings.example.test", "--timeout=30s")


def test_a_kopf_operator_with_a_crd(cluster: Cluster, namespace: str, operator: Path) -> None:
    greeting = {
        "apiVersion": "example.test/v1",
        "kind": "Greeting",
        "metadata": {"name": "g"},
        "spec": {"who": "world"},
    }
    cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=__import__("json").dumps(greeting))

    def greeted() -> bool:
        status = cluster.get("-n", namespace, "greetings.example.test", "g").get("status", {})
        assert status.get("greeted") == "world", operator.read_text()[-2000:]
        return True

    eventually(greeted)
    assert cluster.get("-n", namespace, "configmap", "g")["data"] == {"text": "hello world"}
    cluster.kubectl("-n", namespace, "delete", "greetings.example.test", "g", "--timeout=30s")
