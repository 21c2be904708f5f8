"""What stands in the table for which Service."""

from __future__ import annotations

import re
from typing import Any

from kybern.proxy.base import Endpoint, Routed
from kybern.proxy.rules import Options, new_table, node_piece, service_piece
from kybern.proxy.services import service_ports
from kybern.proxy.table import Piece
from tests.unit.proxy.fake_nft import FakeNFT
from tests.unit.proxy.objects import endpoint, model, service, slice_of

OPTIONS = Options(cluster_cidrs=("10.244.0.0/16",))
NODE_PORT = [{"port": 80, "nodePort": 30080, "protocol": "TCP"}]


def piece_of(one: Any, *slices: Any, options: Options = OPTIONS) -> Piece:
    return service_piece(model(one, *slices).now, options)


def chain(piece: Piece, prefix: str) -> tuple[str, ...]:
    """The rules of the one chain of a kind."""
    (found,) = [rules for name, rules in piece.chains.items() if name.startswith(prefix)]
    return found


def kinds(piece: Piece) -> list[str]:
    return sorted(name.partition("-")[0] for name in piece.chains)


def test_a_cluster_ip_is_balanced_over_its_endpoints() -> None:
    piece = piece_of(service(), slice_of("web", endpoint("10.244.0.1"), endpoint("10.244.0.2")))
    assert kinds(piece) == ["endpoint", "endpoint", "service"]
    (verdict,) = [v for key, v in piece.elements.items() if key == ("service-ips", "10.96.0.10 . tcp . 80")]
    name = verdict.removeprefix("goto ")
    masquerade, balance = piece.chains[name]
    assert masquerade == "ip daddr 10.96.0.10 tcp dport 80 ip saddr != 10.244.0.0/16 jump mark-for-masquerade"
    assert balance.startswith("numgen random mod 2 vmap { 0 : goto endpoint-")
    targets = re.findall(r"goto ([^ ,]+)", balance)
    assert [piece.chains[t][-1] for t in targets] == [
        "meta l4proto tcp dnat to 10.244.0.1:8080",
        "meta l4proto tcp dnat to 10.244.0.2:8080",
    ]
    assert piece.chains[targets[0]][0] == "ip saddr 10.244.0.1 jump mark-for-masquerade"
    assert ("cluster-ips", "10.96.0.10") in piece.elements


def test_names_are_those_upstream_would_give() -> None:
    """The examples in upstream's comments on its naming functions."""
    ports = [{"name": "p80", "port": 80, "protocol": "TCP"}]
    one = service("svc1", ports=ports)
    one["metadata"]["namespace"] = "ns1"
    (port,) = service_ports(one)
    piece = service_piece((Routed(port, (Endpoint("10.180.0.1", 80),)),), OPTIONS)
    assert set(piece.chains) == {
        "service-ULMVA6XW-ns1/svc1/tcp/p80",
        "endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80",
    }


def test_without_endpoints_every_way_in_is_rejected() -> None:
    one = service(type="NodePort", ports=NODE_PORT, externalIPs=["192.0.2.9"])
    piece = piece_of(one)
    assert not piece.chains
    assert piece.elements == {
        ("cluster-ips", "10.96.0.10"): "",
        ("no-endpoint-services", "10.96.0.10 . tcp . 80"): "goto reject-chain",
        ("no-endpoint-services", "192.0.2.9 . tcp . 80"): "goto reject-chain",
        ("no-endpoint-nodeports", "tcp . 30080"): "goto reject-chain",
    }


def test_node_ports_with_cluster_policy_are_masqueraded() -> None:
    piece = piece_of(service(type="NodePort", ports=NODE_PORT), slice_of("web", endpoint("10.244.0.1")))
    first, second = chain(piece, "external-")
    assert first == "jump mark-for-masquerade"
    assert second == "goto " + piece.elements["service-ips", "10.96.0.10 . tcp . 80"].removeprefix("goto ")
    assert piece.elements["service-nodeports", "tcp . 30080"].startswith("goto external-")


def test_local_external_policy_keeps_the_source_and_drops_where_nothing_is_local() -> None:
    one = service(type="NodePort", ports=NODE_PORT, externalTrafficPolicy="Local")
    piece = piece_of(one, slice_of("web", endpoint("10.244.0.1"), endpoint("10.244.1.1", "far")))
    rules = chain(piece, "external-")
    assert "jump mark-for-masquerade" not in rules
    assert rules[0].startswith("ip saddr 10.244.0.0/16 goto service-")
    assert rules[-1].startswith("goto local-")
    assert "mod 1" in chain(piece, "local-")[0]
    assert "mod 2" in chain(piece, "service-")[-1]
    piece = piece_of(one, slice_of("web", endpoint("10.244.1.1", "far")))
    assert not [rule for rule in chain(piece, "external-") if rule.startswith("goto")]
    assert piece.elements["no-endpoint-nodeports", "tcp . 30080"] == "drop"
    assert "service-nodeports" in {container for container, _ in piece.elements}


