"""`kybern proxy` as a process beside an API server, both in the node's namespace; told what to do with curl."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.proxy.conftest import NODE_IP, PODS, Net, run

TOKEN = "proxy-test"
KYBERN = (sys.executable, "-m", "kybern")
POD_1, POD_2 = PODS.values()
PORT = 26443


def until(what: Callable[[], bool], said: Callable[[], str], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, said()
        time.sleep(0.05)


class Node:
    """The processes and what was said to them."""

    def __init__(self, net: Net, directory: Path) -> None:
        self.net, self.directory = net, directory
        (directory / "tokens").write_text(f'{TOKEN},admin,1,"system:masters"\n')
        config = {
            "clusters": [
                {"name": "c", "cluster": {"server": f"https://127.0.0.1:{PORT}", "insecure-skip-tls-verify": True}}
            ],
            "users": [{"name": "u", "user": {"token": TOKEN}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        (directory / "kubeconfig").write_text(json.dumps(config))

    @contextlib.contextmanager
    def process(self, name: str, *flags: str) -> Iterator[subprocess.Popen[bytes]]:
        with (self.directory / f"{name}.log").open("ab") as log:
            child = subprocess.Popen([*self.net.inside("node"), *KYBERN, name, *flags], stdout=log, stderr=log)
        try:
            yield child
        finally:
            child.terminate()
            child.wait(20)

    def proxy(self) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        kubeconfig = f"--kubeconfig={self.directory}/kubeconfig"
        return self.process("proxy", kubeconfig, "--cluster-cidr=10.244.0.0/16", "--hostname-override=node-a")

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text()

    def api(self, method: str, path: str, body: Any = None) -> str:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        head = ("-H", f"Authorization: Bearer {TOKEN}", "-H", f"Content-Type: {kind}")
        sent = ("-d", json.dumps(body)) if body is not None else ()
        url = f"https://127.0.0.1:{PORT}{path}"
        return run(*self.net.inside("node"), "curl", "-ksf", "-X", method, *head, *sent, url)

    def status(self, url: str) -> tuple[int, str]:
        said = run(*self.net.inside("node"), "curl", "-s", "-w", "\n%{http_code}", url, check=False)
        body, _, status = said.rpartition("\n")
        return int(status), body

    def reaches(self, port: int, address: str, who: str) -> bool:
        return self.net.get("client", address, port, timeout=0.5).startswith(who)


@pytest.fixture
def node(net: Net, tmp_path: Path) -> Iterator[Node]:
    made = Node(net, tmp_path)
    flags = (f"--data-dir={tmp_path}/data", f"--secure-port={PORT}", f"--token-auth-file={tmp_path}/tokens")
    with made.process("apiserver", *flags):
        ready = [*net.inside("node"), "curl", "-ksf", f"https://127.0.0.1:{PORT}/readyz"]
        until(
            lambda: subprocess.run(ready, capture_output=True, check=False).returncode == 0,
            lambda: made.log("apiserver"),
        )
        yield made


def slice_of(*addresses: str) -> dict[str, Any]:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
        "addressType": "IPv4",
        "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        "endpoints": [{"addresses": [a], "conditions": {"ready": True}, "nodeName": "node-a"} for a in addresses],
    }


def test_the_process_follows_the_api_and_cleans_up(node: Node) -> None:
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
    spec = {"type": "NodePort", "ports": [{"port": 80, "targetPort": 8080}]}
    one = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"}, "spec": spec}
    with node.proxy() as proxy:
        until(lambda: node.status("http://127.0.0.1:10256/healthz")[0] == 200, lambda: node.log("proxy"))
        made = json.loads(node.api("POST", "/api/v1/namespaces/default/services", one))["spec"]
        address, node_port = made["clusterIP"], made["ports"][0]["nodePort"]
        until(lambda: node.net.get("client", address, 80) == "refused", lambda: node.log("proxy"))
        node.api("POST", slices, slice_of(POD_1))
        until(lambda: node.reaches(80, address, "pod-1"), lambda: node.log("proxy"))
        node.api("PATCH", f"{slices}/web-1", slice_of(POD_2))
        until(lambda: node.reaches(80, address, "pod-2"), lambda: node.log("proxy"))
        # Node ports wait for the node to say where it is.
        meta = {"name": "node-a"}
        node.api("POST", "/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": meta})
        status = {"status": {"addresses": [{"type": "InternalIP", "address": NODE_IP}]}}
        node.api("PATCH", "/api/v1/nodes/node-a/status", status)
        until(lambda: node.reaches(node_port, NODE_IP, "pod-2"), lambda: node.log("proxy"))
        assert node.status("http://127.0.0.1:10249/proxyMode") == (200, "nftables")
        assert "kubeproxy_sync_proxy_rules_last_timestamp_seconds" in node.status("http://127.0.0.1:10249/metrics")[1]
        said = node.log("proxy")
        proxy.terminate()
        assert proxy.wait(20) == 0, said
    assert "synced services=1 endpoints=1 changed=" in said
    # Without a proxy the rules stay; only --cleanup takes them away.
    assert node.reaches(80, address, "pod-2")
    node.api("DELETE", f"{slices}/web-1")
    with node.proxy():
        until(lambda: node.net.get("client", address, 80) == "refused", lambda: node.log("proxy"))
    for _ in range(2):
        run(*node.net.inside("node"), *KYBERN, "proxy", "--cleanup")
        assert "kube-proxy" not in run(*node.net.inside("node"), "nft", "list", "tables")
