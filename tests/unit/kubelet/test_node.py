"""The node and its lease, against the API server itself."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kybern.api.errors import Conflict, NotFound
from kybern.api.types import Object
from kybern.client.rest import Client
from kybern.client.transport import Unreachable
from kybern.kubelet.lease import NAMESPACE, Lease
from kybern.kubelet.log_rotation import LogRotation
from kybern.kubelet.machine import Machine, Usage
from kybern.kubelet.node import Node
from kybern.kubelet.node_status import Facts
from kybern.kubelet.runtime.cache import RuntimeCache
from kybern.kubelet.runtime.client import RuntimeFailure
from kybern.process.clock import clock
from kybern.testing.cluster import InProcessCluster
from tests.unit.kubelet.making import NOW, config


class Machinery:
    """A node whose facts the test sets, and the events it told."""

    def __init__(self, client: Client, **settings: object) -> None:
        box, free = Machine(2, 4 << 30, {}), Usage(2 << 30, 100 << 30, 50 << 30)
        self.facts = Facts(NOW, box, free, ("not yet",))
        self.events: list[str] = []
        self.node = Node(client, config(**settings), lambda: self.facts, self._record)

    def _record(self, obj: Object, type_: str, reason: str, message: str, field_path: str) -> None:
        self.events.append(reason)


@pytest.fixture
async def cluster() -> AsyncIterator[InProcessCluster]:
    async with InProcessCluster(nodes=0, controllers="namespace-controller", scheduler=False) as cluster:
        yield cluster


@pytest.fixture
def stepped(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time; set its only item."""
    now = [NOW]
    monkeypatch.setattr(clock, "now_fn", lambda: now[0])
    return now


async def stored(cluster: InProcessCluster) -> Object:
    return await cluster.resource("v1", "nodes").get("node1")


def ready(node: Object) -> str:
    found = {condition["type"]: condition["status"] for condition in node["status"]["conditions"]}
    return str(found["Ready"])


async def test_a_node_is_registered_with_labels_and_taints_and_reports_its_status(cluster: InProcessCluster) -> None:
    taint = {"key": "k", "value": "v", "effect": "NoSchedule"}
    made = Machinery(cluster.client, node_labels={"disk": "ssd"}, node_taints=[taint])
    await made.node.register()
    assert (await stored(cluster))["status"]["allocatable"]["pods"] == "110"
    await made.node.report()
    node = await stored(cluster)
    assert node["metadata"]["labels"]["disk"] == "ssd"
    assert node["metadata"]["labels"]["kubernetes.io/hostname"] == "node1"
    assert taint in node["spec"]["taints"]
    assert node["status"]["addresses"] == [
        {"type": "InternalIP", "address": "192.0.2.7"}, {"type": "Hostname", "address": "node1"}
    ]  # fmt: skip
    assert node["status"]["capacity"]["memory"] == "4Gi"
    assert ready(node) == "False"
    made.facts = dataclasses.replace(made.facts, not_ready=())
    await made.node.report()
    assert ready(await stored(cluster)) == "True"
    assert made.events[-1] == "NodeReady"


async def test_a_node_that_is_there_is_adopted_and_brought_up_to_date(cluster: InProcessCluster) -> None:
    await Machinery(cluster.client, node_ips=("192.0.2.1", "fd00::1")).node.register()
    first = await stored(cluster)
    old = Machinery(cluster.client, node_ips=("192.0.2.1", "fd00::1"))
    await old.node.register()
    await old.node.report()
    new = Machinery(cluster.client, node_ips=("192.0.2.9",), node_labels={"zone": "b"})
    await new.node.register()
    await new.node.report()
    node = await stored(cluster)
    assert node["metadata"]["uid"] == first["metadata"]["uid"]
    assert node["metadata"]["labels"]["zone"] == "b"
    assert [entry["address"] for entry in node["status"]["addresses"]] == ["192.0.2.9", "node1"]


async def test_an_external_cloud_has_the_last_word(cluster: InProcessCluster) -> None:
    nodes = cluster.resource("v1", "nodes")
    made = Machinery(cluster.client, external_cloud=True)
    await made.node.register()
    await made.node.report()
    node = await stored(cluster)
    uninitialized = {"key": "node.cloudprovider.kubernetes.io/uninitialized", "value": "true", "effect": "NoSchedule"}
    assert uninitialized in node["spec"]["taints"]
    assert "addresses" not in node["status"]
    assert "alpha.kubernetes.io/provided-node-ip" not in node["metadata"]["annotations"]
    given = [{"type": "InternalIP", "address": "192.0.2.50"}]
    await nodes.patch("node1", {"spec": {"taints": None}, "status": {}})
    made.node.seen(await nodes.patch("node1", {"status": {"addresses": given}}, subresource="status"))
    made.facts = dataclasses.replace(made.facts, not_ready=())
    await made.node.report()
    assert ready(await stored(cluster)) == "True"
    assert (await stored(cluster))["status"]["addresses"] == given
    # A later life of the kubelet doesn't put the taint on again; it tells the cloud what the operator said.
    again = Machinery(cluster.client, external_cloud=True, node_ips_given=True)
    await again.node.register()
    await again.node.report()
    node = await stored(cluster)
    assert uninitialized not in node["spec"].get("taints", [])
    assert node["metadata"]["annotations"]["alpha.kubernetes.io/provided-node-ip"] == "192.0.2.7"
    assert node["status"]["addresses"] == given
    await Machinery(cluster.client).node.register()
    assert "alpha.kubernetes.io/provided-node-ip" not in (await stored(cluster))["metadata"]["annotations"]


