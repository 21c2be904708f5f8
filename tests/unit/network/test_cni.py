"""The CNI configuration a kubelet writes."""

from __future__ import annotations

import json
from pathlib import Path

from kybern.network import cni


def test_pods_get_routed_interfaces_and_addresses_of_the_nodes_range() -> None:
    found = cni.conflist(["10.244.3.0/24"], Path("/root/cni"))
    ptp, portmap = found["plugins"]
    assert ptp["type"] == "ptp" and ptp["ipMasq"] is False
    assert ptp["ipam"]["ranges"] == [[{"subnet": "10.244.3.0/24"}]]
    assert ptp["ipam"]["routes"] == [{"dst": "0.0.0.0/0"}]
    assert ptp["ipam"]["dataDir"] == "/root/cni"
    assert portmap["type"] == "portmap" and portmap["capabilities"] == {"portMappings": True}


def test_two_families_have_a_range_and_a_default_route_each() -> None:
    ipam = cni.conflist(["10.244.3.0/24", "fd00:3::/64"], Path("/x"))["plugins"][0]["ipam"]
    assert ipam["ranges"] == [[{"subnet": "10.244.3.0/24"}], [{"subnet": "fd00:3::/64"}]]
    assert ipam["routes"] == [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]


def test_pods_packets_may_be_held_to_a_size(tmp_path: Path) -> None:
    assert "mtu" not in cni.conflist(["10.244.3.0/24"], tmp_path)["plugins"][0]
    assert cni.write(tmp_path, ["10.244.3.0/24"], tmp_path, 1450)
    assert json.loads((tmp_path / cni.FILE).read_text())["plugins"][0]["mtu"] == 1450


def test_it_is_written_once_and_anew_for_another_range(tmp_path: Path) -> None:
    directory, data = tmp_path / "net.d", tmp_path / "cni"
    assert cni.write(directory, ["10.244.3.0/24"], data)
    assert not cni.write(directory, ["10.244.3.0/24"], data)
    assert cni.write(directory, ["10.244.4.0/24"], data)
    assert [path.name for path in directory.iterdir()] == [cni.FILE], "no scratch file is left"
    assert json.loads((directory / cni.FILE).read_text()) == cni.conflist(["10.244.4.0/24"], data)
