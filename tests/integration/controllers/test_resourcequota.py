"""What quotas' namespaces use, as it comes and goes."""

import asyncio

import pytest

from kybern.api.errors import Conflict, Forbidden
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
    looked = asyncio.Event()
    monkeypatch.setattr(controller, "_unsettled", lambda key: looked.set() or True)
    await cluster.create(pod("a"))
    # Somebody else's pod is charged and on its way.
    found = await quotas.get("q", "default")
    await quotas.update_status({**found, "status": {**found["status"], "used": {"pods": "2"}}})
    await pods.delete("a", "default", grace_period_seconds=0)
    async with asyncio.timeout(10):
        await looked.wait()
    assert (await quotas.get("q", "default"))["status"]["used"] == {"pods": "2"}
    monkeypatch.undo()
    await used(cluster, {"pods": "0"})


async def test_pods_that_come_and_go_never_overshoot_and_add_up(cluster):
    pods = cluster.resource("v1", "pods")
    await make(cluster, {"pods": "5", "count/pods": "5"})
    await used(cluster, {"pods": "0", "count/pods": "0"})
    most = 0

    async def churn(number):
        nonlocal most
        for turn in range(12):
            name = f"p-{number}-{turn}"
            try:
                await cluster.create(pod(name))
            except (Forbidden, Conflict):
                await asyncio.sleep(0.02)
                continue
            most = max(most, len((await pods.list("default")).items))
            await asyncio.sleep(0.005 * (number % 3))
            await pods.delete(name, "default", grace_period_seconds=0)

    await asyncio.gather(*(churn(number) for number in range(12)))
    assert 0 < most <= 5
    await used(cluster, {"pods": "0", "count/pods": "0"})


async def test_claims_for_devices_add_up_under_all_their_names(cluster):
    dra = "resource.k8s.io/v1"
    spec = {"extendedResourceName": "x.io/gpu"}
    await cluster.create({"apiVersion": dra, "kind": "DeviceClass", "metadata": {"name": "gpu"}, "spec": spec})
    request = {"name": "r", "exactly": {"deviceClassName": "gpu", "count": 2}}
    meta = {"name": "a", "namespace": "default"}
    claim = {"apiVersion": dra, "kind": "ResourceClaim", "metadata": meta, "spec": {"devices": {"requests": [request]}}}
    await cluster.create(claim)
    await make(cluster, {"requests.x.io/gpu": "5", "count/resourceclaims.resource.k8s.io": "5"})
    await used(cluster, {"requests.x.io/gpu": "2", "count/resourceclaims.resource.k8s.io": "1"})
    await cluster.resource(dra, "resourceclaims").delete("a", "default")
    await used(cluster, {"requests.x.io/gpu": "0", "count/resourceclaims.resource.k8s.io": "0"})
