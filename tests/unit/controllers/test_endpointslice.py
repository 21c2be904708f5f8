"""EndpointSlices: what an endpoint says, and how endpoints are packed with the fewest writes."""

import pytest

from kybern.controllers.endpointslice import endpoint, slice_ports
from kybern.controllers.endpointslice_packing import pack, port_key
from kybern.controllers.endpointslicemirroring import _is_mirrored, mirrored_endpoints
from tests.unit.controllers.objects import node, pod, service

ZONED = node(labels={"topology.kubernetes.io/zone": "z1"})


@pytest.mark.parametrize(
    ("made", "publish", "expected"),
    [
        (pod(), False, (True, True, False)),
        (pod(ready=False), False, (False, False, False)),
        (pod(going=True), False, (False, True, True)),
        (pod(going=True, ready=False), False, (False, False, True)),
        (pod(ready=False), True, (True, False, False)),
        (pod(going=True), True, (True, True, True)),
    ],
)
def test_conditions(made, publish, expected):
    found = endpoint(service(publishNotReadyAddresses=publish), made, "10.0.0.1", None)["conditions"]
    assert (found["ready"], found["serving"], found["terminating"]) == expected


def test_what_an_endpoint_says():
    assert endpoint(service(), pod("a", hostname="db", subdomain="web"), "10.0.0.1", ZONED) == {
        "addresses": ["10.0.0.1"],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "targetRef": {"kind": "Pod", "namespace": "default", "name": "a", "uid": "uid-a"},
        "hostname": "db",
        "nodeName": "n",
        "zone": "z1",
    }


@pytest.mark.parametrize(
    ("near", "hints"),
    [
        ("", None),
        ("PreferClose", {"forZones": [{"name": "z1"}]}),
        ("PreferSameZone", {"forZones": [{"name": "z1"}]}),
        ("PreferSameNode", {"forZones": [{"name": "z1"}], "forNodes": [{"name": "n"}]}),
    ],
)
def test_hints(near, hints):
    chosen = service(trafficDistribution=near)
    assert endpoint(chosen, pod(), "10.0.0.1", ZONED).get("hints") == hints
    assert "hints" not in endpoint(chosen, pod(ready=False), "10.0.0.1", ZONED)
    unzoned = endpoint(chosen, pod(), "10.0.0.1", node()).get("hints")
    assert unzoned == ({"forNodes": [{"name": "n"}]} if near == "PreferSameNode" else None)


def test_ports():
    wanted = [
        {"name": "a", "port": 80, "appProtocol": "kubernetes.io/h2c"},
        {"name": "b", "port": 81, "targetPort": "none"},
        {"name": "c", "port": 82, "targetPort": 9, "protocol": "UDP"},
    ]
    assert slice_ports(service(ports=wanted), pod()) == [
        {"name": "a", "port": 80, "protocol": "TCP", "appProtocol": "kubernetes.io/h2c"},
        {"name": "c", "port": 9, "protocol": "UDP"},
    ]


def test_a_pod_that_serves_none_of_the_ports_is_an_endpoint_without_any():
    assert slice_ports(service(ports=[{"name": "b", "port": 81, "targetPort": "none"}]), pod()) == []


HTTP = [{"name": "", "port": 80, "protocol": "TCP"}]
OTHER = [{"name": "", "port": 81, "protocol": "TCP"}]
LABELS = {"l": "1"}


def ends(*numbers, **fields):
    return [{"addresses": [f"10.0.0.{n}"], "targetRef": {"uid": f"u{n}"}, **fields} for n in numbers]


def held(name, numbers, ports=HTTP, labels=LABELS):
    return {"metadata": {"name": name, "labels": labels}, "endpoints": ends(*numbers), "ports": ports}


