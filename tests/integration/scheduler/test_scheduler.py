"""`kybern scheduler` beside an API server, as kubectl sees it."""

from __future__ import annotations

import json
import re
import ssl
import urllib.request
from pathlib import Path

import pytest
import yaml

from kybern.apiserver import selfmade
from tests.integration.scheduler.conftest import Cluster


def test_pods_are_bound_and_said_so(cluster: Cluster) -> None:
    cluster.node("a", cpu="1")
    cluster.node("b")
    scheduler = cluster.scheduler()
    cluster.pod("p", cpu="2")
    assert cluster.bound("p") == "b"
    namespace = cluster.kubectl.namespace
    assert cluster.told("p", "Scheduled") == [f"Successfully assigned {namespace}/p to b"]
    described = cluster.kubectl.out("describe", "pod", "p")
    assert re.search(r"Normal +Scheduled +\S+ +default-scheduler +Successfully assigned", described)
    assert re.search(r"PodScheduled +True", described)
    assert f"pod={namespace}/p node=b evaluated=2 feasible=1" in scheduler.log.read_text()


def test_why_a_pod_fits_nowhere_and_what_mends_it(cluster: Cluster) -> None:
    cluster.node("a", taint="dedicated=gpu:NoSchedule")
    cluster.node("b", cpu="1")
    cluster.node("c", cpu="1")
    cluster.scheduler()
    cluster.pod("p", cpu="2")
    text = (
        "0/3 nodes are available: 1 node(s) had untolerated taint(s), 2 Insufficient cpu. "
        "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    )
    assert cluster.told("p", "FailedScheduling") == [text]
    described = cluster.kubectl.out("describe", "pod", "p")
    assert re.search(r"Warning +FailedScheduling +\S+ +default-scheduler +" + re.escape(text), described)
    condition = cluster.kubectl.get("pod", "p")["status"]["conditions"][0]
    said = {name: condition[name] for name in ("type", "status", "reason", "message", "observedGeneration")}
    assert said == {
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": text, "observedGeneration": 1
    }  # fmt: skip
    assert cluster.kubectl.out("get", "pod", "p", "--no-headers").split()[2] == "Pending"
    cluster.allocatable("c", "2")
    assert cluster.bound("p") == "c"


def test_removed_taint_and_uncordoned_node_take_pods_in(cluster: Cluster) -> None:
    cluster.node("a", taint="k=v:NoSchedule")
    cluster.scheduler()
    cluster.pod("first")
    cluster.told("first", "FailedScheduling")
    cluster.kubectl.run("taint", "node", "a", "k-")
    assert cluster.bound("first") == "a"
    cluster.kubectl.run("cordon", "a")
    cluster.pod("second")
    (text,) = cluster.told("second", "FailedScheduling")
    assert text.startswith("0/1 nodes are available: 1 node(s) were unschedulable.")
    cluster.kubectl.run("uncordon", "a")
    assert cluster.bound("second") == "a"


def test_deleted_pod_makes_room(cluster: Cluster) -> None:
    cluster.node("a", cpu="1")
    cluster.scheduler()
    cluster.pod("first", cpu="800m")
    assert cluster.bound("first") == "a"
    cluster.pod("second", cpu="800m")
    (text,) = cluster.told("second", "FailedScheduling")
    assert text == (
        "0/1 nodes are available: 1 Insufficient cpu. "
        "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
    )
    cluster.kubectl.run("delete", "pod", "first", "--force")
    assert cluster.bound("second") == "a"


def test_affinity_and_host_ports(cluster: Cluster) -> None:
    cluster.node("a", disk="ssd")
    cluster.node("b")
    cluster.scheduler()
    container = {"name": "c", "image": "app:1", "ports": [{"containerPort": 80, "hostPort": 8080}]}
    for name in ("first", "second"):
        cluster.pod(name, containers=[container])
    assert {cluster.bound("first"), cluster.bound("second")} == {"a", "b"}
    cluster.pod("third", containers=[container], nodeSelector={"disk": "ssd"})
    (text,) = cluster.told("third", "FailedScheduling")
    assert text.startswith(
        "0/2 nodes are available: 1 node(s) didn't have free ports for the requested pod ports, "
        "1 node(s) didn't match Pod's node affinity/selector."
    )
    cluster.kubectl.run("label", "node", "b", "disk=hdd")
    cluster.pod("fourth", nodeSelector={"disk": "hdd"})
    assert cluster.bound("fourth") == "b"


def test_gated_and_foreign_pods_are_left_alone(cluster: Cluster) -> None:
    cluster.node("a")
    scheduler = cluster.scheduler()
    cluster.pod("gated", schedulingGates=[{"name": "example.com/quota"}])
    cluster.pod("foreign", schedulerName="another")
    cluster.pod("ours")
    assert cluster.bound("ours") == "a"
    assert cluster.kubectl.out("get", "pod", "gated", "--no-headers").split()[2] == "SchedulingGated"
    assert 'scheduler_pending_pods{queue="gated"} 1.0' in scheduler.answer("/metrics")
    cluster.kubectl.run("patch", "pod", "gated", "-p", json.dumps({"spec": {"schedulingGates": None}}))
    assert cluster.bound("gated") == "a"
    assert cluster.node_of("foreign") == ""
    listed = cluster.kubectl.get("events", "--field-selector", "involvedObject.name=foreign")
    assert listed["items"] == []


def test_pods_of_each_profile(cluster: Cluster) -> None:
    cluster.node("a", taint="k=v:NoSchedule")
    profiles = [
        {"schedulerName": "default-scheduler"},
        {"schedulerName": "lenient", "plugins": {"multiPoint": {"disabled": [{"name": "TaintToleration"}]}}},
    ]
    config = cluster.directory / "config.yaml"
    head = {"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "KubeSchedulerConfiguration"}
    config.write_text(yaml.safe_dump({**head, "profiles": profiles, "leaderElection": {"leaderElect": False}}))
    cluster.scheduler("--config", str(config))
    cluster.pod("strict")
    cluster.pod("easy", schedulerName="lenient")
    assert cluster.bound("easy") == "a"
    cluster.told("strict", "FailedScheduling")
    (event,) = cluster.kubectl.get("events", "--field-selector", "reason=Scheduled")["items"]
    assert event["source"]["component"] == "lenient"


def test_wrong_configuration_ends_it_with_one_line(cluster: Cluster) -> None:
    config = cluster.directory / "config.yaml"
    config.write_text("apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nextenders: []\n")
    scheduler = cluster.scheduler("--config", str(config), wait=False)
    assert scheduler.process.wait(20) == 1
    assert scheduler.log.read_text() == f"kybern: {config}: field extenders is not supported; remove it\n"


@pytest.mark.parametrize("ending", ["terminate", "kill"])
def test_standby_takes_over(cluster: Cluster, ending: str) -> None:
    cluster.node("a")
    flags = (
        "--leader-elect-lease-duration=4s", "--leader-elect-renew-deadline=3s",
        "--leader-elect-retry-period=200ms", f"--leader-elect-resource-name=lease-{ending}",
    )  # fmt: skip
    first = cluster.scheduler(*flags)
    cluster.pod("one")
    assert cluster.bound("one") == "a"
    second = cluster.scheduler(*flags)
    holder = ("get", "lease", "-n", "kube-system", f"lease-{ending}", "-o", "jsonpath={.spec.holderIdentity}")
    was = cluster.kubectl.out(*holder)
    assert f"_{first.process.pid}_" in was
    assert second.answer("/healthz") == "ok", "a standby is well"
    cluster.pod("two")
    assert cluster.bound("two") == "a"
    assert "bound pod" not in second.log.read_text()
    getattr(first.process, ending)()
    first.process.wait(20)
    cluster.pod("three")
    assert cluster.bound("three") == "a"
    assert f"_{second.process.pid}_" in cluster.kubectl.out(*holder)


def test_health_and_metrics_over_tls(cluster: Cluster, tmp_path: Path) -> None:
    certificate, key = selfmade.serving_certificate(tmp_path, ["127.0.0.1"])
    flags = ("--tls-cert-file", str(certificate), "--tls-private-key-file", str(key), "--leader-elect=false")
    scheduler = cluster.scheduler(*flags, wait=False)
    trusting = ssl.create_default_context(cafile=str(certificate))

    def answer(path: str) -> str:
        try:
            url = f"https://127.0.0.1:{scheduler.port}{path}"
            with urllib.request.urlopen(url, context=trusting, timeout=5) as said:
                return str(said.read().decode())
        except OSError:
            return ""

    cluster.kubectl.until(lambda: answer("/readyz") == "ok", "the scheduler is ready")
    assert "[+]informer-sync ok" in answer("/readyz?verbose")
    cluster.node("a")
    cluster.pod("p")
    cluster.bound("p")
    counted = 'scheduler_schedule_attempts_total{profile="default-scheduler",result="scheduled"} 1.0'
    cluster.kubectl.until(lambda: counted in answer("/metrics"), "the attempt is counted")
