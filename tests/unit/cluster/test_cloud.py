"""What the cloud controller manager is told."""

from __future__ import annotations

import argparse
from pathlib import Path

import yaml

from kybern.cloud import command
from kybern.cluster import cloud, credentials, several
from kybern.cluster.components import components
from kybern.cluster.layout import Layout, Settings
from kybern.cluster.topology import Topology


def options(layout: Layout, settings: Settings):
    """The manager's, from what `up` has written."""
    layout.make()
    cloud.write(layout, settings)
    parser = argparse.ArgumentParser()
    command.add_flags(parser)
    return command.options(parser.parse_args(cloud.flags(layout, settings)))


def test_a_single_node_is_the_machine_itself(tmp_path: Path) -> None:
    made = options(Layout(tmp_path), Settings("here", "192.0.2.7"))
    assert (made.cloud.name, made.cloud.routes, made.allocate_node_cidrs) == ("local", None, False)
    config = yaml.safe_load((tmp_path / "cloud" / "config.yaml").read_text())
    assert config["machine"] == {"name": "here", "ip": "192.0.2.7"}
    assert config["loadBalancers"]["subnet"] == "10.89.1.0/24"


async def test_several_nodes_are_those_on_the_bridge_with_routes(tmp_path: Path) -> None:
    topology, layout = Topology.planned(3, 1, "10.89.0.0/24"), Layout(tmp_path)
    topology.write(layout)
    home = several.home_settings(topology, secure_port=6443, cluster_cidr="10.244.0.0/16", network_mode="auto")
    made = options(layout, home)
    assert (made.allocate_node_cidrs, made.cluster_cidrs) == (True, ("10.244.0.0/16",))
    assert made.cloud.routes is not None
    found = await made.cloud.instances.metadata({"metadata": {"name": "node-3"}, "spec": {}})
    assert found.provider_id == "local://node-3"


def test_only_a_single_node_runs_it_itself_and_has_what_it_takes(tmp_path: Path) -> None:
    layout, settings = Layout(tmp_path), Settings("here", "192.0.2.7")
    layout.make()
    credentials.prepare(layout, settings)
    (found,) = (one for one in components(layout, settings) if one.name == "cloud-controller-manager")
    for flag in found.argv:
        if flag.startswith(("--kubeconfig=", "--tls-")):
            assert Path(flag.partition("=")[2]).exists(), flag
    (kubelet,) = (one for one in components(layout, settings) if one.name == "kubelet")
    assert "--cloud-provider=external" not in kubelet.argv