def packed(existing, wanted, capacity=3):
    """The plan as {"create": [...], ...}: of each slice its name, its endpoints' numbers, its ports."""

    def refresh(one):
        same = one["metadata"]["labels"] == LABELS
        return one if same else {**one, "metadata": {**one["metadata"], "labels": LABELS}}

    keyed = {port_key(ports): found for ports, found in wanted}
    plan = pack(existing, keyed, lambda: {"metadata": {}, "endpoints": [], "ports": []}, refresh, capacity)

    def tell(one):
        numbers = sorted(int(e["addresses"][0].rpartition(".")[2]) for e in one["endpoints"])
        ports = [port["port"] for port in one["ports"]]
        return one["metadata"].get("name"), numbers, ports

    assert not any(one["metadata"].get("labels", LABELS) != LABELS for one in plan.update)
    found = {"create": plan.create, "update": plan.update, "delete": plan.delete}
    return {what: [tell(one) for one in listed] for what, listed in found.items() if listed}


def test_nothing_to_do_is_nothing_written():
    assert packed([held("a", [1, 2, 3]), held("b", [4])], [(HTTP, ends(4, 3, 2, 1))]) == {}


def test_full_slices_and_a_rest():
    found = packed([], [(HTTP, ends(*range(1, 8)))])["create"]
    assert sorted(len(numbers) for _, numbers, _ in found) == [1, 3, 3]
    assert sorted(n for _, numbers, _ in found for n in numbers) == list(range(1, 8))
    assert all(ports == [80] for _, _, ports in found)


def test_exactly_as_many_as_fit_make_one_slice():
    assert packed([], [(HTTP, ends(1, 2, 3))]) == {"create": [(None, [1, 2, 3], [80])]}


def test_a_new_endpoint_goes_where_a_write_is_due_anyway():
    existing = [held("a", [1, 2]), held("b", [3, 4])]
    assert packed(existing, [(HTTP, ends(1, 3, 4, 5))]) == {"update": [("a", [1, 5], [80])]}


def test_else_into_the_fullest_slice_with_room():
    existing = [held("a", [1]), held("b", [2, 3]), held("c", [4, 5, 6])]
    assert packed(existing, [(HTTP, ends(*range(1, 8)))]) == {"update": [("b", [2, 3, 7], [80])]}


def test_else_into_a_new_slice_though_the_old_ones_have_gaps():
    existing = [held("a", [1, 2]), held("b", [3, 4])]
    assert packed(existing, [(HTTP, ends(*range(1, 7)))]) == {"create": [(None, [5, 6], [80])]}


def test_slices_are_not_merged_to_be_fuller():
    existing = [held("a", [1]), held("b", [2]), held("c", [3, 4])]
    assert packed(existing, [(HTTP, ends(1, 2, 3))]) == {"update": [("c", [3], [80])]}


def test_of_slices_that_are_written_the_fullest_is_filled_first():
    existing = [held("a", [1, 9]), held("b", [2, 3, 8])]
    found = packed(existing, [(HTTP, ends(1, 2, 3, 4))])
    assert sorted(found["update"]) == [("a", [1], [80]), ("b", [2, 3, 4], [80])]


def test_a_slice_that_is_emptied_goes():
    existing = [held("a", [1]), held("b", [2])]
    assert packed(existing, [(HTTP, ends(1))]) == {"delete": [("b", [2], [80])]}


def test_or_is_used_for_what_is_new():
    existing = [held("a", [1, 2, 3]), held("b", [4])]
    assert packed(existing, [(HTTP, ends(1, 2, 3, 5))]) == {"update": [("b", [5], [80])]}


def test_a_changed_endpoint_stays_where_it_is():
    changed = ends(1, 2)
    changed[0]["nodeName"] = "n"
    assert packed([held("a", [1, 2])], [(HTTP, changed)]) == {"update": [("a", [1, 2], [80])]}


def test_other_ports_are_other_slices():
    found = packed([], [(HTTP, ends(1)), (OTHER, ends(2))])
    assert sorted(found["create"]) == [(None, [1], [80]), (None, [2], [81])]


