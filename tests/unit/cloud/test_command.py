"""Flags, configuration files, and finding a cloud by its name."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import dataclass

import pytest

from kybern.client.transport import Unreachable
from kybern.cloud import command, provider
from kybern.cloud.manager import Manager, discover
from kybern.cloud.options import Options
from kybern.process.daemon import OperatorError
from tests.unit.cloud.fake import FakeCloud


def parsed(*flags):
    parser = argparse.ArgumentParser()
    command.add_flags(parser)
    return command.options(parser.parse_args(flags))


@dataclass
class Entry:
    """An entry point, as far as it is asked."""

    name: str
    given: list[object]

    def load(self):
        def create(config):
            self.given.append(config)
            return FakeCloud()

        return create


@pytest.fixture
def entry(monkeypatch):
    """A provider that another distribution brings; gives the configurations it gets."""
    outer = Entry("outer", [])

    def listed(group, name="outer"):
        return [outer] if (group, name) == (provider.GROUP, "outer") else []

    monkeypatch.setattr(provider, "entry_points", listed)
    return outer.given


def test_flags_become_options(entry, tmp_path):
    path = tmp_path / "cloud.yaml"
    path.write_text("zone: z1\n")
    made = parsed(
        "--cloud-provider=outer", f"--cloud-config={path}", "--cluster-name=blue",
        "--cluster-cidr=10.1.0.0/16,fd00::/48",
        "--allocate-node-cidrs", "--configure-cloud-routes=false", "--node-monitor-period=1s",
        "--route-reconciliation-period=1m", "--concurrent-service-syncs=7", "--node-status-update-frequency=2m",
    )  # fmt: skip
    assert entry == [{"zone": "z1"}]
    assert made.cloud.name == "fake"
    assert made.cluster_cidrs == ("10.1.0.0/16", "fd00::/48")
    assert (made.cluster_name, made.allocate_node_cidrs, made.configure_cloud_routes) == ("blue", True, False)
    periods = (made.node_monitor_period, made.route_reconciliation_period, made.node_status_update_frequency)
    assert periods == (1, 60, 120)
    assert made.workers == {"cloud-node-controller": 1, "service-lb-controller": 7}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "say which cloud: --cloud-provider is one of libcloud, local, outer"),
        (["--cloud-provider=sky"], '"sky" is not known; known are libcloud, local, outer'),
        (["--cloud-provider=outer", "--cluster-cidr=x"], "--cluster-cidr: 'x' does not appear"),
        (["--cloud-provider=outer", "--allocate-node-cidrs"], "--configure-cloud-routes needs --cluster-cidr"),
        (["--cloud-provider=outer", "--cloud-config=/nowhere"], "can't read --cloud-config /nowhere"),
    ],
)
def test_mistakes_are_told_in_one_line(entry, flags, said):
    with pytest.raises(OperatorError) as error:
        parsed(*flags)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_a_configuration_must_be_a_mapping(tmp_path):
    path = tmp_path / "cloud.yaml"
    path.write_text("- a\n")
    with pytest.raises(OperatorError, match="is not a YAML mapping"):
        provider.read(str(path))
    path.write_text("a: [")
    with pytest.raises(OperatorError, match="can't read --cloud-config"):
        provider.read(str(path))
    path.write_text("")
    assert provider.read(str(path)) == {}


def test_a_cloud_without_parts_has_no_controllers_for_them():
    class Nothing(provider.Provider):
        name = "nothing"

    options = Options(Nothing(), allocate_node_cidrs=True, cluster_cidrs=("10.0.0.0/8",))
    assert len(discover()) == 4
    assert not [name for name, cls in discover().items() if cls.wanted(options)]


async def test_a_cloud_that_can_not_start_ends_the_manager():
    class Closed(provider.Provider):
        async def start(self, client):
            raise Unreachable("no way to the cloud")

    with pytest.raises(Unreachable, match="no way"):
        await asyncio.wait_for(Manager(None, Options(Closed()), "").run(), 5)
