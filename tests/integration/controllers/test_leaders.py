"""Two controller managers: one works, the other takes over."""

import asyncio

import pytest

from kybern.client.leaderelection import LeaderElector
from kybern.client.rest import Client
from kybern.controllers.manager import Manager
from kybern.testing import builders
from kybern.testing.cluster import InProcessCluster
from kybern.testing.transport import AppTransport


class Watched(AppTransport):
    """Records what was written, leases apart."""

    def __init__(self, cluster):
        super().__init__(cluster.app, cluster._tokens["controllers"])
        self.writes = []

    async def send(self, method, target, headers, body):
        if method != "GET" and "/leases" not in target:
            self.writes.append((method, target))
        return await super().send(method, target, headers, body)


class Replica:
    """A controller manager as the command runs it."""

    def __init__(self, cluster, identity):
        self.transport = Watched(cluster)
        client = Client(self.transport)
        elector = LeaderElector(client, "kube-controller-manager", identity, retry_period=0.05)
        self.manager = Manager(client, controllers="deployment,replicaset,nodelifecycle,serviceaccount")
        self.task = asyncio.create_task(elector.run(self.manager.run))

    async def stop(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def cluster():
    async with InProcessCluster(nodes=1, controllers="") as made:
        await made.create(builders.namespace("work"))
        yield made


async def holder(cluster):
    lease = await cluster.resource("coordination.k8s.io/v1", "leases").get("kube-controller-manager", "kube-system")
    return lease["spec"].get("holderIdentity"), lease["spec"]["leaseTransitions"]


async def test_one_acts_and_the_other_takes_over_when_it_lets_go(cluster):
    first = Replica(cluster, "first")

    async def leads():
        return (await holder(cluster))[0] == "first"

    await cluster.until(leads)
    second = Replica(cluster, "second")
    try:
        await cluster.create(builders.deployment("web", replicas=2))
        await cluster.until(lambda: cluster.ready("web"))
        assert first.transport.writes
        assert second.transport.writes == []
        assert not any(one.ready for one in second.manager.controllers)

        await first.stop()
        before = len(first.transport.writes)
        await cluster.create(builders.deployment("more", replicas=2))
        await cluster.until(lambda: cluster.ready("more"))
        assert await holder(cluster) == ("second", 1)
        assert ("POST", "/apis/apps/v1/namespaces/default/replicasets") in second.transport.writes
        assert len(first.transport.writes) == before
    finally:
        await first.stop()
        await second.stop()