async def test_addresses_that_the_operator_said_are_there_before_the_cloud_s(cluster: InProcessCluster) -> None:
    made = Machinery(cluster.client, external_cloud=True, node_ips_given=True)
    await made.node.register()
    await made.node.report()
    node = await stored(cluster)
    assert node["metadata"]["annotations"]["alpha.kubernetes.io/provided-node-ip"] == "192.0.2.7"
    assert [entry["address"] for entry in node["status"]["addresses"]] == ["192.0.2.7", "node1"]


async def test_an_unchanged_status_is_sent_when_its_heartbeat_is_due(
    cluster: InProcessCluster, stepped: list[float]
) -> None:
    made = Machinery(cluster.client)
    await made.node.register()
    await made.node.report()
    version = (await stored(cluster))["metadata"]["resourceVersion"]
    stepped[0] = NOW + 299
    made.facts = dataclasses.replace(made.facts, now=NOW + 299)
    await made.node.report()
    assert (await stored(cluster))["metadata"]["resourceVersion"] == version
    stepped[0] = NOW + 300
    made.facts = dataclasses.replace(made.facts, now=NOW + 300)
    await made.node.report()
    assert (await stored(cluster))["metadata"]["resourceVersion"] != version


async def test_a_condition_that_the_controller_took_away_is_reported_again(cluster: InProcessCluster) -> None:
    made = Machinery(cluster.client)
    await made.node.register()
    made.facts = dataclasses.replace(made.facts, not_ready=())
    await made.node.report()
    lost = {"status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
    nodes = cluster.resource("v1", "nodes")
    made.node.seen(await nodes.patch("node1", lost, type="strategic", subresource="status"))
    await made.node.report()
    assert ready(await stored(cluster)) == "True"


async def test_registering_waits_for_the_api_server(
    cluster: InProcessCluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    made = Machinery(cluster.client)
    calls = 0

    async def refused(obj: Object) -> Object:
        nonlocal calls
        calls += 1
        if calls < 4:
            raise Unreachable("no answer from the server")
        made.node._nodes.create = create  # type: ignore[method-assign]
        return await create(obj)

    create = made.node._nodes.create
    made.node._nodes.create = refused  # type: ignore[method-assign,assignment]
    await made.node.register()
    assert (await stored(cluster))["metadata"]["name"] == "node1"
    said = [record.message for record in caplog.records if "not registered yet" in record.message]
    assert said == ["node node1 is not registered yet: no answer from the server"], "once, however often it tries"


async def test_a_lease_belongs_to_its_node_and_is_renewed(cluster: InProcessCluster, stepped: list[float]) -> None:
    await cluster.until(lambda: _namespace_is_there(cluster))
    made = Machinery(cluster.client)
    await made.node.register()
    lease = Lease(cluster.client, "node1", 40, lambda: made.node.object)
    leases = cluster.resource("coordination.k8s.io/v1", "leases")
    await lease.renew()
    first = await leases.get("node1", NAMESPACE)
    assert first["spec"]["holderIdentity"] == "node1"
    assert first["spec"]["leaseDurationSeconds"] == 40
    owner = first["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"]) == ("Node", (await stored(cluster))["metadata"]["uid"])
    stepped[0] = NOW + 10
    await lease.renew()
    assert (await leases.get("node1", NAMESPACE))["spec"]["renewTime"] > first["spec"]["renewTime"]


async def test_a_lease_that_somebody_else_touched_is_read_again(cluster: InProcessCluster) -> None:
    await cluster.until(lambda: _namespace_is_there(cluster))
    lease = Lease(cluster.client, "node1", 40, lambda: None)
    leases = cluster.resource("coordination.k8s.io/v1", "leases")
    await lease.renew()
    await leases.patch("node1", {"metadata": {"labels": {"a": "b"}}}, NAMESPACE)
    with pytest.raises(Conflict):
        await lease.renew()
    await lease.renew()
    await leases.delete("node1", NAMESPACE)
    with pytest.raises((Conflict, NotFound)):
        await lease.renew()
    await lease.renew()
    assert (await leases.get("node1", NAMESPACE))["spec"]["holderIdentity"] == "node1"


async def _namespace_is_there(cluster: InProcessCluster) -> bool:
    try:
        return bool(await cluster.resource("v1", "namespaces").get(NAMESPACE))
    except NotFound:
        return False


class Reopening:
    """A runtime that begins the log anew, or can't."""

    def __init__(self, path: Path) -> None:
        self.path, self.fails = path, False

    async def reopen_log(self, container: str) -> None:
        if self.fails:
            raise RuntimeFailure("UNAVAILABLE", "away")
        self.path.write_text("new\n")


async def test_logs_are_set_aside_compressed_and_dropped(tmp_path: Path, stepped: list[float]) -> None:
    path = tmp_path / "0.log"
    runtime = Reopening(path)
    rotation = LogRotation(runtime, RuntimeCache(runtime), 10, 3)  # type: ignore[arg-type]
    path.write_text("0\n")
    for number in range(4):
        stepped[0] = NOW + number
        await rotation.rotate("c", path)
        path.write_text(f"{number + 1}\n")
    names = sorted(file.name for file in tmp_path.iterdir())
    assert len(names) == 3, names
    assert [name.endswith(".gz") for name in names] == [False, True, False]
    assert path.read_text() == "4\n"


async def test_a_log_stays_where_the_runtime_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    path.write_text("kept\n")
    runtime = Reopening(path)
    runtime.fails = True
    with pytest.raises(RuntimeFailure):
        await LogRotation(runtime, RuntimeCache(runtime), 10, 3).rotate("c", path)  # type: ignore[arg-type]
    assert path.read_text() == "kept\n"
    assert [file.name for file in tmp_path.iterdir()] == ["0.log"]
