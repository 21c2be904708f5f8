"""Services of type LoadBalancer on a fresh cluster: HAProxy on this machine, asked by curl and dig."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.e2e.conftest import Cluster, eventually, pod

Service = Callable[..., dict[str, Any]]
HELLO = {"selector": {"app.kubernetes.io/name": "hello"}, "ports": [{"port": 80, "targetPort": 8080}]}


@pytest.fixture
def service(cluster: Cluster) -> Iterator[Service]:
    """Makes Services, and gives them once they have an address."""
    names: list[str] = []

    def make(name: str, **spec: Any) -> dict[str, Any]:
        meta = {"name": name, "namespace": "default"}
        kind = {"apiVersion": "v1", "kind": "Service", "metadata": meta}
        names.append(name)
        cluster.apply({**kind, "spec": {"type": "LoadBalancer", **spec}})
        return eventually(lambda: address(found := cluster.get("service", name)) and found)

    yield make
    for name in names:
        cluster.kubectl("delete", "service", name, "--ignore-not-found")


def address(service: dict[str, Any]) -> str:
    ingress = service["status"].get("loadBalancer", {}).get("ingress", [])
    return ingress[0]["ip"] if ingress else ""


def curl(ip: str) -> str:
    """What answers there, or nothing."""
    command = ["curl", "-s", "--noproxy", "*", "--max-time", "3", f"http://{ip}/"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def held() -> str:
    """The machine's addresses."""
    return subprocess.run(["ip", "-4", "-brief", "address"], capture_output=True, text=True, check=True).stdout


def test_an_address_answers_the_machine_and_pods(cluster: Cluster, namespace: str, service: Service) -> None:
    made = service("front", **HELLO)
    assert made["status"]["loadBalancer"]["ingress"] == [{"ip": address(made), "ipMode": "Proxy"}]
    eventually(lambda: "hello from hello-" in curl(address(made)))
    command = ["wget", "-qO-", f"http://{address(made)}"]
    cluster.apply(
        {**pod("visitor", command, restartPolicy="Never"), "metadata": {"name": "visitor", "namespace": namespace}}
    )
    eventually(lambda: "hello from hello-" in cluster.kubectl("-n", namespace, "logs", "visitor", check=False))
    reasons = {
        event["reason"] for event in cluster.get("events", "--field-selector=involvedObject.name=front")["items"]
    }
    assert {"EnsuringLoadBalancer", "EnsuredLoadBalancer"} <= reasons


def test_deletion_frees_the_address(cluster: Cluster, service: Service) -> None:
    first = address(service("first", **HELLO))
    assert f" {first}/32" in held()
    cluster.kubectl("delete", "service", "first", timeout=20)
    assert f" {first}/32" not in held()
    assert address(service("second", **HELLO)) == first
    eventually(lambda: "hello" in curl(first))


def test_source_ranges_keep_others_out(cluster: Cluster, service: Service) -> None:
    """A connection within the machine comes from the address that it goes to."""
    ip = address(service("guarded", **HELLO, loadBalancerSourceRanges=["203.0.113.0/24"]))
    open_to = json.dumps({"spec": {"loadBalancerSourceRanges": [f"{ip}/32"]}})
    assert curl(ip) == ""
    cluster.kubectl("patch", "service", "guarded", "-p", open_to)
    eventually(lambda: "hello" in curl(ip))


def test_datagrams_are_carried_too(cluster: Cluster, service: Service) -> None:
    """The cluster's own DNS server, for all to ask."""
    servers = cluster.get("-n", "kube-system", "endpointslice", "kube-dns-node")
    meta = {"name": "names-1", "namespace": "default", "labels": {"kubernetes.io/service-name": "names"}}
    kind = {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": meta, "addressType": "IPv4"}
    ports = [{**port, "name": ""} for port in servers["ports"] if port["protocol"] == "UDP"]
    cluster.apply({**kind, "endpoints": servers["endpoints"], "ports": ports})
    ip = address(service("names", ports=[{"port": 53, "protocol": "UDP"}]))
    wanted = cluster.get("service", "kubernetes")["spec"]["clusterIP"]
    command = ["dig", f"@{ip}", "+short", "+time=1", "+tries=1", "kubernetes.default.svc.cluster.local"]

    def answer() -> str:
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    eventually(lambda: answer() == wanted)
    cluster.kubectl("delete", "endpointslice", "names-1")
