"""A server behind the API server that can't be asked: what is not of it goes on as ever."""

from __future__ import annotations

import pytest

from kybern.testing.cluster import InProcessCluster


@pytest.fixture
async def cluster():
    names = "garbage-collector-controller,namespace-controller"
    async with InProcessCluster(nodes=0, scheduler=False, controllers=names) as made:
        where = {"namespace": "default", "name": "none", "port": 443}
        spec = {"group": "gone.example.com", "version": "v1", "service": where, "insecureSkipTLSVerify": True}
        api_service = {"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService"}
        spec |= {"groupPriorityMinimum": 1000, "versionPriority": 10}
        await made.create({**api_service, "metadata": {"name": "v1.gone.example.com"}, "spec": spec})
        yield made


def config_map(name, namespace="default", **metadata):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace, **metadata}}


async def test_garbage_is_collected(cluster):
    owner = await cluster.create(config_map("owner"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    await cluster.create(config_map("owned", ownerReferences=[reference]))
    maps = cluster.resource("v1", "configmaps")
    await maps.delete("owner", "default")

    async def gone():
        return "owned" not in {one["metadata"]["name"] for one in (await maps.list("default")).items}

    await cluster.until(gone)


async def test_a_namespace_is_emptied_but_stays_and_says_why(cluster):
    await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}})
    await cluster.create(config_map("a", "n"))
    namespaces = cluster.resource("v1", "namespaces")
    await namespaces.delete("n")

    async def said():
        found = await namespaces.get("n")
        conditions = {one["type"]: one for one in found["status"].get("conditions") or ()}
        failure = conditions.get("NamespaceDeletionDiscoveryFailure")
        return failure if failure and failure["status"] == "True" else None

    failure = await cluster.until(said)
    assert "gone.example.com/v1: stale GroupVersion discovery" in failure["message"]
    assert (await cluster.resource("v1", "configmaps").list("n")).items == []
    await cluster.resource("apiregistration.k8s.io/v1", "apiservices").delete("v1.gone.example.com")

    async def away():
        return "n" not in {one["metadata"]["name"] for one in (await namespaces.list()).items}

    await cluster.until(away, timeout=60)
