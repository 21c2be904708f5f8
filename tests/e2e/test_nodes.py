"""Five nodes and three control planes on one machine: what goes wrong, and how soon the cluster is well again.

Each fault prints its seconds to recovery. These tests come first, as only one cluster fits a machine.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kybern.cluster import machines
from tests.e2e import conftest
from tests.e2e.conftest import NODES_DIR, ROOT, Cluster, eventually, pod
from tests.e2e.host_state import differences, snapshot

CONTROL_PLANES, WORKERS = ("node-1", "node-2", "node-3"), ("node-4", "node-5")


class Nodes(Cluster):
    """A cluster of nodes in namespaces."""

    @property
    def kubeconfig(self) -> str:
        return str(NODES_DIR / "kubeconfig" / "admin.conf")

    def node(self, *words: str) -> str:
        return kybern("node", *words).stdout

    def ready(self) -> dict[str, str]:
        """Name -> status of the Ready condition."""
        found = {}
        for node in self.get("nodes")["items"]:
            conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]}
            found[node["metadata"]["name"]] = conditions["Ready"]
        return found

    def answers(self) -> bool:
        return self.kubectl_process("get", "--raw", "/readyz", "--request-timeout=2s", timeout=10).returncode == 0


def kybern(*words: str, check: bool = True) -> Any:
    """A command on this cluster's data directory."""
    return conftest.kybern(*words, check=check, data_dir=NODES_DIR)


@pytest.fixture(scope="module")
def nodes(host: None) -> Iterator[Nodes]:
    before = snapshot()
    try:
        up = kybern("up", f"--image-dir={ROOT}/build/images", "--nodes=5", "--control-planes=3")
        yield Nodes(before, up.stdout)
    finally:
        kybern("down", check=False)


def recovered(what: str, check: Callable[[], Any], seconds: float = 60) -> None:
    """Wait until `check` is true and print how long that took."""
    began = time.monotonic()
    eventually(check, seconds)
    print(f"\n{what}: {time.monotonic() - began:.1f} s")


def leader(nodes: Nodes, of: str) -> str:
    """The node whose copy of a component acts."""
    holder = nodes.get("-n", "kube-system", "lease", of)["spec"].get("holderIdentity") or ""
    return str(holder.partition("_")[0])


