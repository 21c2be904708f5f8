"""What a user does with a fresh cluster, on real containers."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import psutil

from kybern.cluster.trace import HOPS
from tests.e2e.conftest import DATA_DIR, Cluster, eventually, kybern, pod
from tests.e2e.host_state import differences, snapshot


def sample_pods(cluster: Cluster) -> list[dict]:
    pods = cluster.get("pods", "-l", "app.kubernetes.io/name=hello")["items"]
    return [p for p in pods if not p["metadata"].get("deletionTimestamp")]


def is_ready(obj: dict) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in obj.get("status", {}).get("conditions", []))


def test_up_tells_the_life_of_the_deployment(cluster: Cluster) -> None:
    for hop in HOPS:
        assert re.search(rf"^  {hop} +\+\d+\.\d+ s", cluster.said, re.M), cluster.said
    assert str(DATA_DIR / "kubeconfig" / "admin.conf") in cluster.said


def test_the_sample_app_is_reached_by_name(cluster: Cluster, namespace: str) -> None:
    command = ["sh", "-c", "nslookup hello.default.svc.cluster.local && wget -qO- http://hello.default"]
    cluster.kubectl("-n", namespace, "apply", "-f", "-", stdin=as_json(pod("visitor", command, restartPolicy="Never")))
    eventually(lambda: cluster.get("-n", namespace, "pod", "visitor")["status"]["phase"] == "Succeeded")
    assert "hello from hello-" in cluster.kubectl("-n", namespace, "logs", "visitor")


def test_a_killed_container_restarts(cluster: Cluster) -> None:
    victim = sample_pods(cluster)[0]
    name = victim["metadata"]["name"]
    before = victim["status"]["containerStatuses"][0]["restartCount"]
    cluster.kubectl("exec", name, "--", "sh", "-c", "kill -9 1; kill -15 1")

    def restarted() -> bool:
        status = cluster.get("pod", name)["status"]["containerStatuses"][0]
        return status["restartCount"] == before + 1 and status["ready"]

    eventually(restarted)


def test_a_deleted_pod_is_replaced(cluster: Cluster) -> None:
    names = {p["metadata"]["name"] for p in sample_pods(cluster)}
    gone = names.pop()
    cluster.kubectl("delete", "pod", gone)
    now = eventually(lambda: [p for p in sample_pods(cluster) if is_ready(p)] if len(sample_pods(cluster)) == 3 else [])
    assert gone not in {p["metadata"]["name"] for p in now}


def test_a_rolling_update_loses_no_request(cluster: Cluster) -> None:
    address = cluster.get("service", "hello")["spec"]["clusterIP"]
    stop, failures, bodies = threading.Event(), [], set()

    def ask() -> None:
        while not stop.is_set():
            try:
                with urllib.request.urlopen(f"http://{address}/", timeout=5) as answer:
                    bodies.add(re.search(r"\((\w+)\)", answer.read().decode())[1])
            except OSError as error:
                failures.append(str(error))
            time.sleep(0.01)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        cluster.kubectl("set", "env", "deployment/hello", "VERSION=v2")
        cluster.kubectl("rollout", "status", "deployment/hello", "--timeout=90s", timeout=100)
        eventually(lambda: "v2" in bodies)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert bodies == {"v1", "v2"}


def test_killed_components_come_back_and_pods_stay(cluster: Cluster) -> None:
    started = {p["metadata"]["name"]: p["status"]["containerStatuses"][0]["containerID"] for p in sample_pods(cluster)}
    for name in ("apiserver", "kubelet", "containerd", "scheduler", "controller-manager", "proxy", "dns"):
        pid = int(re.search(r'"pid": (\d+)', (DATA_DIR / "run" / f"{name}.json").read_text())[1])
        psutil.Process(pid).kill()
    eventually(lambda: cluster.kubectl_process("get", "--raw", "/readyz").returncode == 0)
    cluster.kubectl("scale", "deployment", "hello", "--replicas=4")
    eventually(lambda: len([p for p in sample_pods(cluster) if is_ready(p)]) == 4)
    now = {p["metadata"]["name"]: p["status"]["containerStatuses"][0] for p in sample_pods(cluster)}
    assert {name: now[name]["containerID"] for name in started} == started
    cluster.kubectl("scale", "deployment", "hello", "--replicas=3")
    eventually(lambda: len(sample_pods(cluster)) == 3)


def test_up_again_is_the_same_cluster(cluster: Cluster) -> None:
    before = cluster.get("namespace", "kube-system")["metadata"]["uid"]
    kybern("up", "--no-sample")
    assert cluster.get("namespace", "kube-system")["metadata"]["uid"] == before
    assert "is Ready" in kybern("status").stdout


def test_a_static_pod_has_a_mirror(cluster: Cluster) -> None:
    manifest = DATA_DIR / "manifests" / "static.yaml"
    manifest.write_text(as_json(pod("static", ["sleep", "3600"])))
    node = cluster.get("nodes")["items"][0]["metadata"]["name"]
    eventually(lambda: is_ready(cluster.get("pod", f"static-{node}")))
    manifest.unlink()
    eventually(lambda: cluster.kubectl_process("get", "pod", f"static-{node}").returncode)


def test_changes_are_written_down(cluster: Cluster) -> None:
    cluster.kubectl("create", "configmap", "audited")
    lines = [json.loads(line) for line in (DATA_DIR / "logs" / "audit.log").read_text().splitlines()]
    found = [line for line in lines if line.get("objectRef", {}).get("name") == "audited"]
    assert [(line["verb"], line["user"]["username"], line["responseStatus"]["code"]) for line in found] == [
        ("create", "kubernetes-admin", 201)
    ]
    assert (DATA_DIR / "logs" / "audit.log").stat().st_mode & 0o077 == 0


def test_an_image_can_be_loaded(cluster: Cluster, tmp_path: Path) -> None:
    from kybern.cluster.oci import Layer, write_archive, write_layer

    layer = write_layer(lambda: Layer(texts={"hello.txt": b"hi"}), tmp_path, "stamp")
    write_archive(tmp_path / "image.tar", ["example.test/made:1"], [layer], {"Cmd": ["/none"]})
    kybern("image", "load", str(tmp_path / "image.tar"))
    assert "example.test/made:1" in kybern("image", "ls").stdout


def test_host_commands_fail_in_one_line(cluster: Cluster, tmp_path: Path) -> None:
    bad = kybern("image", "load", str(tmp_path / "missing.tar"), check=False)
    assert (bad.returncode, bad.stderr.count("\n")) == (1, 1)
    command = ["kubectl", "--kubeconfig", cluster.kubeconfig, "--server", "https://127.0.0.1:1", "get", "pods"]
    assert subprocess.run(command, capture_output=True, check=False).returncode


def test_down_leaves_nothing_on_the_host(cluster: Cluster) -> None:
    kybern("down")
    assert differences(cluster.before, snapshot()) == {}
    assert not DATA_DIR.exists()
    assert kybern("down").returncode == 0


def as_json(obj: dict) -> str:
    return json.dumps(obj)
