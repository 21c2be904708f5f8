"""How members of etcd are started, and which can be made anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from kybern.cluster import etcd_member, etcd_reset
from kybern.cluster.layout import CONTROL_PLANE, Layout, Settings
from kybern.cluster.topology import Topology
from kybern.process.daemon import OperatorError


def test_a_member_founds_the_cluster_unless_it_was_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}")
    layout = Layout(tmp_path)
    settings = Settings("n", "10.0.0.1", 6443, role=CONTROL_PLANE, etcd=("10.0.0.1", "10.0.0.2"))
    first = etcd_member.command(layout, settings)
    assert "--initial-cluster-state=new" in first
    assert "--initial-cluster=member-10-0-0-1=https://10.0.0.1:2380,member-10-0-0-2=https://10.0.0.2:2380" in first
    etcd_member.joins(layout).touch()
    assert "--initial-cluster-state=existing" in etcd_member.command(layout, settings)


async def test_a_worker_has_no_member_to_make_anew(tmp_path: Path) -> None:
    topology = Topology.planned(4, 3, "10.0.0.0/24")
    with pytest.raises(OperatorError, match="node-4 has no member of etcd"):
        await etcd_reset.reset(Layout(tmp_path), topology, topology.member("node-4"))
