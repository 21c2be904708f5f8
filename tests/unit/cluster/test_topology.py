"""Which nodes there are and what each is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from kybern.cluster import balancer, machines, several
from kybern.cluster.components import components
from kybern.cluster.etcd_member import client_flags
from kybern.cluster.layout import CONTROL_PLANE, WORKER, Layout
from kybern.cluster.topology import Topology, layout_of
from kybern.process.daemon import OperatorError

SUBNET = "10.89.0.0/24"


def test_the_first_nodes_run_the_control_plane() -> None:
    topology = Topology.planned(5, 3, SUBNET)
    assert [member.name for member in topology.members] == [f"node-{n}" for n in range(1, 6)]
    assert [member.ip for member in topology.control_planes] == ["10.89.0.11", "10.89.0.12", "10.89.0.13"]
    assert topology.etcd == topology.control_planes
    assert topology.gateway == "10.89.0.1"


def test_one_control_plane_needs_no_etcd() -> None:
    assert Topology.planned(2, 1, SUBNET).etcd == []


@pytest.mark.parametrize(("nodes", "control_planes"), [(5, 2), (1, 3), (0, 1), (201, 1)])
def test_what_makes_no_cluster_is_refused(nodes: int, control_planes: int) -> None:
    with pytest.raises(OperatorError):
        Topology.planned(nodes, control_planes, SUBNET)


def test_nodes_come_and_go_and_addresses_are_used_again() -> None:
    topology = Topology.planned(3, 1, SUBNET).without("node-2").with_new("extra")
    assert topology.member("extra").ip == "10.89.0.12"
    for name in ("extra", "Bad_Name", ""):
        with pytest.raises(OperatorError):
            topology.with_new(name)
    with pytest.raises(OperatorError, match="no node none"):
        topology.member("none")


def test_a_full_subnet_says_so() -> None:
    with pytest.raises(OperatorError, match="no address is left"):
        Topology.planned(5, 1, "10.89.0.0/28")


def test_it_survives_on_disk(tmp_path: Path) -> None:
    layout, topology = Layout(tmp_path), Topology.planned(3, 3, SUBNET).with_stopped("node-2", True)
    assert Topology.read(layout) is None
    topology.write(layout)
    assert Topology.read(layout) == topology
    (tmp_path / "nodes.json").write_text("{")
    with pytest.raises(OperatorError, match="damaged"):
        Topology.read(layout)


def test_control_planes_keep_workloads_off_only_where_there_are_workers() -> None:
    for topology, taints in ((Topology.planned(5, 3, SUBNET), True), (Topology.planned(3, 3, SUBNET), False)):
        home = several.home_settings(topology, secure_port=6443, cluster_cidr="10.244.0.0/16", network_mode="auto")
        first = several.node_settings(home, topology, topology.members[0])
        assert first.role == CONTROL_PLANE
        assert bool(first.taints) is taints
        assert first.endpoint == "10.89.0.1:6443"
    worker = several.node_settings(home, Topology.planned(5, 3, SUBNET), Topology.planned(5, 3, SUBNET).members[4])
    assert (worker.role, worker.etcd, worker.group) == (WORKER, (), "kybern/node-5")


def test_each_role_runs_what_is_its_own(tmp_path: Path) -> None:
    topology = Topology.planned(4, 3, SUBNET)
    home = several.home_settings(topology, secure_port=6443, cluster_cidr="10.244.0.0/16", network_mode="direct")
    layout = Layout(tmp_path)
    runs = {}
    for member in topology.members:
        settings = several.node_settings(home, topology, member)
        runs[member.name] = [one.name for one in components(layout_of(layout, member.name), settings)]
    assert runs["node-4"] == ["containerd", "kubelet", "proxy", "network"]
    assert {"etcd", "apiserver", "controller-manager", "scheduler", "dns", *runs["node-4"]} == set(runs["node-1"])
    second = several.node_settings(home, topology, topology.members[1])
    servers = client_flags(layout, second)[0]
    assert servers.startswith("--etcd-servers=https://10.89.0.12:2379,"), "the member beside it comes first"


def test_the_machine_runs_nodes_that_are_not_stopped_the_balancer_and_the_cloud(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, topology = Layout(tmp_path), Topology.planned(3, 3, SUBNET).with_stopped("node-2", True)
    monkeypatch.setattr(machines, "_CGROUPS", tmp_path / "cgroups")
    (tmp_path / "cgroups" / "freezer").mkdir(parents=True)
    topology.write(layout)
    balancer.write(layout, topology, 6443)
    home = several.home_settings(topology, secure_port=6443, cluster_cidr="10.244.0.0/16", network_mode="auto")
    made = components(layout, home)
    assert [one.name for one in made] == ["balancer", "node-node-1", "node-node-3", "cloud-controller-manager"]
    config = (tmp_path / "balancer.cfg").read_text()
    assert "bind 10.89.0.1:6443" in config
    assert "server node-2 10.89.0.12:6443 check" in config
