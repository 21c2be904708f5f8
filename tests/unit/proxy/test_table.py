"""Changes touch only what differs, and any sequence of them ends where building it all anew ends."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kybern.proxy.rules import Options, new_table, node_piece, service_piece
from kybern.proxy.services import Services
from kybern.proxy.table import Piece, Table
from tests.unit.proxy.fake_nft import FakeNFT
from tests.unit.proxy.objects import NODE, endpoint, service, slice_of

OPTIONS = Options(cluster_cidrs=("10.244.0.0/16",))


class Driven:
    """A model, its table and a kernel."""

    def __init__(self) -> None:
        self.services, self.table, self.nft = Services(NODE), new_table(OPTIONS), FakeNFT()
        self.stale: dict[str, None] = {}
        self.nft.run(self.table.rebuild())
        self.table.commit()

    def sync(self) -> list[str]:
        for key, (_, now) in self.services.take().items():
            self.table.put(key, service_piece(now, OPTIONS) if now else None)
        changes = self.table.changes()
        if not changes:
            return []
        self.nft.run(self.table.update(changes))
        self.table.commit()
        for name, (_, now_) in changes.chains.items():
            self.stale.pop(name, None)
            if now_ is None:
                self.stale[name] = None
        return self.nft.commands

    def anew(self) -> FakeNFT:
        nft = FakeNFT()
        nft.run(self.table.rebuild())
        return nft


def test_one_endpoint_more_touches_its_service_alone() -> None:
    driven = Driven()
    for i in range(5):
        driven.services.set_service("ns", f"s{i}", service(f"s{i}", f"10.96.0.{i + 1}"))
        driven.services.set_slice(None, slice_of(f"s{i}", endpoint(f"10.244.0.{i + 1}")))
    driven.sync()
    old, new = slice_of("s3", endpoint("10.244.0.4")), slice_of("s3", endpoint("10.244.0.4"), endpoint("10.244.9.9"))
    driven.services.set_slice(old, new)
    commands = driven.sync()
    assert all("ns/s3/" in command for command in commands)
    assert not [command for command in commands if " element " in command]
    assert not [command for command in commands if "10.244.0.4/8080 " in command]


def test_the_last_endpoint_going_moves_the_address_between_maps() -> None:
    driven = Driven()
    driven.services.set_service("ns", "web", service())
    driven.services.set_slice(None, slice_of("web", endpoint("10.244.0.1")))
    driven.sync()
    driven.services.set_slice(slice_of("web", endpoint("10.244.0.1")), None)
    elements = [command for command in driven.sync() if " element " in command]
    assert elements == [
        "delete element ip kube-proxy service-ips { 10.96.0.10 . tcp . 80 }",
        "add element ip kube-proxy no-endpoint-services { 10.96.0.10 . tcp . 80 : goto reject-chain }",
    ]


def test_changes_undone_before_a_sync_are_none() -> None:
    table = Table("t", [])
    table.put("a", Piece(chains={"c": ("drop",)}, elements={("m", "k"): "drop"}))
    table.commit()
    table.put("a", None)
    table.put("a", Piece(chains={"c": ("drop",)}, elements={("m", "k"): "drop"}))
    assert not table.changes()


def test_of_two_claims_to_an_element_the_first_counts_until_it_goes() -> None:
    table = Table("t", [])
    table.put("a", Piece(elements={("m", "k"): "goto a"}))
    table.put("b", Piece(elements={("m", "k"): "goto b"}))
    assert table.content.elements == {("m", "k"): "goto a"}
    table.commit()
    table.put("a", None)
    assert table.changes().elements == {("m", "k"): ("goto a", "goto b")}
    table.put("b", None)
    assert table.changes().elements == {("m", "k"): ("goto a", None)}


ADDRESSES = [f"10.244.0.{i}" for i in range(1, 5)]
endpoints = st.lists(
    st.builds(
        endpoint,
        st.sampled_from(ADDRESSES),
        st.sampled_from([NODE, "far"]),
        ready=st.booleans(),
        serving=st.booleans(),
        terminating=st.booleans(),
    ),
    max_size=4,
)
NAMES = ["a", "b", "c"]


@st.composite
def services(draw: st.DrawFn, name: str) -> Any:
    port: dict[str, Any] = {"port": draw(st.sampled_from([80, 81])), "protocol": draw(st.sampled_from(["TCP", "UDP"]))}
    kind = draw(st.sampled_from(["ClusterIP", "NodePort", "LoadBalancer"]))
    if kind != "ClusterIP":
        port["nodePort"] = 30000 + NAMES.index(name)
    return service(
        name,
        f"10.96.0.{draw(st.integers(1, 3))}",
        [port],
        type=kind,
        externalIPs=draw(st.lists(st.sampled_from(["192.0.2.1", "192.0.2.2"]), unique=True)),
        ingress=[{"ip": "192.0.2.3"}],
        loadBalancerSourceRanges=draw(st.sampled_from([[], ["198.51.100.0/24"]])),
        sessionAffinity=draw(st.sampled_from(["None", "ClientIP"])),
        sessionAffinityConfig={"clientIP": {"timeoutSeconds": draw(st.sampled_from([5, 10]))}},
        internalTrafficPolicy=draw(st.sampled_from(["Cluster", "Local"])),
        externalTrafficPolicy=draw(st.sampled_from(["Cluster", "Local"])),
    )


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_sequence_of_changes_ends_as_a_full_build(data: st.DataObject) -> None:
    driven = Driven()
    slices: dict[str, Any] = {}
    for _ in range(data.draw(st.integers(1, 12))):
        name = data.draw(st.sampled_from(NAMES))
        match data.draw(st.sampled_from(["service", "no service", "slice", "slice", "no slice", "node", "stale"])):
            case "service":
                driven.services.set_service("ns", name, data.draw(services(name)))
            case "no service":
                driven.services.set_service("ns", name, None)
            case "slice":
                protocol = data.draw(st.sampled_from(["TCP", "UDP"]))
                new = slice_of(name, *data.draw(endpoints), ports=[{"name": "", "port": 8080, "protocol": protocol}])
                driven.services.set_slice(slices.get(name), new)
                slices[name] = new
            case "no slice" if name in slices:
                driven.services.set_slice(slices.pop(name), None)
            case "node":
                driven.table.put("node", node_piece(data.draw(st.sampled_from([(), ("10.0.0.1",), ("10.0.0.2",)]))))
            case "stale":
                driven.nft.run(driven.table.delete_chains(driven.stale))
                driven.stale.clear()
        if data.draw(st.booleans()):
            driven.sync()
    driven.sync()
    driven.nft.run(driven.table.delete_chains(driven.stale))
    assert driven.nft.state == driven.anew().state
    again = new_table(OPTIONS)
    for key, routed in driven.services.routed.items():
        again.put(key, service_piece(routed, OPTIONS))
    assert driven.table.content.chains == again.content.chains
    assert set(again.content.elements) <= set(driven.table.content.elements)
