"""Services, names and ports, from pods and from the node."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
import urllib.request
from typing import Any

import psutil
import pytest

from tests.e2e.conftest import DATA_DIR, Cluster, eventually, kybern, pod
from tests.e2e.test_cluster import is_ready, sample_pods

SERVE = "echo $HOSTNAME > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"


def web(name: str, **spec: Any) -> dict[str, Any]:
    """A pod that answers with its name, labelled `app: web`."""
    ports = [{"name": "http", "containerPort": 8080, **spec.pop("port", {})}]
    probe = {"tcpSocket": {"port": "http"}, "periodSeconds": 1}
    made = pod(name, ["sh", "-c", SERVE], container={"ports": ports, "readinessProbe": probe}, **spec)
    made["metadata"]["labels"] = {"app": "web"}
    return made


def service(name: str, **spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": "web"}, "ports": ports, **spec},
    }


@pytest.fixture
def client(cluster: Cluster, namespace: str) -> str:
    """A namespace with two web pods and a pod to ask from."""
    for made in (web("web-1"), web("web-2"), pod("client", ["sleep", "3600"])):
        cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(made))
    cluster.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
    return namespace


def create(cluster: Cluster, namespace: str, obj: dict[str, Any]) -> None:
    cluster.kubectl("-n", namespace, "create", "-f", "-", stdin=json.dumps(obj))


def ask(cluster: Cluster, namespace: str, script: str) -> str:
    return cluster.kubectl_process("-n", namespace, "exec", "client", "--", "sh", "-c", script).stdout.strip()


def many(cluster: Cluster, namespace: str, url: str, count: int = 20) -> set[str]:
    said = ask(cluster, namespace, f"for i in $(seq {count}); do timeout 3 wget -qO- {url} || echo none; done")
    return set(said.split())


def test_a_service_spreads_over_its_pods(cluster: Cluster, client: str) -> None:
    create(cluster, client, service("web"))
    eventually(lambda: many(cluster, client, "http://web") == {"web-1", "web-2"})
    cluster.kubectl("-n", client, "delete", "pod", "web-2")
    eventually(lambda: many(cluster, client, "http://web") == {"web-1"})


def test_session_affinity_keeps_a_client_at_one_pod(cluster: Cluster, client: str) -> None:
    create(cluster, client, service("sticky", sessionAffinity="ClientIP"))
    eventually(lambda: "web" in ask(cluster, client, "timeout 3 wget -qO- http://sticky"))
    assert len(many(cluster, client, "http://sticky")) == 1


def test_a_node_port_answers_on_the_node(cluster: Cluster, client: str) -> None:
    create(cluster, client, service("outside", type="NodePort"))
    port = cluster.get("-n", client, "service", "outside")["spec"]["ports"][0]["nodePort"]
    address = next(
        a["address"] for a in cluster.get("nodes")["items"][0]["status"]["addresses"] if a["type"] == "InternalIP"
    )

    def answers() -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{address}:{port}/", timeout=2) as answer:
            return bool(answer.read().startswith(b"web-"))
        return False

    eventually(answers)


def test_a_host_port_answers_on_the_node(cluster: Cluster, client: str) -> None:
    create(cluster, client, web("hosted", port={"hostPort": 28080}))
    cluster.kubectl("-n", client, "wait", "--for=condition=Ready", "pod/hosted", "--timeout=45s")
    address = cluster.get("-n", client, "pod", "hosted")["status"]["hostIP"]
    assert eventually(lambda: ask(cluster, client, f"timeout 3 wget -qO- http://{address}:28080")) == "hosted"


def test_a_service_without_pods_refuses_at_once(cluster: Cluster, client: str) -> None:
    create(cluster, client, service("empty", selector={"app": "none"}))
    began = time.monotonic()
    said = eventually(lambda: ask(cluster, client, "timeout 3 wget -qO- http://empty 2>&1 | grep refused"))
    assert "refused" in said
    assert time.monotonic() - began < 20


def test_names(cluster: Cluster, client: str) -> None:
    create(cluster, client, service("web"))
    create(cluster, client, service("each", clusterIP="None"))
    create(cluster, client, {**service("alias"), "spec": {"type": "ExternalName", "externalName": "other.example"}})
    named = pod("named", ["sleep", "3600"], hostname="box", subdomain="each")
    named["metadata"]["labels"] = {"app": "web"}
    create(cluster, client, named)
    cluster.kubectl("-n", client, "wait", "--for=condition=Ready", "pod/named", "--timeout=45s")
    domain = f"{client}.svc.cluster.local"
    address = cluster.get("-n", client, "service", "web")["spec"]["clusterIP"]
    dns = cluster.get("-n", "kube-system", "service", "kube-dns")["spec"]["clusterIP"]
    ips = {p["status"]["podIP"] for p in cluster.get("-n", client, "pods", "-l", "app=web")["items"]}

    def dig(*question: str) -> list[str]:
        command = ["dig", f"@{dns}", "+short", "+time=2", "+tries=1", *question]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.split("\n")[:-1]

    assert eventually(lambda: dig(f"web.{domain}")) == [address]
    eventually(lambda: set(dig(f"each.{domain}")) == ips)
    box = cluster.get("-n", client, "pod", "named")["status"]["podIP"]
    assert eventually(lambda: dig(f"box.each.{domain}")) == [box]
    assert dig("-t", "SRV", f"_http._tcp.web.{domain}") == [f"0 100 80 web.{domain}."]
    assert dig("-x", address) == [f"web.{domain}."]
    assert dig("-t", "CNAME", f"alias.{domain}") == ["other.example."]
    assert dig("+tcp", f"web.{domain}") == [address]
    assert address in ask(cluster, client, "nslookup web")


def test_after_a_reboot_up_brings_everything_back(cluster: Cluster) -> None:
    """As far as a test can reboot: every process of the cluster and of its pods is killed, their namespaces go."""
    before = cluster.get("namespace", "kube-system")["metadata"]["uid"]
    containers = {p["status"]["containerStatuses"][0]["containerID"] for p in sample_pods(cluster)}
    supervisor = psutil.Process(json.loads((DATA_DIR / "run" / "supervisor.json").read_text())["pid"])
    everything = [supervisor, *supervisor.children(recursive=True), *shims()]
    for process in everything:
        with contextlib.suppress(psutil.Error):
            for child in process.children(recursive=True):
                child.send_signal(signal.SIGKILL)
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(everything, 10)
    for path in (DATA_DIR / "run").rglob("*"):
        if path.is_socket():
            os.unlink(path)
    kybern("up", "--no-sample")
    assert cluster.get("namespace", "kube-system")["metadata"]["uid"] == before

    def back() -> bool:
        found = sample_pods(cluster)
        now = {p["status"]["containerStatuses"][0].get("containerID") for p in found}
        return len(found) == 3 and all(is_ready(p) for p in found) and not now & containers

    eventually(back, seconds=60)
    address = cluster.get("service", "hello")["spec"]["clusterIP"]

    def answers() -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{address}/", timeout=2) as answer:
            return answer.status == 200
        return False

    eventually(answers)


def shims() -> list[psutil.Process]:
    """containerd's shims of this cluster: what holds its containers."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "containerd-shim" in " ".join(line[:1]) and any(str(DATA_DIR) in word for word in line):
            found.append(process)
    return found
