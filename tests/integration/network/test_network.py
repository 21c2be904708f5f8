"""`kybern network` on three machines: pods reach each other across nodes, and the kernel keeps what is not ours."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.network.routes import VTEP_MAC
from tests.integration.network.cluster import KYBERN, Cluster, until
from tests.integration.network.net import MACHINES, A, B, C, Machine, run

FOREIGN = "203.0.113.0/24"


def condition(cluster: Cluster, machine: Machine) -> tuple[str, str]:
    found = [c for c in cluster.node(machine)["status"].get("conditions", []) if c["type"] == "NetworkUnavailable"]
    return (found[0]["status"], found[0]["reason"]) if found else ("", "")


def vtep(cluster: Cluster, machine: Machine) -> str:
    return str(cluster.node(machine)["metadata"].get("annotations", {}).get(VTEP_MAC, ""))


def device(cluster: Cluster, machine: Machine) -> Any:
    """The VXLAN device, or None."""
    links = cluster.net.json(f"node-{machine.name}", "-d", "link")
    return next((link for link in links if link["ifname"] == "kybern.vxlan"), None)


def test_neighbours_on_a_link_are_reached_by_plain_routes(cluster: Cluster) -> None:
    net = cluster.net
    cluster.delete(C)
    # A route of ours that is true no more, as a killed agent leaves it, one that is wrong, and one of somebody else.
    net.ip("node-a", "route", "add", "10.244.9.0/24", "via", B.addresses[0], "proto", "75")
    net.ip("node-a", "route", "add", B.cidrs[0], "via", "172.30.1.99", "proto", "75")
    net.ip("node-a", "-6", "route", "add", B.cidrs[1], "via", "fd77:1::99", "proto", "75")
    net.ip("node-a", "route", "replace", FOREIGN, "via", B.addresses[0], "proto", "static")
    with cluster.agents((A, B), "--mode=direct"):
        cluster.until_well(A, B)
        cluster.until_reached("pod-a", B, A.pod)
        cluster.until_reached("pod-b", A, B.pod)
        cluster.until_reached("node-a", B, A.addresses)
        ours = {cidr: (address, "eth0") for cidr, address in zip(B.cidrs, B.addresses, strict=True)}
        assert net.routes(A) == ours
        assert condition(cluster, A) == ("False", "KybernNetworkIsUp")
        assert not vtep(cluster, A) and not device(cluster, A)
        cluster.delete(B)
        until(lambda: not net.routes(A), lambda: cluster.said(A))
        assert not net.get("pod-a", B.pod[0], timeout=0.3)
        cluster.register(B)
        until(lambda: net.routes(A) == ours, lambda: cluster.said(A))
    assert net.routes(A) == ours, "routes stay when the agent goes"
    for _ in range(2):
        cluster.cleanup(A)
        assert not net.routes(A)
    assert net.json("node-a", "route", "show", FOREIGN)
    net.ip("node-a", "route", "del", FOREIGN)


def test_nodes_behind_a_router_are_reached_through_a_tunnel(cluster: Cluster) -> None:
    net = cluster.net
    with cluster.agents(MACHINES, "--mode=vxlan"):
        for one in MACHINES:
            for other in MACHINES:
                if one is not other:
                    cluster.until_reached(f"pod-{one.name}", other, one.pod)
        # The node itself goes by the tunnel's addresses.
        cluster.until_reached("node-a", C, ("10.244.1.0", "fd00:1::"))
        # Packets of the pods' full size don't fit through the tunnel: the node has to say so.
        assert [len(net.get("pod-a", address, "/big", timeout=10)) for address in C.pod] == [300_000, 300_000]
        assert all(hop[1] == "kybern.vxlan" for hop in net.routes(A).values())
        before = device(cluster, A)
        assert before["mtu"] == 1450 and before["address"] == vtep(cluster, A)
        info = before["linkinfo"]["info_data"]
        assert (info["id"], info["port"], info["local"]) == (1, 8472, A.addresses[0])
    with cluster.agents((A,), "--mode=vxlan"):
        cluster.until_well(A)
        assert device(cluster, A)["ifindex"] == before["ifindex"], "a new agent takes up the device"
        assert "synced" not in cluster.said(A), "and changes nothing"
    with cluster.agents((A,), "--mode=vxlan", "--vxlan-vni=7", "--vxlan-port=28472"):
        until(lambda: vtep(cluster, A) not in ("", before["address"]), lambda: cluster.said(A))
        info = device(cluster, A)["linkinfo"]["info_data"]
        assert (info["id"], info["port"]) == (7, 28472)
    cluster.cleanup(A)
    assert not net.routes(A) and not device(cluster, A)


def test_nodes_with_ipv6_alone_carry_pods_of_both_versions(cluster: Cluster) -> None:
    for machine in (A, C):
        cluster.place(machine, machine.addresses[1])
    with cluster.agents((A, C)):
        cluster.until_reached("pod-a", C, A.pod)
        assert device(cluster, A)["mtu"] == 1430
    with cluster.agents((A,)):
        cluster.until_well(A)
        assert "synced" not in cluster.said(A), "what it reads is what it wrote"


def test_a_node_that_moves_is_followed(cluster: Cluster) -> None:
    net, moved = cluster.net, ("172.30.2.14", "fd77:2::14")
    net.ip("node-c", "address", "add", f"{moved[0]}/24", "dev", "eth0")
    net.ip("node-c", "address", "add", f"{moved[1]}/64", "dev", "eth0", "nodad")

    def behind() -> set[str]:
        entries = run("bridge", "-n", net.name("node-a"), "fdb", "show", "dev", "kybern.vxlan").splitlines()
        return {words[words.index("dst") + 1] for words in map(str.split, entries) if "dst" in words}

    with cluster.agents((A, C), "--mode=vxlan"):
        cluster.until_reached("pod-a", C, A.pod)
        assert behind() == {C.addresses[0]}
        cluster.place(C, *moved)
        until(lambda: behind() == {moved[0]}, lambda: cluster.said(A))
        cluster.until_reached("pod-a", C, A.pod)
        assert device(cluster, C)["linkinfo"]["info_data"]["local"] == moved[0]
    net.ip("node-c", "address", "del", f"{moved[0]}/24", "dev", "eth0")
    net.ip("node-c", "address", "del", f"{moved[1]}/64", "dev", "eth0")


def test_auto_tunnels_only_to_those_elsewhere(cluster: Cluster) -> None:
    net = cluster.net
    with cluster.agents(MACHINES):
        for one, other in ((A, B), (A, C), (C, B)):
            cluster.until_reached(f"pod-{one.name}", other, one.pod)
        devices = {cidr: hop[1] for cidr, hop in net.routes(A).items()}
        assert devices == dict.fromkeys(B.cidrs, "eth0") | dict.fromkeys(C.cidrs, "kybern.vxlan")
        cluster.delete(C)
        until(lambda: not device(cluster, A) and not vtep(cluster, A), lambda: cluster.said(A))
        assert net.routes(A).keys() == set(B.cidrs)
        assert net.get("pod-a", B.pod[0]) == f"pod-b {A.pod[0]}"


def test_a_route_of_somebody_else_stays_and_is_reported(cluster: Cluster) -> None:
    net = cluster.net
    net.ip("node-a", "route", "add", B.cidrs[0], "via", "172.30.1.1", "proto", "static")
    with cluster.agents((A,), "--mode=direct"):
        until(lambda: f"route to {B.cidrs[0]} via {B.addresses[0]} on eth0: File exists" in cluster.health(A),
              lambda: cluster.said(A))  # fmt: skip
        assert B.cidrs[1] in net.routes(A), "one that fails holds up no other"
        assert net.json("node-a", "route", "show", B.cidrs[0])[0]["gateway"] == "172.30.1.1"
        # Its place is taken when it goes.
        net.ip("node-a", "route", "del", B.cidrs[0])
        until(lambda: B.cidrs[0] in net.routes(A), lambda: cluster.said(A))


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (("--interface=wan0",), "there is no interface wan0"),
        (("--hostname-override=d",), "there is no node d yet"),
        (("--mode=vxlan",), "another VXLAN device has VNI 1 and port 8472; use --vxlan-vni"),
    ],
)
def test_healthz_says_what_is_wrong(cluster: Cluster, flags: tuple[str, ...], why: str) -> None:
    cluster.net.ip("node-a", "link", "add", "other", "type", "vxlan", "id", "1", "dstport", "8472", "nolearning")
    with cluster.agents((A,), *flags):
        until(lambda: why in cluster.health(A), lambda: cluster.said(A))
        assert condition(cluster, A) == ("", "")
    cluster.net.ip("node-a", "link", "del", "other")


def test_flags_are_checked(cluster: Cluster) -> None:
    for flag, why in (("--vxlan-vni=0", "must be from 1 to"), ("--vxlan-port=70000", "must be from 1 to")):
        said = run("sh", "-c", f"{' '.join(KYBERN)} network {flag} 2>&1", check=False)
        assert flag in said and why in said
