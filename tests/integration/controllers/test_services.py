"""Endpoints and budgets where something is missing."""

import contextlib

import pytest

from kybern.api.errors import NotFound
from kybern.controllers import pods
from kybern.controllers.options import Options
from kybern.testing import builders
from kybern.testing.cluster import InProcessCluster

MANAGED = "endpointslice.kubernetes.io/managed-by"


@pytest.fixture
async def cluster():
    async with InProcessCluster(nodes=1, options=Options(max_endpoints_per_slice=2)) as made:
        yield made


async def slices(cluster, manager="endpointslice-controller.k8s.io"):
    listed = (await cluster.resource("discovery.k8s.io/v1", "endpointslices").list("default")).items
    return [one for one in listed if one["metadata"]["labels"].get(MANAGED) == manager]


async def running(cluster, count):
    async def there():
        listed = (await cluster.resource("v1", "pods").list("default")).items
        return sum(map(pods.is_ready, listed)) == count

    await cluster.until(there)


async def test_slices_hold_no_more_than_allowed_and_take_over_new_ports(cluster):
    await cluster.create(builders.service("web"))
    for number in range(5):
        await cluster.create(builders.pod(f"p{number}", labels={"app": "web"}))

    def packed_with(port):
        async def packed():
            found = await slices(cluster)
            addresses = {e["addresses"][0] for one in found for e in one["endpoints"] if e["conditions"]["ready"]}
            whole = len(addresses) == 5 and all(len(one["endpoints"]) <= 2 for one in found)
            ports = [one["ports"] and one["ports"][0]["port"] for one in found]
            return found if whole and set(ports) == {port} else None

        return packed

    before = {one["metadata"]["name"] for one in await cluster.until(packed_with(80))}
    change = {"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}
    await cluster.resource("v1", "services").patch("web", change, "default")
    after = {one["metadata"]["name"] for one in await cluster.until(packed_with(8080))}
    assert after <= before


async def test_a_pod_that_serves_none_of_the_ports_is_listed_without_ports(cluster):
    named = [{"port": 80, "targetPort": "http"}]
    await cluster.create(builders.service("web", clusterIP="None", ports=named))
    await cluster.create(builders.pod("p", labels={"app": "web"}))
    await running(cluster, 1)

    async def listed():
        found = await slices(cluster)
        return [one for one in found if one["endpoints"]] if found else None

    (only,) = await cluster.until(listed)
    assert not only.get("ports")
    assert only["endpoints"][0]["targetRef"]["name"] == "p"


async def test_hand_made_endpoints_are_mirrored_and_go_with_their_service(cluster):
    meta = {"name": "db", "namespace": "default", "annotations": {"note": "x"}, "labels": {"l": "1"}}
    subsets = [{"addresses": [{"ip": "192.0.2.9"}], "ports": [{"port": 5432}]}]
    await cluster.create({"apiVersion": "v1", "kind": "Endpoints", "metadata": meta, "subsets": subsets})
    service = builders.service("db", port=5432)
    del service["spec"]["selector"]
    await cluster.create(service)
    mirrored = "endpointslicemirroring-controller.k8s.io"
    (found,) = await cluster.until(lambda: slices(cluster, mirrored))
    assert found["endpoints"][0]["addresses"] == ["192.0.2.9"]
    assert found["metadata"]["annotations"] == {"note": "x"}
    assert found["metadata"]["labels"]["l"] == "1"
    endpoints = cluster.resource("v1", "endpoints")
    await endpoints.patch("db", {"metadata": {"annotations": {"note": "y"}}}, "default")

    async def follows():
        return [one["metadata"]["annotations"] for one in await slices(cluster, mirrored)] == [{"note": "y"}]

    await cluster.until(follows)
    await cluster.resource("v1", "services").delete("db", "default")

    async def gone():
        with contextlib.suppress(NotFound):
            await endpoints.get("db", "default")
            return False
        return not await slices(cluster, mirrored)

    await cluster.until(gone)


def budget(**spec):
    selector = {"selector": {"matchLabels": {"app": "web"}}}
    meta = {"name": "b", "namespace": "default"}
    return {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta, "spec": {**selector, **spec}}


async def until_budget(cluster, **expected):
    async def there():
        status = (await cluster.resource("policy/v1", "poddisruptionbudgets").get("b", "default")).get("status") or {}
        return status if expected.items() <= status.items() else None

    return await cluster.until(there)


async def test_a_budget_counts_by_the_size_of_the_deployment(cluster):
    await cluster.create(builders.deployment("web", replicas=4))
    await cluster.create(budget(maxUnavailable="25%"))
    await until_budget(cluster, expectedPods=4, desiredHealthy=3, currentHealthy=4, disruptionsAllowed=1)
    await cluster.resource("apps/v1", "deployments").patch("web", {"spec": {"replicas": 8}}, "default")
    await until_budget(cluster, expectedPods=8, desiredHealthy=6, currentHealthy=8, disruptionsAllowed=2)


async def test_a_budget_for_pods_of_nobody_says_so(cluster):
    await cluster.create(builders.pod("p", labels={"app": "web"}))
    await running(cluster, 1)
    await cluster.create(budget(maxUnavailable=1))
    await until_budget(cluster, expectedPods=0, disruptionsAllowed=0, currentHealthy=1)

    async def said():
        events = (await cluster.resource("v1", "events").list("default")).items
        return [one["message"] for one in events if one["reason"] == "UnmanagedPods"]

    assert "were found to be unmanaged" in (await cluster.until(said))[0]


async def test_when_a_pods_owner_cannot_be_found_nothing_may_be_evicted(cluster):
    owner = {"apiVersion": "example.com/v1", "kind": "Nothing", "name": "n", "uid": "u", "controller": True}
    pod = builders.pod("p", labels={"app": "web"})
    pod["metadata"]["ownerReferences"] = [owner]
    await cluster.create(pod)
    await running(cluster, 1)
    await cluster.create(budget(maxUnavailable=1))

    async def failed():
        status = (await cluster.resource("policy/v1", "poddisruptionbudgets").get("b", "default")).get("status") or {}
        reasons = [one["reason"] for one in status.get("conditions") or ()]
        return status if reasons == ["SyncFailed"] else None

    assert (await cluster.until(failed))["disruptionsAllowed"] == 0


async def test_a_range_of_addresses_gets_ready_and_stays_while_it_is_used(cluster, monkeypatch):
    monkeypatch.setattr("kybern.controllers.servicecidr._GRACE_SECONDS", 0.5)
    ranges = cluster.resource("networking.k8s.io/v1", "servicecidrs")
    await cluster.create(
        {"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "metadata": {"name": "more"},
         "spec": {"cidrs": ["192.0.2.0/28"]}}
    )  # fmt: skip

    def ready(status, reason=""):
        async def found():
            obj = await ranges.get("more")
            [condition] = obj["status"].get("conditions") or [{}]
            return obj if (condition.get("status"), condition.get("reason", "")) == (status, reason) else None

        return found

    made = await cluster.until(ready("True"))
    assert made["metadata"]["finalizers"] == ["networking.k8s.io/service-cidr-finalizer"]
    await cluster.create(builders.service("far", clusterIP="192.0.2.5"))
    await ranges.delete("more")
    await cluster.until(ready("False", "Terminating"))
    await cluster.resource("v1", "services").delete("far", "default")

    async def gone():
        return "more" not in {obj["metadata"]["name"] for obj in (await ranges.list()).items}

    await cluster.until(gone)