def test_local_internal_policy_drops_where_nothing_is_local() -> None:
    one = service(internalTrafficPolicy="Local")
    piece = piece_of(one, slice_of("web", endpoint("10.244.1.1", "far")))
    assert piece.elements["no-endpoint-services", "10.96.0.10 . tcp . 80"] == "drop"
    assert not piece.chains
    piece = piece_of(one, slice_of("web", endpoint("10.244.0.1"), endpoint("10.244.1.1", "far")))
    assert kinds(piece) == ["endpoint", "local"]
    assert piece.elements["service-ips", "10.96.0.10 . tcp . 80"].startswith("goto local-")


def test_affinity_looks_the_client_up_before_choosing() -> None:
    one = service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 77}})
    piece = piece_of(one, slice_of("web", endpoint("10.244.0.1"), endpoint("10.244.0.2")))
    (_, first, second, last) = chain(piece, "service-")
    assert [first.split()[3], second.split()[3]] == ["goto", "goto"]
    assert last.startswith("numgen")
    assert sorted(piece.sets) == sorted(first.split()[2][1:] for first in (first, second))
    endpoints = [rules for name, rules in piece.chains.items() if name.startswith("endpoint-")]
    assert all("ip saddr timeout 77s" in rules[1] and rules[2].startswith("meta l4proto") for rules in endpoints)


def test_load_balancer_source_ranges_guard_its_addresses_only() -> None:
    ranges = ["198.51.100.0/24", "198.51.100.128/25", "203.0.113.5/32"]
    one = service(type="LoadBalancer", ports=NODE_PORT, ingress=[{"ip": "192.0.2.1"}], loadBalancerSourceRanges=ranges)
    piece = piece_of(one, slice_of("web", endpoint("10.244.0.1")))
    assert chain(piece, "firewall-") == ("ip saddr != { 198.51.100.0/24, 203.0.113.5/32 } drop",)
    guarded = [key for container, key in piece.elements if container == "firewall-ips"]
    assert guarded == ["192.0.2.1 . tcp . 80"]


def test_masquerading_follows_the_options() -> None:
    slices = slice_of("web", endpoint("10.244.0.1"))
    rule = chain(piece_of(service(), slices, options=Options(masquerade_all=True)), "service-")[0]
    assert rule == "ip daddr 10.96.0.10 tcp dport 80 jump mark-for-masquerade"
    assert len(chain(piece_of(service(), slices, options=Options()), "service-")) == 1
    two = Options(cluster_cidrs=("10.244.0.0/16", "10.245.0.0/16"))
    assert "!= { 10.244.0.0/16, 10.245.0.0/16 }" in chain(piece_of(service(), slices, options=two), "service-")[0]


def test_node_ports_answer_at_the_nodes_addresses_and_never_at_loopback() -> None:
    assert node_piece(("10.0.0.1", "127.0.0.1")).elements == {("nodeport-ips", "10.0.0.1"): ""}
    everywhere = "\n".join(new_table(Options(nodeports_everywhere=True)).header)
    assert "fib daddr type local ip daddr != 127.0.0.0/8" in everywhere
    assert "vmap @service-nodeports" not in [line for line in everywhere.splitlines() if "@nodeport-ips" in line]


def test_the_whole_table_is_consistent_and_every_chain_is_reached() -> None:
    table, nft = new_table(OPTIONS), FakeNFT()
    one = service(
        type="LoadBalancer",
        ports=NODE_PORT,
        ingress=[{"ip": "192.0.2.1"}],
        externalTrafficPolicy="Local",
        sessionAffinity="ClientIP",
        loadBalancerSourceRanges=["198.51.100.0/24"],
    )
    table.put("web", piece_of(one, slice_of("web", endpoint("10.244.0.1"), endpoint("10.244.1.1", "far"))))
    table.put("empty", piece_of(service("empty", "10.96.0.11")))
    nft.run(table.rebuild())
    assert nft.state
    hooks = [n for n in nft.state.chains if n.startswith(("nat-", "filter-"))]
    assert set(nft.state.chains) == {name for hook in hooks for name in nft.seen_from(hook)}
