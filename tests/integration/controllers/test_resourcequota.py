"""What quotas' namespaces use, as it comes and goes."""

import pytest

from kybern.api.errors import Forbidden
from kybern.controllers import resourcequota
from kybern.testing.cluster import InProcessCluster
from tests.integration.controllers.test_garbage import CRD


@pytest.fixture
async def cluster():
    async with InProcessCluster(nodes=0, controllers="resourcequota-controller,serviceaccount-controller") as made:
        yield made


def pod(name, **resources):
    container = {"name": "c", "image": "i", "resources": resources}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [container]},
    }  # fmt: skip


async def make(cluster, hard):
    meta = {"name": "q", "namespace": "default"}
    await cluster.create({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": {"hard": hard}})


async def used(cluster, expected):
    """Until the quota says so."""

    async def agrees():
        status = (await cluster.resource("v1", "resourcequotas").get("q", "default")).get("status") or {}
        return status.get("used") == expected

    await cluster.until(agrees)


async def test_what_is_there_already_counts_and_what_goes_is_given_back(cluster):
    pods = cluster.resource("v1", "pods")
    await cluster.create(pod("a", requests={"cpu": "500m"}))
    await make(cluster, {"pods": "2", "requests.cpu": "2", "secrets": "5"})
    await used(cluster, {"pods": "1", "requests.cpu": "500m", "secrets": "0"})
    await cluster.create(pod("b", requests={"cpu": "1"}))
    with pytest.raises(Forbidden, match="exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"):
        await cluster.create(pod("c", requests={"cpu": "1m"}))
    await used(cluster, {"pods": "2", "requests.cpu": "1500m", "secrets": "0"})
    ended = await pods.get("b", "default")
    await pods.update_status({**ended, "status": {**ended["status"], "phase": "Succeeded"}})
    await used(cluster, {"pods": "1", "requests.cpu": "500m", "secrets": "0"})
    await pods.delete("a", "default", grace_period_seconds=0)
    await used(cluster, {"pods": "0", "requests.cpu": "0", "secrets": "0"})


async def test_custom_kinds_are_counted(cluster):
    await cluster.create(CRD)

    async def widget(name):
        meta = {"name": name, "namespace": "default"}
        await cluster.resource("example.com/v1", "widgets").create(
            {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": meta}
        )
        return True

    await cluster.until(lambda: widget("a"))
    await make(cluster, {"count/widgets.example.com": "2"})
    await used(cluster, {"count/widgets.example.com": "1"})
    await widget("b")
    with pytest.raises(Forbidden, match="exceeded quota"):
        await widget("c")
    await cluster.resource("example.com/v1", "widgets").delete("a", "default")
    await used(cluster, {"count/widgets.example.com": "1"})


async def test_what_was_just_charged_is_not_given_back_at_once(cluster, monkeypatch):
    quotas, pods = cluster.resource("v1", "resourcequotas"), cluster.resource("v1", "pods")
    await make(cluster, {"pods": "9"})
    await used(cluster, {"pods": "0"})
    [controller] = [one for one in cluster.manager.controllers if one.name == "resourcequota-controller"]
    monkeypatch.setattr(resourcequota, "_SETTLE", 3600)
    await cluster.create(pod("a"))
    # Somebody else's pod is charged and on its way.
    found = await quotas.get("q", "default")
    await quotas.update_status({**found, "status": {**found["status"], "used": {"pods": "2"}}})
    await pods.delete("a", "default", grace_period_seconds=0)

    async def looked():
        return controller._waited["default/q"]

    await cluster.until(looked)
    assert (await quotas.get("q", "default"))["status"]["used"] == {"pods": "2"}
    monkeypatch.setattr(resourcequota, "_SETTLE", 0)
    controller.queue.add("default/q")
    await used(cluster, {"pods": "0"})
