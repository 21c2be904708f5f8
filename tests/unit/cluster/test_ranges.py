"""Addresses with two meanings, and names that can't be, are refused by `up` before anything is changed."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from kybern.cluster import up
from kybern.cluster.layout import Layout
from kybern.process.daemon import OperatorError

HERE = "--node-ip=192.0.2.7"


def decide(root: Path, *flags: str) -> None:
    parser = argparse.ArgumentParser()
    up.add_flags(parser)
    args = parser.parse_args([f"--data-dir={root}", *flags])
    up._decided(args, Layout(root))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--nodes=2", "--load-balancer-subnet=10.89.0.128/25"], "--load-balancer-subnet 10.89.0.128/25 and --node"),
        (["--nodes=2", "--load-balancer-subnet=fd00::/64"], "must be of IPv4"),
        (["--nodes=2", "--node-subnet=10.244.7.0/24"], "--cluster-cidr 10.244.0.0/16 and --node-subnet 10.244.7.0/24"),
        (["--nodes=2", "--node-subnet=10.100.0.0/24"], "the Services' range 10.96.0.0/12 and --node-subnet"),
        (["--nodes=2", "--cluster-cidr=10.244.0.0/24"], "is too small: it has a /24 for 1 of 2 nodes"),
        ([HERE, "--cluster-cidr=10.96.0.0/16"], "--cluster-cidr 10.96.0.0/16 and the Services' range 10.96.0.0/12"),
        ([HERE, "--cluster-cidr=10.89.0.0/16"], "--cluster-cidr 10.89.0.0/16 and --load-balancer-subnet 10.89.1.0/24"),
        ([HERE, "--cluster-cidr=192.0.2.0/24"], "the node's address 192.0.2.7 is in --cluster-cidr 192.0.2.0/24"),
        ([HERE, "--cluster-cidr=10.244.0.0/25"], "is too small: each node gets a /24"),
        ([HERE, "--cluster-cidr=fd00::/48"], "must be of IPv4"),
        ([HERE, "--node-name=Not_a_name"], "'Not_a_name' is no name for a node"),
    ],
)
def test_what_can_not_be_is_refused(tmp_path: Path, flags: list[str], said: str) -> None:
    with pytest.raises(OperatorError) as refused:
        decide(tmp_path / "d", *flags)
    assert said in str(refused.value)
    assert not (tmp_path / "d").exists()


def test_what_is_usual_is_not(tmp_path: Path) -> None:
    decide(tmp_path, HERE)
    decide(tmp_path, "--nodes=5", "--control-planes=3")
