"""The real kubectl against real containers: one test per thing people do with it."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.conftest import Cluster, eventually, pod


def running(cluster: Cluster, namespace: str, name: str, command: list[str], **spec: object) -> None:
    cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(pod(name, command, **spec)))
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=45s")


@pytest.fixture
def sleeper(cluster: Cluster, namespace: str) -> str:
    running(cluster, namespace, "sleeper", ["sh", "-c", "echo one; echo two >&2; exec sleep 3600"])
    return namespace


def test_logs(cluster: Cluster, sleeper: str) -> None:
    # Two streams: which is read first is the runtime's affair.
    lines = cluster.kubectl("-n", sleeper, "logs", "sleeper").splitlines()
    assert sorted(lines) == ["one", "two"]
    assert cluster.kubectl("-n", sleeper, "logs", "sleeper", "--tail=1") == f"{lines[1]}\n"
    stamped = cluster.kubectl("-n", sleeper, "logs", "sleeper", "--timestamps", "--tail=1")
    assert re.match(rf"\d{{4}}-\d\d-\d\dT[\d:.]+Z {lines[1]}$", stamped.strip())
    missing = cluster.kubectl_process("-n", sleeper, "logs", "sleeper", "-c", "nope")
    assert "container nope is not valid for pod sleeper" in missing.stderr


def test_logs_follow(cluster: Cluster, namespace: str) -> None:
    running(
        cluster,
        namespace,
        "talker",
        ["sh", "-c", "for i in 1 2 3 4 5; do echo $i; sleep 0.5; done"],
        restartPolicy="Never",
    )
    assert cluster.kubectl("-n", namespace, "logs", "-f", "talker").split() == ["1", "2", "3", "4", "5"]


def test_exec_gives_output_and_exit_code(cluster: Cluster, sleeper: str) -> None:
    done = cluster.kubectl_process("-n", sleeper, "exec", "sleeper", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout) == (7, "out\n")
    assert "err" in done.stderr
    assert "exit code 7" in done.stderr


def test_exec_passes_stdin(cluster: Cluster, sleeper: str) -> None:
    text = "".join(f"line {i}\n" for i in range(5000))
    done = cluster.kubectl_process("-n", sleeper, "exec", "-i", "sleeper", "--", "cat", stdin=text)
    assert (done.returncode, done.stdout) == (0, text)


def test_exec_over_spdy(cluster: Cluster, sleeper: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", "false")
    done = cluster.kubectl_process(
        "-n", sleeper, "exec", "-i", "sleeper", "--", "sh", "-c", "cat; exit 3", stdin="hi\n"
    )
    assert (done.returncode, done.stdout) == (3, "hi\n")


def test_attach(cluster: Cluster, namespace: str) -> None:
    more = {"stdin": True, "stdinOnce": True}
    running(cluster, namespace, "echo", ["sh", "-c", "while read l; do echo got $l; done"], container=more)
    done = cluster.kubectl_process("-n", namespace, "attach", "-i", "echo", stdin="a\nb\n", timeout=30)
    assert "got a" in done.stdout
    assert "got b" in done.stdout


def test_cp_both_ways(cluster: Cluster, sleeper: str, tmp_path: Path) -> None:
    (tmp_path / "there").write_bytes(bytes(range(256)) * 4096)
    cluster.kubectl("-n", sleeper, "cp", str(tmp_path / "there"), "sleeper:/tmp/there")
    cluster.kubectl("-n", sleeper, "cp", "sleeper:/tmp/there", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == (tmp_path / "there").read_bytes()


def test_debug_runs_a_container_beside(cluster: Cluster, sleeper: str) -> None:
    debug = ("debug", "sleeper", "--image=busybox:1.35", "--container=beside", "--profile=general")
    cluster.kubectl("-n", sleeper, *debug, "--", "sleep", "3600")

    def running() -> bool:
        path = "jsonpath={.status.ephemeralContainerStatuses[0].state.running}"
        return bool(cluster.kubectl("-n", sleeper, "get", "pod", "sleeper", "-o", path))

    eventually(running)
    assert cluster.kubectl("-n", sleeper, "exec", "sleeper", "-c", "beside", "--", "echo", "hello") == "hello\n"


def test_run_shows_what_it_says_and_leaves_nothing(cluster: Cluster, namespace: str) -> None:
    run = ("run", "once", "--image=busybox:1.35", "--restart=Never", "--attach", "--rm", "--quiet")
    # It says so when kubectl has attached: what was said before, whoever comes late doesn't hear.
    assert "hello" in cluster.kubectl("-n", namespace, *run, "--", "sh", "-c", "sleep 3; echo hello; sleep 1")
    gone = cluster.kubectl_process("-n", namespace, "get", "pod", "once")
    assert "NotFound" in gone.stderr


@pytest.mark.parametrize("websockets", ["true", "false"])
def test_port_forward(cluster: Cluster, websockets: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["kubectl", f"--kubeconfig={cluster.kubeconfig}", "port-forward", "deployment/hello", f"{port}:8080"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as forward:
        try:
            assert forward.stdout
            assert "Forwarding from" in forward.stdout.readline()
            for _ in range(5):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
                    assert answer.read().startswith(b"hello from")
        finally:
            forward.terminate()


CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"a": "1"}}


def test_apply_and_diff(cluster: Cluster, namespace: str) -> None:
    scoped = ["-n", namespace]
    assert "created" in cluster.kubectl(*scoped, "apply", "-f", "-", stdin=json.dumps(CONFIG))
    assert "unchanged" in cluster.kubectl(*scoped, "apply", "-f", "-", stdin=json.dumps(CONFIG))
    changed = json.dumps({**CONFIG, "data": {"b": "2"}})
    diff = cluster.kubectl_process(*scoped, "diff", "-f", "-", stdin=changed)
    assert diff.returncode == 1
    assert re.search(r"^-  a: ", diff.stdout, re.M)
    assert re.search(r"^\+  b: ", diff.stdout, re.M)
    assert "configured" in cluster.kubectl(*scoped, "apply", "-f", "-", stdin=changed)
    assert cluster.get(*scoped, "configmap", "c")["data"] == {"b": "2"}


def test_server_side_apply_finds_conflicts(cluster: Cluster, namespace: str) -> None:
    apply = ["-n", namespace, "apply", "--server-side", "-f", "-"]
    assert "serverside-applied" in cluster.kubectl(*apply, "--field-manager=one", stdin=json.dumps(CONFIG))
    other = json.dumps({**CONFIG, "data": {"a": "2"}})
    refused = cluster.kubectl_process(*apply, "--field-manager=two", stdin=other)
    assert refused.returncode
    assert 'conflict with "one"' in refused.stderr
    assert ".data.a" in refused.stderr
    cluster.kubectl(*apply, "--field-manager=two", "--force-conflicts", stdin=other)
    assert cluster.get("-n", namespace, "configmap", "c")["data"] == {"a": "2"}


def test_unknown_fields_are_refused(cluster: Cluster, namespace: str) -> None:
    wrong = pod("x", ["true"])
    wrong["spec"]["containerz"] = []
    done = cluster.kubectl_process("-n", namespace, "create", "-f", "-", stdin=json.dumps(wrong))
    assert done.returncode
    assert 'unknown field "spec.containerz"' in done.stderr


def test_invalid_objects_are_explained(cluster: Cluster, namespace: str) -> None:
    wrong = pod("x", ["true"])
    wrong["spec"]["containers"][0].pop("name")
    done = cluster.kubectl_process("-n", namespace, "create", "-f", "-", stdin=json.dumps(wrong))
    assert 'The Pod "x" is invalid' in done.stderr
    assert "spec.containers[0].name: Required value" in done.stderr


def test_explain(cluster: Cluster) -> None:
    said = cluster.kubectl("explain", "deployment.spec.strategy.rollingUpdate")
    assert "VERSION:    v1" in said
    assert "maxSurge" in said


def test_describe(cluster: Cluster, sleeper: str) -> None:
    said = cluster.kubectl("-n", sleeper, "describe", "pod", "sleeper")
    for part in (
        r"Status:\s+Running",
        r"Image:\s+busybox:1.35",
        r"Scheduled",
        r"Started\s.*kubelet",
        r"QoS Class:\s+BestEffort",
    ):
        assert re.search(part, said), said
    node = cluster.get("nodes")["items"][0]["metadata"]["name"]
    assert "KubeletReady" in cluster.kubectl("describe", "node", node)


def test_rollout_undo(cluster: Cluster, namespace: str) -> None:
    scoped = ["-n", namespace]
    cluster.kubectl(*scoped, "create", "deployment", "d", "--image=busybox:1.35", "--replicas=2", "--", "sleep", "3600")
    cluster.kubectl(*scoped, "rollout", "status", "deployment/d", "--timeout=45s")
    cluster.kubectl(*scoped, "set", "env", "deployment/d", "A=1")
    cluster.kubectl(*scoped, "rollout", "status", "deployment/d", "--timeout=60s")
    history = cluster.kubectl(*scoped, "rollout", "history", "deployment/d")
    assert re.findall(r"^(\d+)\s", history, re.M) == ["1", "2"]
    cluster.kubectl(*scoped, "rollout", "undo", "deployment/d")
    cluster.kubectl(*scoped, "rollout", "status", "deployment/d", "--timeout=60s")
    template = cluster.get(*scoped, "deployment", "d")["spec"]["template"]
    assert "env" not in template["spec"]["containers"][0]


def test_scale(cluster: Cluster, namespace: str) -> None:
    scoped = ["-n", namespace]
    cluster.kubectl(*scoped, "create", "deployment", "s", "--image=busybox:1.35", "--", "sleep", "3600")
    cluster.kubectl(*scoped, "scale", "deployment/s", "--replicas=3")
    eventually(lambda: cluster.get(*scoped, "deployment", "s")["status"].get("readyReplicas") == 3)
    cluster.kubectl(*scoped, "scale", "deployment/s", "--replicas=0")
    eventually(lambda: not cluster.get(*scoped, "pods")["items"])


def test_drain(cluster: Cluster) -> None:
    node = cluster.get("nodes")["items"][0]["metadata"]["name"]
    try:
        cluster.kubectl(
            "drain", node, "--ignore-daemonsets", "--force", "--delete-emptydir-data", "--timeout=90s", timeout=100
        )
        assert "SchedulingDisabled" in cluster.kubectl("get", "nodes")
        pending = eventually(lambda: cluster.get("pods", "-l", "app.kubernetes.io/name=hello")["items"])
        assert all(not p["spec"].get("nodeName") for p in pending)
        said = cluster.kubectl("get", "events", "--field-selector=reason=FailedScheduling")
        assert "0/1 nodes are available: 1 node(s) were unschedulable" in said
    finally:
        cluster.kubectl("uncordon", node)
    cluster.kubectl("rollout", "status", "deployment/hello", "--timeout=60s", timeout=70)


def test_get_shows_tables(cluster: Cluster) -> None:
    wide = cluster.kubectl("get", "pods", "-A", "-o", "wide")
    assert re.match(r"NAMESPACE +NAME +READY +STATUS +RESTARTS +AGE +IP +NODE +NOMINATED NODE +READINESS GATES", wide)
    assert re.search(r"hello-\S+ +1/1 +Running", wide)
    nodes = cluster.kubectl("get", "nodes")
    assert re.search(r"^\S+ +Ready +<none> +\S+ +v1\.36", nodes, re.M)


def test_watch_sees_changes(cluster: Cluster, namespace: str) -> None:
    command = [
        "kubectl",
        f"--kubeconfig={cluster.kubeconfig}",
        "-n",
        namespace,
        "get",
        "configmaps",
        "c",
        "-w",
        "-o",
        "name",
    ]
    cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(CONFIG))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as watch:
        try:
            assert watch.stdout
            assert watch.stdout.readline() == "configmap/c\n"
            time.sleep(0.2)
            cluster.kubectl("-n", namespace, "patch", "configmap", "c", "--type=merge", "-p", '{"data":{"z":"1"}}')
            assert watch.stdout.readline() == "configmap/c\n"
        finally:
            watch.terminate()


def test_auth_can_i(cluster: Cluster) -> None:
    assert cluster.kubectl("auth", "can-i", "create", "pods").strip() == "yes"
    refused = cluster.kubectl_process("auth", "can-i", "create", "pods", "--as=nobody")
    assert refused.stdout.strip() == "no"


def test_a_crd_is_served(cluster: Cluster, namespace: str) -> None:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "boats.example.test"},
        "spec": {
            "group": "example.test",
            "scope": "Namespaced",
            "names": {"plural": "boats", "kind": "Boat"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }
    boat = {"apiVersion": "example.test/v1", "kind": "Boat", "metadata": {"name": "b"}, "spec": {"size": 3}}
    try:
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(crd))
        cluster.kubectl("wait", "--for=condition=Established", "crd/boats.example.test", "--timeout=20s")
        cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=json.dumps(boat))
        assert cluster.get("-n", namespace, "boats", "b")["spec"] == {"size": 3}
        boat["spec"] = {"size": "big"}
        refused = cluster.kubectl_process(
            "-n", namespace, "apply", "-f", "-", "--validate=false", stdin=json.dumps(boat)
        )
        assert "spec.size: Invalid value" in refused.stderr
    finally:
        cluster.kubectl("delete", "crd", "boats.example.test")
    assert cluster.kubectl_process("-n", namespace, "get", "boats").returncode