def test_new_ports_take_over_the_slices_of_the_old_ones():
    existing = [held("a", [1, 2, 3]), held("b", [4])]
    found = packed(existing, [(OTHER, ends(1, 2, 3, 4))])
    assert sorted(name for name, _, _ in found.pop("update")) == ["a", "b"]
    assert found == {}


def test_changed_labels_are_written_once():
    existing = [held("a", [1], labels={}), held("b", [2])]
    assert packed(existing, [(HTTP, ends(1, 2, 3))]) == {"update": [("a", [1, 3], [80])]}


def test_without_endpoints_one_empty_slice_stays():
    assert packed([], []) == {"create": [(None, [], [])]}
    assert packed([held("a", [], [])], []) == {}
    assert packed([held("a", [], [], labels={})], []) == {"update": [("a", [], [])]}
    assert packed([held("a", [1])], []) == {"update": [("a", [], [])]}
    found = packed([held("a", [1]), held("b", [2])], [])
    assert (len(found["update"]), len(found["delete"])) == (1, 1)
    assert found["update"][0][1:] == ([], [])


def test_the_empty_slice_is_used_for_the_first_endpoints():
    assert packed([held("a", [], [])], [(HTTP, ends(1))]) == {"update": [("a", [1], [80])]}
    assert packed([held("a", [], [])], [([], ends(1))]) == {"update": [("a", [1], [])]}


def test_slices_from_a_time_of_more_room_lose_nothing():
    assert packed([held("a", [1, 2, 3, 4, 5])], [(HTTP, ends(1, 2, 3, 4, 6))]) == {
        "update": [("a", [1, 2, 3, 4], [80])],
        "create": [(None, [6], [80])],
    }


def subset(ready, unready=0, **port):
    def listed(count, start):
        return [{"ip": f"10.{start}.{i // 250}.{i % 250}"} for i in range(count)]

    made = {"addresses": listed(ready, 1), "notReadyAddresses": listed(unready, 2)}
    return {**made, "ports": [{"port": 80, "protocol": "TCP", **port}]}


def test_mirrored_endpoints_by_family_and_ports():
    both = subset(1, 1, name="http")
    both["addresses"].append({"ip": "fd00::1", "nodeName": "n", "hostname": "h"})
    endpoints = {"metadata": {}, "subsets": [both, subset(1)]}
    found = mirrored_endpoints(endpoints, "IPv4")
    assert len(found) == 2
    http = found[port_key([{"name": "http", "port": 80, "protocol": "TCP"}])]
    assert [(one["addresses"], one["conditions"]) for one in http] == [
        (["10.1.0.0"], {"ready": True}),
        (["10.2.0.0"], {"ready": False}),
    ]
    ((six,),) = mirrored_endpoints(endpoints, "IPv6").values()
    assert six == {"addresses": ["fd00::1"], "conditions": {"ready": True}, "hostname": "h", "nodeName": "n"}


@pytest.mark.parametrize(("ready", "unready", "kept"), [(1000, 5, (1000, 0)), (998, 5, (998, 2)), (0, 1500, (0, 1000))])
def test_of_a_subset_a_thousand_addresses_are_mirrored(ready, unready, kept):
    (found,) = mirrored_endpoints({"metadata": {}, "subsets": [subset(ready, unready)]}, "IPv4").values()
    counted = sum(one["conditions"]["ready"] for one in found)
    assert (counted, len(found) - counted) == kept


@pytest.mark.parametrize(
    ("meta", "spec", "mirrored"),
    [
        ({}, {}, True),
        ({}, {"selector": {"a": "b"}}, False),
        ({"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}, {}, False),
        ({"labels": {"endpointslice.kubernetes.io/skip-mirror": "false"}}, {}, True),
        ({"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}}, {}, False),
    ],
)
def test_what_is_mirrored(meta, spec, mirrored):
    assert _is_mirrored({"metadata": meta}, {"spec": spec}) is mirrored