def web(name: str, replicas: int) -> list[dict[str, Any]]:
    """A Deployment whose pods leave a lost node soon, and its Service."""
    serve = "echo $HOSTNAME > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"
    template = pod(name, ["sh", "-c", serve])
    reasons = ("not-ready", "unreachable")
    template["spec"]["tolerations"] = [
        {"key": f"node.kubernetes.io/{why}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2}
        for why in reasons
    ]
    template["spec"]["containers"][0]["readinessProbe"] = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    labels = {"app": name}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": template["spec"]},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    return [deployment, service]


def ready_pods(nodes: Nodes, app: str) -> list[dict[str, Any]]:
    found = []
    for item in nodes.get("pods", "-l", f"app={app}")["items"]:
        conditions = {c["type"]: c["status"] for c in item.get("status", {}).get("conditions", [])}
        if conditions.get("Ready") == "True" and not item["metadata"].get("deletionTimestamp"):
            found.append(item)
    return found


def test_up_makes_them_all_ready(nodes: Nodes) -> None:
    assert nodes.ready() == dict.fromkeys((*CONTROL_PLANES, *WORKERS), "True")
    roles = nodes.kubectl("get", "nodes", "-l", "node-role.kubernetes.io/control-plane", "-o", "name").split()
    assert roles == [f"node/{name}" for name in CONTROL_PLANES]
    listed = nodes.node("ls")
    assert listed.count("running") == 5
    for name in WORKERS:
        assert nodes.node("exec", name, "--", "hostname").strip() == name


def test_pods_reach_each_other_across_nodes(nodes: Nodes) -> None:
    nodes.apply(*web("spread", 2))
    for name in WORKERS:
        nodes.kubectl("create", "-f", "-", stdin=json.dumps(pod(f"client-{name}", ["sleep", "3600"], nodeName=name)))
    nodes.kubectl("wait", "--for=condition=Ready", "pod", "--all", "--timeout=60s", "--selector=app")
    addresses = [item["status"]["podIP"] for item in ready_pods(nodes, "spread")]
    for name in WORKERS:
        for target in (*[f"{address}:8080" for address in addresses], "spread"):
            ask = ["exec", f"client-{name}", "--", "timeout", "3", "wget", "-qO-", f"http://{target}"]
            eventually(lambda ask=ask: "spread" in nodes.kubectl(*ask))


def test_etcdctl_and_kubectl_agree(nodes: Nodes) -> None:
    nodes.kubectl("create", "configmap", "agreed", "--from-literal=a=b")
    pki = NODES_DIR / "nodes" / "node-2" / "pki" / "etcd"
    command = (
        f"env ETCDCTL_API=3 etcdctl --endpoints=https://10.89.0.12:2379 --cacert={pki}/ca.crt --cert={pki}/client.crt "
        f"--key={pki}/client.key get --print-value-only /registry/configmaps/default/agreed"
    )
    stored = json.loads(nodes.node("exec", "node-2", "--", *command.split()))
    assert stored["data"] == nodes.get("configmap", "agreed")["data"] == {"a": "b"}
    refused = kybern(
        "node", "exec", "node-4", "--", "etcdctl", "--endpoints=https://10.89.0.12:2379", "get", "x", check=False
    )
    assert refused.returncode, "etcd answers only to its own certificates"


def test_a_lost_control_plane_is_made_up_for(nodes: Nodes) -> None:
    """The one whose controllers act: its etcd member, its API server and its leases go with it."""
    victim = leader(nodes, "kube-controller-manager")
    written: list[str] = []
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            name = f"w-{number}"
            done = nodes.kubectl_process("create", "configmap", name, "--request-timeout=5s", timeout=20)
            if done.returncode == 0:
                written.append(name)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        eventually(lambda: len(written) > 3)
        nodes.node("stop", victim)
        recovered("kubectl works again after the loss of a control plane", nodes.answers, 20)
        count = len(written)
        recovered("writes go on", lambda: len(written) > count + 3, 30)
    finally:
        stop.set()
        writer.join()
    kept = {item["metadata"]["name"] for item in nodes.get("configmaps")["items"]}
    assert set(written) <= kept, "an acknowledged write is gone"
    recovered(
        "another controller manager acts", lambda: leader(nodes, "kube-controller-manager") not in ("", victim), 40
    )
    nodes.kubectl("create", "deployment", "after", "--image=busybox:1.35", "--replicas=1", "--", "sleep", "3600")
    recovered("a new Deployment has its pod", lambda: ready_pods(nodes, "after"), 40)
    nodes.node("start", victim)
    recovered(
        f"{victim} is back", lambda: nodes.ready().get(victim) == "True" and "stopped" not in nodes.node("ls"), 60
    )


@pytest.mark.timeout(240)
def test_pods_of_a_lost_worker_move(nodes: Nodes) -> None:
    nodes.apply(*web("moving", 4))
    eventually(lambda: len(ready_pods(nodes, "moving")) == 4)
    nodes.node("stop", "node-5")
    recovered("the lost worker is noticed", lambda: nodes.ready()["node-5"] != "True", 90)

    def moved() -> bool:
        found = ready_pods(nodes, "moving")
        return len(found) == 4 and {item["spec"]["nodeName"] for item in found} == {"node-4"}

    recovered("its pods run elsewhere", moved, 60)
    script = "for i in 1 2 3 4 5 6 7 8; do timeout 3 wget -qO- http://moving || echo none; done"
    said = nodes.kubectl("exec", "client-node-4", "--", "sh", "-c", script).split()
    assert "none" not in said, "the Service still sends to dead pods"
    nodes.node("start", "node-5")
    recovered("the worker is back", lambda: nodes.ready()["node-5"] == "True", 60)


def test_a_cut_off_and_a_paused_worker_come_back(nodes: Nodes) -> None:
    for fault, mend, state in (("partition", "heal", "partitioned"), ("pause", "start", "paused")):
        nodes.node(fault, "node-5")
        assert state in nodes.node("ls")
        nodes.node(mend, "node-5")
        nodes.kubectl(
            "create", "-f", "-", stdin=json.dumps(pod(f"after-{fault}", ["sleep", "3600"], nodeName="node-5"))
        )
        recovered(
            f"a pod starts on a worker after {fault} and {mend}",
            lambda: ready_pods(nodes, f"after-{fault}"),  # noqa: B023
            60,
        )


def test_a_worker_more_and_one_less(nodes: Nodes) -> None:
    nodes.node("add", "extra", f"--image-dir={ROOT}/build/images")
    assert nodes.ready()["extra"] == "True"
    nodes.kubectl("create", "-f", "-", stdin=json.dumps(pod("on-extra", ["sleep", "3600"], nodeName="extra")))
    eventually(lambda: ready_pods(nodes, "on-extra"))
    nodes.node("rm", "extra")
    assert "extra" not in nodes.ready()
    assert not machines.processes("extra")
    for words in (("rm", "node-1"), ("stop", "none"), ("add", "node-4"), ("add", "Bad_Name")):
        done = kybern("node", *words, check=False)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)


def test_up_again_brings_the_nodes_back(nodes: Nodes) -> None:
    before = nodes.get("namespace", "kube-system")["metadata"]["uid"]
    kept = {item["metadata"]["name"] for item in nodes.get("configmaps")["items"]}
    kybern("down", "--keep-data")
    began = time.monotonic()
    kybern("up", f"--image-dir={ROOT}/build/images", "--no-sample")
    print(f"\neverything stopped and started: {time.monotonic() - began:.1f} s")
    assert nodes.get("namespace", "kube-system")["metadata"]["uid"] == before
    assert {item["metadata"]["name"] for item in nodes.get("configmaps")["items"]} == kept
    assert set(nodes.ready().values()) == {"True"}


def test_down_takes_the_nodes_away(nodes: Nodes) -> None:
    kybern("down")
    assert differences(nodes.before, snapshot()) == {}
