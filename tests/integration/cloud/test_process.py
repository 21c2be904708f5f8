"""The cloud controller manager as a process, over Libcloud's dummy machines."""

from __future__ import annotations

import asyncio
import re
import signal
import sys

import pytest

from kybern.testing import builders
from kybern.testing.cluster import InProcessCluster

UNINITIALIZED = {"key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule"}
CONFIG = "compute: {driver: dummy, credentials: {creds: {env: DUMMY}}, region: r1}\n"


async def start(*flags, **environment):
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kybern", "cloud-controller-manager", *flags,
        env={"PATH": "/usr/bin:/bin", **environment}, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


@pytest.fixture
async def cluster():
    async with InProcessCluster(nodes=0, controllers="", scheduler=False) as made:
        yield made


async def test_it_leads_initialises_nodes_and_gives_the_lease_back(cluster, tmp_path):
    kubeconfig = await cluster.serve(tmp_path)
    config = tmp_path / "cloud.yaml"
    config.write_text(CONFIG)
    nodes, leases = cluster.resource("v1", "nodes"), cluster.resource("coordination.k8s.io/v1", "leases")
    process = await start(
        "--cloud-provider=libcloud", f"--cloud-config={config}", f"--kubeconfig={kubeconfig}", "--secure-port=0",
        "--leader-elect-retry-period=100ms", DUMMY="3",
    )  # fmt: skip
    try:
        await nodes.create({**builders.node("dummy-1"), "spec": {"taints": [UNINITIALIZED]}})

        async def initialised():
            return (await nodes.get("dummy-1"))["spec"].get("providerID")

        assert await cluster.until(initialised) == "libcloud://dummy/1"
        node = await nodes.get("dummy-1")
        assert node["metadata"]["labels"]["topology.kubernetes.io/region"] == "r1"
        assert UNINITIALIZED not in node["spec"]["taints"]
        assert (await leases.get("cloud-controller-manager", "kube-system"))["spec"]["holderIdentity"]
    finally:
        process.send_signal(signal.SIGTERM)
        _, log = await process.communicate()
    assert process.returncode == 0
    assert not (await leases.get("cloud-controller-manager", "kube-system"))["spec"].get("holderIdentity")
    running = re.search(rb"running (.*)", log)
    assert running
    assert running[1].decode() == "cloud-node-controller, cloud-node-lifecycle-controller"
    assert b"service-lb-controller doesn't run: the cloud provider has no load balancers" in log


async def test_mistakes_end_it_with_one_line():
    process = await start("--cloud-provider=sky")
    _, log = await process.communicate()
    assert process.returncode == 1
    assert log.startswith(b'kybern: --cloud-provider: "sky" is not known; known are ')
    assert log.count(b"\n") == 1
