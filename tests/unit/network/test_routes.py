"""What the kernel should know, from Nodes: plans, and the changes that lead there."""

from __future__ import annotations

from ipaddress import ip_interface
from typing import Any

import pytest

from kybern.network.routes import (
    DEVICE,
    VTEP_MAC,
    Hop,
    Link,
    Options,
    Peer,
    Tables,
    choose_link,
    diff,
    mac_of,
    peer_of,
    plan,
)

LINK = Link("eth0", (ip_interface("10.0.0.1/24"), ip_interface("fd10::1/64")), 1500)
OWN = Peer("a", ("10.0.0.1", "fd10::1"), ("10.244.1.0/24", "fd00:1::/64"))
NEAR = Peer("b", ("10.0.0.2", "fd10::2"), ("10.244.2.0/24", "fd00:2::/64"), "02:00:00:00:00:0b")
FAR = Peer("c", ("10.9.0.3", "fd19::3"), ("10.244.3.0/24", "fd00:3::/64"), "02:00:00:00:00:0c")
AUTO, DIRECT, VXLAN = (Options(mode) for mode in ("auto", "direct", "vxlan"))


def node(annotations: dict[str, str] | None = None, *addresses: tuple[str, str], **spec: Any) -> Any:
    entries = [{"type": kind, "address": address} for kind, address in addresses]
    return {"metadata": {"name": "a", "annotations": annotations}, "spec": spec, "status": {"addresses": entries}}


def test_a_node_is_read() -> None:
    addresses = (("Hostname", "a"), ("ExternalIP", "192.0.2.1"), ("InternalIP", "10.0.0.1"), ("InternalIP", "fd10::1"))
    found = peer_of(node({VTEP_MAC: "02:00:00:00:00:0A"}, *addresses, podCIDR="10.244.1.0/24"))
    assert found == Peer("a", ("10.0.0.1", "fd10::1", "192.0.2.1"), ("10.244.1.0/24",), "02:00:00:00:00:0a")
    assert found.address(4) == "10.0.0.1" and found.address(6) == "fd10::1"
    two = peer_of(node(None, podCIDR="10.244.1.0/24", podCIDRs=["10.244.1.0/24", "fd00:0::/64"]))
    assert two == Peer("a", (), ("10.244.1.0/24", "fd00::/64"))


@pytest.mark.parametrize("mac", ["", "none", "01:00:5e:00:00:01", "02:00:00:00:00", "02:00:00:00:00:0a "])
def test_nonsense_a_node_says_of_itself_is_left_out(mac: str) -> None:
    assert peer_of(node({VTEP_MAC: mac}, ("InternalIP", "host-a"), ("InternalIP", ""))) == Peer("a")


def test_macs_are_stable_unlike_and_local() -> None:
    assert mac_of("a", 1) == mac_of("a", 1)
    made = {mac_of(name, vni) for name in ("a", "b") for vni in (1, 2)}
    assert len(made) == 4
    assert all(peer_of(node({VTEP_MAC: mac})).mac == mac and mac.startswith("02:") for mac in made)


def test_the_link_is_the_one_with_the_nodes_address_or_the_one_asked_for() -> None:
    other = Link("eth1", (ip_interface("10.1.0.1/24"),))
    assert choose_link([other, LINK], OWN, "") is LINK
    assert choose_link([other, LINK], OWN, "eth1") is other
    with pytest.raises(LookupError, match="there is no interface wan0"):
        choose_link([other, LINK], OWN, "wan0")
    with pytest.raises(LookupError, match=r"no interface has an address of node a \(10.0.0.1, fd10::1\)"):
        choose_link([other], OWN, "")


def test_direct_routes_lead_through_the_node_of_the_same_version() -> None:
    made = plan(OWN, [OWN, NEAR], LINK, DIRECT)
    assert made.tables == Tables(
        {"10.244.2.0/24": Hop("10.0.0.2", "eth0"), "fd00:2::/64": Hop("fd10::2", "eth0")},
    )
    assert made.tunnel is None and not made.lacking
    # Whether a gateway can be reached is for the kernel to say: there may be routes to it.
    assert plan(OWN, [FAR], LINK, DIRECT).tables.routes["10.244.3.0/24"] == Hop("10.9.0.3", "eth0")


def test_a_direct_route_needs_an_address_of_its_version() -> None:
    made = plan(OWN, [Peer("b", ("10.0.0.2",), NEAR.cidrs)], LINK, DIRECT)
    assert made.tables.routes.keys() == {"10.244.2.0/24"}
    assert made.lacking == ("node b: no IPv6 address to reach fd00:2::/64 through",)


