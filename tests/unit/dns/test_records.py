"""The Kubernetes DNS specification, question by question."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.dns.records import Records, reverse_address


def service(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"namespace": "ns", "name": name}, "spec": {"type": "ClusterIP", **spec}}


def slice_of(name: str, *endpoints: dict[str, Any], port: int = 8080) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "ns", "name": f"{name}-x", "labels": {"kubernetes.io/service-name": name}},
        "endpoints": list(endpoints),
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
    }


@pytest.fixture
def zone() -> Records:
    records = Records()
    records.set_namespace("ns", True)
    http = [{"name": "http", "port": 80, "protocol": "TCP"}]
    records.set_service(
        "ns", "web", service("web", clusterIP="10.96.0.7", clusterIPs=["10.96.0.7", "fd00::7"], ports=http)
    )
    records.set_service("ns", "db", service("db", clusterIP="None", ports=http))
    records.set_service("ns", "out", service("out", type="ExternalName", externalName="example.org"))
    ready = {"addresses": ["10.244.0.5"], "conditions": {"ready": True}, "hostname": "db-0"}
    unready = {"addresses": ["10.244.0.6"], "conditions": {"ready": False}}
    plain = {"addresses": ["10.244.0.9"], "conditions": {}}
    records.set_slice("ns", "db-x", None, slice_of("db", ready, unready, plain, port=5432))
    return records


def ask(zone: Records, name: str, type_: str) -> list[str] | None:
    """Values of the answer; None for NXDOMAIN."""
    found = zone.answer(name, type_)
    assert found is not None
    return [record.value for record in found.records] if found.exists else None


@pytest.mark.parametrize(
    ("name", "type_", "values"),
    [
        ("web.ns.svc.cluster.local", "A", ["10.96.0.7"]),
        ("web.ns.svc.cluster.local", "AAAA", ["fd00::7"]),
        ("web.ns.svc.cluster.local", "MX", []),
        ("web.ns.svc.cluster.local", "SRV", ["0 100 80 web.ns.svc.cluster.local."]),
        ("_http._tcp.web.ns.svc.cluster.local", "SRV", ["0 100 80 web.ns.svc.cluster.local."]),
        ("_http._udp.web.ns.svc.cluster.local", "SRV", None),
        ("_nope._tcp.web.ns.svc.cluster.local", "SRV", None),
        ("x.web.ns.svc.cluster.local", "A", None),
        ("db.ns.svc.cluster.local", "A", ["10.244.0.5", "10.244.0.9"]),
        ("db-0.db.ns.svc.cluster.local", "A", ["10.244.0.5"]),
        ("10-244-0-9.db.ns.svc.cluster.local", "A", ["10.244.0.9"]),
        ("10-244-0-6.db.ns.svc.cluster.local", "A", None),
        (
            "_http._tcp.db.ns.svc.cluster.local",
            "SRV",
            ["0 50 5432 db-0.db.ns.svc.cluster.local.", "0 50 5432 10-244-0-9.db.ns.svc.cluster.local."],
        ),
        ("out.ns.svc.cluster.local", "A", ["example.org."]),
        ("none.ns.svc.cluster.local", "A", None),
        ("web.other.svc.cluster.local", "A", None),
        ("ns.svc.cluster.local", "A", []),
        ("other.svc.cluster.local", "A", None),
        ("svc.cluster.local", "A", []),
        ("cluster.local", "A", []),
        ("nonsense.cluster.local", "A", None),
        ("dns-version.cluster.local", "TXT", ['"1.1.0"']),
        ("10-1-2-3.ns.pod.cluster.local", "A", ["10.1.2.3"]),
        ("fd00--7.ns.pod.cluster.local", "AAAA", ["fd00::7"]),
        ("10-1-2-3.other.pod.cluster.local", "A", None),
        ("not-an-address.ns.pod.cluster.local", "A", None),
        ("7.0.96.10.in-addr.arpa", "PTR", ["web.ns.svc.cluster.local."]),
        ("5.0.244.10.in-addr.arpa", "PTR", ["db-0.db.ns.svc.cluster.local."]),
    ],
)
def test_answers(zone: Records, name: str, type_: str, values: list[str] | None) -> None:
    assert ask(zone, name, type_) == values


def test_srv_brings_the_addresses_along(zone: Records) -> None:
    found = zone.answer("_http._tcp.db.ns.svc.cluster.local", "SRV")
    assert found
    assert [(r.name, r.type, r.value) for r in found.additional] == [
        ("db-0.db.ns.svc.cluster.local", "A", "10.244.0.5"),
        ("10-244-0-9.db.ns.svc.cluster.local", "A", "10.244.0.9"),
    ]


def test_unready_addresses_can_be_published(zone: Records) -> None:
    zone.set_service("ns", "db", service("db", clusterIP="None", publishNotReadyAddresses=True))
    assert "10.244.0.6" in (ask(zone, "db.ns.svc.cluster.local", "A") or [])


def test_what_went_is_gone(zone: Records) -> None:
    version = zone.version
    zone.set_service("ns", "web", None)
    zone.set_slice("ns", "db-x", slice_of("db", {"addresses": ["10.244.0.5"]}), None)
    zone.set_namespace("ns", False)
    assert zone.version > version
    assert ask(zone, "web.ns.svc.cluster.local", "A") is None
    assert ask(zone, "db.ns.svc.cluster.local", "A") is None
    assert ask(zone, "ns.svc.cluster.local", "A") is None
    assert zone.answer("7.0.96.10.in-addr.arpa", "PTR") is None


@pytest.mark.parametrize("name", ["db", "_http._tcp.db", "db-0.db"])
@pytest.mark.parametrize("type_", ["A", "AAAA", "SRV"])
def test_a_headless_service_without_ready_endpoints_is_not_there(zone: Records, name: str, type_: str) -> None:
    unready = {"addresses": ["10.244.0.5"], "conditions": {"ready": False}, "hostname": "db-0"}
    zone.set_slice("ns", "db-x", slice_of("db"), slice_of("db", unready, port=5432))
    assert ask(zone, f"{name}.ns.svc.cluster.local", type_) is None


def test_endpoints_of_a_service_with_an_address_have_names_too(zone: Records) -> None:
    named, plain = {"addresses": ["10.244.0.5"], "hostname": "a"}, {"addresses": ["10.244.0.9"]}
    zone.set_slice("ns", "web-x", None, slice_of("web", named, plain, port=80))
    assert ask(zone, "a.web.ns.svc.cluster.local", "A") == ["10.244.0.5"]
    assert ask(zone, "10-244-0-9.web.ns.svc.cluster.local", "A") == ["10.244.0.9"]
    assert ask(zone, "b.web.ns.svc.cluster.local", "A") is None


def test_an_address_in_two_slices_keeps_its_name_when_one_goes(zone: Records) -> None:
    ready = {"addresses": ["10.244.0.5"], "hostname": "db-0"}
    zone.set_slice("ns", "db-y", None, slice_of("db", ready, port=5433))
    zone.set_slice("ns", "db-x", slice_of("db", ready, port=5432), None)
    assert ask(zone, "5.0.244.10.in-addr.arpa", "PTR") == ["db-0.db.ns.svc.cluster.local."]
    zone.set_slice("ns", "db-y", slice_of("db", ready, port=5433), None)
    assert zone.answer("5.0.244.10.in-addr.arpa", "PTR") is None


def test_foreign_reverse_names_are_for_others(zone: Records) -> None:
    assert zone.answer("1.2.0.192.in-addr.arpa", "PTR") is None


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("4.3.2.1.in-addr.arpa", "1.2.3.4"),
        ("3.2.1.in-addr.arpa", None),
        ("999.3.2.1.in-addr.arpa", None),
        (".".join("7" + "0" * 27 + "00df") + ".ip6.arpa", "fd00::7"),
        ("7.0.ip6.arpa", None),
    ],
)
def test_reverse_names(name: str, address: str | None) -> None:
    assert reverse_address(name) == address
