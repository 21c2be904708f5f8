"""Endpoints of a Service: which pods, in which subsets, how many."""

import pytest

from kybern.controllers import services
from kybern.controllers.endpoints import desired
from tests.unit.controllers.objects import ago, pod, service

NAMED = [{"name": "http", "port": 80, "targetPort": "http"}, {"name": "admin", "port": 81, "targetPort": "admin"}]


def offering(name, ip, **ports):
    offered = [{"name": port, "containerPort": number} for port, number in ports.items()]
    return pod(name, ip=ip, containers=[{"name": "c", "image": "i", "ports": offered}])


def ips(addresses):
    return [one["ip"] for one in addresses]


def test_pods_are_ready_or_not():
    made = desired(service(), [pod("b", ip="10.0.0.2"), pod("a", ip="10.0.0.1"), pod("c", ip="10.0.0.3", ready=False)])
    (subset,) = made["subsets"]
    assert ips(subset["addresses"]) == ["10.0.0.1", "10.0.0.2"]
    assert ips(subset["notReadyAddresses"]) == ["10.0.0.3"]
    assert subset["ports"] == [{"port": 80, "protocol": "TCP"}]
    assert subset["addresses"][0] == {
        "ip": "10.0.0.1",
        "nodeName": "n",
        "targetRef": {"kind": "Pod", "namespace": "default", "name": "a", "uid": "uid-a"},
    }
    labels = {"team": "a", "endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    assert made["metadata"] == {"name": "web", "namespace": "default", "labels": labels}


def test_finished_and_leaving_pods_and_those_without_address_are_left_out():
    chosen = [pod("a", phase="Succeeded"), pod("b", phase="Failed"), pod("c", going=True), pod("d", ip="")]
    assert "subsets" not in desired(service(), chosen)


def test_publishing_what_is_not_ready_makes_all_ready_even_what_leaves():
    chosen = [pod("a", ready=False), pod("b", ip="10.0.0.2", going=True), pod("c", phase="Failed", ip="10.0.0.3")]
    (subset,) = desired(service(publishNotReadyAddresses=True), chosen)["subsets"]
    assert ips(subset["addresses"]) == ["10.0.0.1", "10.0.0.2"]
    assert "notReadyAddresses" not in subset


def test_equal_ports_share_a_subset():
    chosen = [offering("a", "10.0.0.1", http=8080, admin=9), offering("b", "10.0.0.2", http=8080, admin=9)]
    (subset,) = desired(service(ports=NAMED), chosen)["subsets"]
    assert [(one["name"], one["port"]) for one in subset["ports"]] == [("admin", 9), ("http", 8080)]
    assert ips(subset["addresses"]) == ["10.0.0.1", "10.0.0.2"]


def test_ports_that_other_hosts_offer_are_another_subset():
    """A port's hosts are listed together, not a host's ports: so says whoever reads it port by port."""
    chosen = [
        offering("a", "10.0.0.1", http=8080, admin=9),
        offering("b", "10.0.0.2", http=8080),
        offering("c", "10.0.0.3", http=8081),
        offering("d", "10.0.0.4", other=1),
    ]
    subsets = desired(service(ports=NAMED), chosen)["subsets"]
    found = {(one["ports"][0]["name"], one["ports"][0]["port"]): ips(one["addresses"]) for one in subsets}
    assert len(subsets) == 3
    assert found == {
        ("admin", 9): ["10.0.0.1"],
        ("http", 8080): ["10.0.0.1", "10.0.0.2"],
        ("http", 8081): ["10.0.0.3"],
    }


def test_a_headless_service_needs_no_ports():
    (subset,) = (made := desired(service(ports=[], clusterIP="None"), [pod("a")]))["subsets"]
    assert ips(subset["addresses"]) == ["10.0.0.1"]
    assert "ports" not in subset
    assert made["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
    assert "subsets" not in desired(service(ports=[]), [pod("a")])


def test_only_addresses_of_the_first_family():
    both = pod("a", ips=["10.0.0.1", "fd00::1"])
    assert ips(desired(service(ipFamilies=["IPv6", "IPv4"]), [both])["subsets"][0]["addresses"]) == ["fd00::1"]
    assert "subsets" not in desired(service(ipFamilies=["IPv6"]), [pod("a")])


def crowd(ready, unready=0, **kw):
    made = [pod(f"r{i}", ip=f"10.1.{i // 250}.{i % 250}", **kw) for i in range(ready)]
    return made + [pod(f"a{i}", ip=f"10.2.{i // 250}.{i % 250}", ready=False, **kw) for i in range(unready)]


@pytest.mark.parametrize(
    ("ready", "unready", "kept"),
    [(1000, 0, (1000, 0)), (1001, 50, (1000, 0)), (990, 20, (990, 10)), (0, 1001, (0, 1000)), (500, 500, (500, 500))],
)
def test_beyond_a_thousand_the_ready_ones_stay(ready, unready, kept):
    made = desired(service(), crowd(ready, unready))
    (subset,) = made["subsets"]
    assert (len(subset.get("addresses", ())), len(subset.get("notReadyAddresses", ()))) == kept
    annotation = made["metadata"].get("annotations", {}).get("endpoints.kubernetes.io/over-capacity")
    assert annotation == ("truncated" if ready + unready > 1000 else None)


def test_every_subset_keeps_its_share_of_what_there_is_room_for():
    chosen = [offering(f"a{i}", f"10.1.{i // 250}.{i % 250}", http=80) for i in range(900)]
    chosen += [offering(f"b{i}", f"10.2.{i // 250}.{i % 250}", http=81) for i in range(300)]
    subsets = desired(service(ports=NAMED), chosen)["subsets"]
    assert {one["ports"][0]["port"]: len(one["addresses"]) for one in subsets} == {80: 750, 81: 250}


def test_the_name_of_a_pod_in_its_subdomain():
    named = pod("a", hostname="db", subdomain="web")
    assert desired(service(), [named])["subsets"][0]["addresses"][0]["hostname"] == "db"
    elsewhere = pod("a", hostname="db", subdomain="other")
    assert "hostname" not in desired(service(), [elsewhere])["subsets"][0]["addresses"][0]


@pytest.mark.parametrize(
    ("port", "number"),
    [
        ({"port": 80}, 80),
        ({"port": 80, "targetPort": 8080}, 8080),
        ({"port": 80, "targetPort": "http"}, 1),
        ({"port": 80, "targetPort": "http", "protocol": "UDP"}, 2),
        ({"port": 80, "targetPort": "side"}, 3),
        ({"port": 80, "targetPort": "init"}, None),
        ({"port": 80, "targetPort": "none"}, None),
    ],
)
def test_target_ports(port, number):
    ports = [{"name": "http", "containerPort": 1}, {"name": "http", "containerPort": 2, "protocol": "UDP"}]
    first = [
        {"name": "i", "ports": [{"name": "init", "containerPort": 4}]},
        {"name": "s", "restartPolicy": "Always", "ports": [{"name": "side", "containerPort": 3}]},
    ]
    made = pod(containers=[{"name": "c", "ports": ports}], initContainers=first)
    assert services.target_port(port, made) == number


def test_which_changes_of_a_pod_matter():
    assert services.matters(None, pod())
    assert services.matters(pod(), None)
    assert not services.matters(pod(), pod(restarts=5, ready_for=5))
    for other in (pod(ready=False), pod(going=True), pod(ip="10.0.0.9"), pod(phase="Failed"), pod(labels={"a": "b"})):
        assert services.matters(pod(), other)


def test_the_trigger_time_is_the_latest_change():
    assert services.trigger_time(service(), [pod(ready_for=50)]) == ago(0)
    old = service()
    old["metadata"]["creationTimestamp"] = ago(9999)
    assert services.trigger_time(old, [pod(ready_for=50), pod(ready_for=40)]) == ago(40)