def test_tunnelled_routes_come_with_neighbours_and_forwards() -> None:
    made = plan(OWN, [NEAR], LINK, VXLAN)
    assert made.tables.routes == {"10.244.2.0/24": Hop("10.244.2.0", DEVICE), "fd00:2::/64": Hop("fd00:2::", DEVICE)}
    assert made.tables.neighbours == {"10.244.2.0": NEAR.mac, "fd00:2::": NEAR.mac}
    assert made.tables.forwards == {NEAR.mac: "10.0.0.2"}
    assert made.tunnel
    assert (made.tunnel.local, made.tunnel.mtu, made.tunnel.mac) == ("10.0.0.1", 1450, mac_of("a", 1))
    assert made.tunnel.addresses == ("10.244.1.0/32", "fd00:1::/128")


def test_between_ipv6_nodes_headers_are_longer() -> None:
    own = Peer("a", ("fd10::1",), OWN.cidrs)
    made = plan(own, [NEAR], LINK, VXLAN)
    assert made.tunnel
    assert (made.tunnel.local, made.tunnel.mtu) == ("fd10::1", 1430)
    assert made.tables.forwards == {NEAR.mac: "fd10::2"}


def test_the_tunnel_starts_at_an_address_the_machine_has() -> None:
    made = plan(Peer("a", ("192.0.2.1",), OWN.cidrs), [], LINK, VXLAN)
    assert made.tunnel and made.tunnel.local == "10.0.0.1"


def test_auto_tunnels_only_to_other_subnets_and_only_if_there_are() -> None:
    made = plan(OWN, [NEAR, FAR], LINK, AUTO)
    devices = {cidr: hop.device for cidr, hop in made.tables.routes.items()}
    assert devices == dict.fromkeys(NEAR.cidrs, "eth0") | dict.fromkeys(FAR.cidrs, DEVICE)
    assert made.tables.forwards == {FAR.mac: "10.9.0.3"} and made.tunnel
    assert plan(OWN, [NEAR], LINK, AUTO).tunnel is None
    assert plan(OWN, [Peer("d", (), ("10.244.4.0/24",))], LINK, AUTO).tunnel is None, "it may turn out to be near"
    assert plan(OWN, [], LINK, VXLAN).tunnel, "one asked for is there for peers to come"


def test_a_peer_without_a_device_is_waited_for_and_gets_ours_to_know() -> None:
    made = plan(OWN, [Peer("c", FAR.addresses, FAR.cidrs[:1])], LINK, AUTO)
    assert made.lacking == ("node c: it has not announced a VXLAN device yet",)
    assert made.tunnel and len(made.tables) == 0


def test_what_a_node_has_no_other_gets() -> None:
    made = plan(OWN, [Peer("z", ("10.0.0.9",), ("10.244.2.0/24", "10.244.1.0/24")), NEAR], LINK, AUTO)
    assert made.tables.routes["10.244.2.0/24"] == Hop("10.0.0.2", "eth0")
    assert "10.244.1.0/24" not in made.tables.routes
    taken = ("node z: 10.244.2.0/24 is node b's already", "node z: 10.244.1.0/24 is node a's already")
    assert made.lacking == taken
    thief = Peer("d", ("10.9.0.4",), ("10.244.4.0/24",), FAR.mac)
    made = plan(OWN, [thief, FAR], LINK, VXLAN)
    assert made.tables.forwards == {FAR.mac: "10.9.0.3"}
    assert made.lacking == (f"node d: it announced the MAC of another node, {FAR.mac}",)


def test_only_what_differs_is_changed() -> None:
    have = plan(OWN, [NEAR, FAR], LINK, VXLAN).tables
    assert [len(part) for part in diff(have, have)] == [0, 0]
    moved = Peer("c", ("10.9.0.4",), FAR.cidrs, FAR.mac)
    put, drop = diff(have, plan(OWN, [moved], LINK, VXLAN).tables)
    assert put == Tables({}, {}, {FAR.mac: "10.9.0.4"})
    assert drop.routes.keys() == set(NEAR.cidrs)
    assert drop.neighbours.keys() == {"10.244.2.0", "fd00:2::"} and drop.forwards == {NEAR.mac: "10.0.0.2"}
    put, drop = diff(plan(OWN, [NEAR], LINK, DIRECT).tables, plan(OWN, [NEAR], LINK, VXLAN).tables)
    assert put.routes.keys() == set(NEAR.cidrs) and len(drop) == 0, "a route that leads elsewhere now is put over"
