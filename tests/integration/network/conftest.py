"""The namespaces and the API server of the package's tests, and a clean slate for each."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator

import pytest

from tests.integration.network.cluster import Cluster
from tests.integration.network.net import MACHINES, Net, remove_leftovers


@pytest.fixture(scope="package")
def net() -> Iterator[Net]:
    missing = [program for program in ("ip", "bridge", "nsenter", "curl") if not shutil.which(program)]
    if os.geteuid() != 0 or missing:
        pytest.skip(f"needs root and {', '.join(missing) or 'nothing more'}")
    remove_leftovers()
    made = Net(f"{os.getpid()}-{uuid.uuid4().hex[:4]}")
    try:
        try:
            made.build()
        except AssertionError as error:
            if "not permitted" in str(error):
                pytest.skip(f"network namespaces can't be made here: {error}")
            raise
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="package")
def server(net: Net, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(net, tmp_path_factory.mktemp("network")).running() as running:
        yield running


@pytest.fixture
def cluster(server: Cluster) -> Iterator[Cluster]:
    """All three nodes are registered; no agent runs, and none has left anything."""
    for machine in MACHINES:
        server.register(machine)
    yield server
    for machine in MACHINES:
        server.cleanup(machine)
    for node in server.api("GET", "/api/v1/nodes")["items"]:
        server.api("DELETE", f"/api/v1/nodes/{node['metadata']['name']}")
