"""What a user sees of a whole cluster in one process."""

import asyncio
import contextlib

import pytest

from kybern.api.errors import NotFound
from kybern.controllers import pods
from kybern.controllers.options import Options
from kybern.testing import builders
from kybern.testing.cluster import InProcessCluster
from kybern.testing.kubelet import OUTCOME

REVISION = "deployment.kubernetes.io/revision"


@pytest.fixture
async def cluster():
    async with InProcessCluster(nodes=2) as made:
        yield made


async def pods_of(cluster, name, namespace="default"):
    listing = await cluster.resource("v1", "pods").list(namespace, label_selector=f"app={name}")
    return listing.items


async def sets_of(cluster, name):
    listing = await cluster.resource("apps/v1", "replicasets").list("default", label_selector=f"app={name}")
    return sorted(listing.items, key=lambda one: int(one["metadata"]["annotations"][REVISION]))


async def rolled_out(cluster, name="web"):
    return await cluster.until(lambda: cluster.ready(name))


def images(listed):
    return {pod["spec"]["containers"][0]["image"] for pod in listed}


async def gone(get):
    with contextlib.suppress(NotFound):
        await get()
        return False
    return True


async def test_a_deployment_runs_and_its_service_has_endpoints(cluster):
    await cluster.create(builders.deployment("web", replicas=3))
    await cluster.create(builders.service("web"))
    deployment = await rolled_out(cluster)
    listed = await pods_of(cluster, "web")
    assert len(listed) == 3
    assert {pod["spec"]["nodeName"] for pod in listed} == {"node-1", "node-2"}
    reasons = {c["type"]: (c["status"], c["reason"]) for c in deployment["status"]["conditions"]}
    assert reasons["Available"] == ("True", "MinimumReplicasAvailable")
    assert deployment["metadata"]["annotations"][REVISION] == "1"

    async def endpoints():
        listing = await cluster.resource("discovery.k8s.io/v1", "endpointslices").list("default")
        mine = [one for one in listing.items if one["metadata"]["labels"].get("kubernetes.io/service-name") == "web"]
        ready = [e for one in mine for e in one["endpoints"] if e["conditions"]["ready"]]
        return ready if len(ready) == 3 else None

    found = await cluster.until(endpoints)
    assert {e["addresses"][0] for e in found} == {pod["status"]["podIP"] for pod in listed}

    async def old_endpoints():
        subsets = (await cluster.resource("v1", "endpoints").get("web", "default")).get("subsets") or [{}]
        return len(subsets[0].get("addresses") or ()) == 3

    await cluster.until(old_endpoints)


async def test_a_deployment_settles(cluster):
    """Nothing goes on writing once all is done."""
    await cluster.create(builders.deployment("web", replicas=3))
    await rolled_out(cluster)

    async def progressed():
        found = await cluster.resource("apps/v1", "deployments").get("web", "default")
        return any(c.get("reason") == "NewReplicaSetAvailable" for c in found["status"]["conditions"])

    await cluster.until(progressed)
    found = await cluster.resource("apps/v1", "deployments").get("web", "default")
    assert found["metadata"]["generation"] == found["status"]["observedGeneration"] == 1
    await asyncio.sleep(0.3)
    later = await cluster.resource("apps/v1", "deployments").get("web", "default")
    assert later["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]
    (replica_set,) = await sets_of(cluster, "web")
    again = await cluster.resource("apps/v1", "replicasets").get(replica_set["metadata"]["name"], "default")
    assert again["metadata"]["resourceVersion"] == replica_set["metadata"]["resourceVersion"]


async def test_a_deleted_pod_is_replaced(cluster):
    await cluster.create(builders.deployment("web", replicas=2))
    await rolled_out(cluster)
    victim = (await pods_of(cluster, "web"))[0]["metadata"]
    await cluster.resource("v1", "pods").delete(victim["name"], "default")

    async def replaced():
        listed = await pods_of(cluster, "web")
        names = {pod["metadata"]["name"] for pod in listed if pods.is_ready(pod)}
        return len(names) == 2 and victim["name"] not in names

    await cluster.until(replaced)


async def test_rolling_update_keeps_enough_pods_and_can_be_undone(cluster):
    await cluster.create(builders.deployment("web", replicas=4, image="app:1"))
    before = await rolled_out(cluster)
    fewest, most = [], []

    def watch_numbers(old, new):
        mine = [pod for pod in cluster.kubelets.pods.list("default") if not pod["metadata"].get("deletionTimestamp")]
        fewest.append(sum(map(pods.is_ready, mine)))
        most.append(len(mine))

    cluster.kubelets.pods.on_change(watch_numbers)
    fewest.clear()
    deployments = cluster.resource("apps/v1", "deployments")
    change = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "app:2"}]}}}}
    await deployments.patch("web", change, "default", type="strategic")
    await rolled_out(cluster)
    assert min(fewest) >= 3
    assert max(most) <= 5
    assert images(pod for pod in await pods_of(cluster, "web") if pods.is_active(pod)) == {"app:2"}
    first, second = await sets_of(cluster, "web")
    assert (first["spec"]["replicas"], second["spec"]["replicas"]) == (0, 4)

    # What `kubectl rollout undo` does: the old template is put back.
    template = {**first["spec"]["template"], "metadata": before["spec"]["template"]["metadata"]}
    await deployments.patch(
        "web", [{"op": "replace", "path": "/spec/template", "value": template}], "default", type="json"
    )
    after = await rolled_out(cluster)
    assert images(pod for pod in await pods_of(cluster, "web") if pods.is_active(pod)) == {"app:1"}
    again, reused = await sets_of(cluster, "web")
    assert reused["metadata"]["uid"] == first["metadata"]["uid"]
    assert again["metadata"]["uid"] == second["metadata"]["uid"]
    assert after["metadata"]["annotations"][REVISION] == "3"
    assert reused["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1"


async def test_recreate_never_mixes_old_and_new(cluster):
    await cluster.create(builders.deployment("web", replicas=3, image="app:1", strategy={"type": "Recreate"}))
    await rolled_out(cluster)
    mixed = []

    def look(old, new):
        if len(images(cluster.kubelets.pods.list("default"))) > 1:
            mixed.append(new)

    cluster.kubelets.pods.on_change(look)
    change = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "app:2"}]}}}}
    await cluster.resource("apps/v1", "deployments").patch("web", change, "default", type="strategic")
    await rolled_out(cluster)
    assert images(await pods_of(cluster, "web")) == {"app:2"}
    assert not mixed


async def test_scaling_up_down_and_to_zero(cluster):
    await cluster.create(builders.deployment("web", replicas=2))
    await rolled_out(cluster)
    deployments = cluster.resource("apps/v1", "deployments")
    for size in (5, 1, 0):
        await deployments.patch("web", {"spec": {"replicas": size}}, "default")
        await rolled_out(cluster)

        async def settled(size=size):
            return len(await pods_of(cluster, "web")) == size

        await cluster.until(settled)


async def test_paused_deployment_rolls_out_only_when_resumed(cluster):
    await cluster.create(builders.deployment("web", replicas=1, image="app:1"))
    await rolled_out(cluster)
    deployments = cluster.resource("apps/v1", "deployments")
    await deployments.patch("web", {"spec": {"paused": True}}, "default")
    change = {"spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "app", "image": "app:2"}]}}}}
    await deployments.patch("web", change, "default", type="strategic")

    async def scaled():
        return len([pod for pod in await pods_of(cluster, "web") if pods.is_ready(pod)]) == 2

    await cluster.until(scaled)
    assert images(await pods_of(cluster, "web")) == {"app:1"}
    await deployments.patch("web", {"spec": {"paused": False}}, "default")
    await rolled_out(cluster)

    async def replaced():
        return images(await pods_of(cluster, "web")) == {"app:2"}

    await cluster.until(replaced)


async def test_old_replica_sets_are_forgotten_beyond_the_limit(cluster):
    await cluster.create(builders.deployment("web", replicas=1, image="app:0", revisionHistoryLimit=1))
    await rolled_out(cluster)
    for number in (1, 2, 3):
        change = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": f"app:{number}"}]}}}}
        await cluster.resource("apps/v1", "deployments").patch("web", change, "default", type="strategic")
        await rolled_out(cluster)

    async def forgotten():
        return len(await sets_of(cluster, "web")) == 2

    await cluster.until(forgotten)
    assert [s["metadata"]["annotations"][REVISION] for s in await sets_of(cluster, "web")] == ["3", "4"]


async def test_a_replica_set_adopts_and_releases(cluster):
    labels = {"app": "lone"}
    orphan = await cluster.create(builders.pod("orphan", labels=labels))
    replica_set = {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": "rs", "namespace": "default"},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": builders.template(labels)},
    }
    await cluster.create(replica_set)

    async def adopted():
        listed = await pods_of(cluster, "lone")
        return len(listed) == 2 and all(pod["metadata"].get("ownerReferences") for pod in listed)

    await cluster.until(adopted)
    await cluster.resource("v1", "pods").patch(
        orphan["metadata"]["name"], {"metadata": {"labels": {"app": "x"}}}, "default"
    )

    async def released():
        pod = await cluster.resource("v1", "pods").get("orphan", "default")
        return not pod["metadata"].get("ownerReferences") and len(await pods_of(cluster, "lone")) == 2

    await cluster.until(released)


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
async def test_deleting_a_deployment_takes_all_it_owns(cluster, policy):
    await cluster.create(builders.deployment("web", replicas=3))
    await rolled_out(cluster)
    deployments = cluster.resource("apps/v1", "deployments")
    await deployments.delete("web", "default", propagation_policy=policy)

    async def all_gone():
        return not await pods_of(cluster, "web") and not await sets_of(cluster, "web")

    await cluster.until(all_gone)
    await cluster.until(lambda: gone(lambda: deployments.get("web", "default")))


async def test_foreground_deletion_waits_for_the_dependents(cluster):
    await cluster.create(builders.deployment("web", replicas=1))
    await rolled_out(cluster)
    (pod,) = await pods_of(cluster, "web")
    hold = {"metadata": {"finalizers": ["example.com/hold"]}}
    await cluster.resource("v1", "pods").patch(pod["metadata"]["name"], hold, "default")
    deployments = cluster.resource("apps/v1", "deployments")
    await deployments.delete("web", "default", propagation_policy="Foreground")

    async def pod_is_going():
        return (await cluster.resource("v1", "pods").get(pod["metadata"]["name"], "default"))["metadata"].get(
            "deletionTimestamp"
        )

    await cluster.until(pod_is_going)
    assert (await deployments.get("web", "default"))["metadata"]["finalizers"] == ["foregroundDeletion"]
    await cluster.resource("v1", "pods").patch(pod["metadata"]["name"], {"metadata": {"finalizers": None}}, "default")
    await cluster.until(lambda: gone(lambda: deployments.get("web", "default")))


async def test_orphaning_leaves_the_dependents_alone(cluster):
    await cluster.create(builders.deployment("web", replicas=2))
    await rolled_out(cluster)
    deployments = cluster.resource("apps/v1", "deployments")
    await deployments.delete("web", "default", propagation_policy="Orphan")
    await cluster.until(lambda: gone(lambda: deployments.get("web", "default")))
    (replica_set,) = await sets_of(cluster, "web")
    assert not replica_set["metadata"].get("ownerReferences")
    assert len(await pods_of(cluster, "web")) == 2


async def test_what_refers_to_an_owner_that_never_was_is_collected(cluster):
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "no", "uid": "00000000-0000-0000-0000-000000000000"}
    meta = {"name": "lost", "namespace": "default", "ownerReferences": [owner]}
    await cluster.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
    await cluster.until(lambda: gone(lambda: cluster.resource("v1", "configmaps").get("lost", "default")))


async def test_a_namespace_is_deleted_with_all_that_is_in_it(cluster):
    await cluster.create(builders.namespace("team"))
    accounts = cluster.resource("v1", "serviceaccounts")
    await cluster.until(lambda: accounts.get("default", "team"))
    await cluster.until(lambda: cluster.resource("v1", "configmaps").get("kube-root-ca.crt", "team"))
    await cluster.create(builders.deployment("web", "team", replicas=2))
    await cluster.create(builders.service("web", "team"))
    await cluster.until(lambda: cluster.ready("web", "team"))
    namespaces = cluster.resource("v1", "namespaces")
    await namespaces.delete("team")
    await cluster.until(lambda: gone(lambda: namespaces.get("team")))
    for api_version, plural in [
        ("v1", "pods"),
        ("v1", "services"),
        ("v1", "serviceaccounts"),
        ("v1", "configmaps"),
        ("apps/v1", "deployments"),
        ("apps/v1", "replicasets"),
        ("discovery.k8s.io/v1", "endpointslices"),
    ]:
        assert not (await cluster.resource(api_version, plural).list("team")).items, plural


async def test_finished_pods_are_replaced_and_unready_ones_are_no_endpoints(cluster):
    await cluster.create(builders.service("web"))
    one = builders.pod("sick", labels={"app": "web"})
    one["metadata"]["annotations"] = {OUTCOME: "NotReady"}
    await cluster.create(one)

    async def listed_as_not_ready():
        subsets = (await cluster.resource("v1", "endpoints").get("web", "default")).get("subsets") or []
        return subsets and subsets[0].get("notReadyAddresses") and not subsets[0].get("addresses")

    await cluster.until(listed_as_not_ready)


async def test_pods_of_a_dead_node_move():
    options = Options(
        node_monitor_period=0.05, node_monitor_grace_period=0.3, cluster_cidr="10.244.0.0/16", allocate_node_cidrs=True
    )
    async with InProcessCluster(nodes=3, options=options) as cluster:
        stay = [
            {
                "key": "node.kubernetes.io/unreachable",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": 0,
            }
        ]
        await cluster.create(builders.deployment("web", replicas=3, pod_spec={"tolerations": stay}))
        await rolled_out(cluster)

        async def keep_alive():
            while True:
                await cluster.kubelets.renew_leases()
                await asyncio.sleep(0.05)

        alive = asyncio.ensure_future(keep_alive())
        (victim, *_) = [pod["spec"]["nodeName"] for pod in await pods_of(cluster, "web")]
        cluster.kubelets.nodes.remove(victim)

        async def moved():
            listed = [pod for pod in await pods_of(cluster, "web") if pods.is_ready(pod) and pods.is_active(pod)]
            return len(listed) == 3 and victim not in {pod["spec"]["nodeName"] for pod in listed}

        await cluster.until(moved)
        node = await cluster.resource("v1", "nodes").get(victim)
        (ready,) = [c for c in node["status"]["conditions"] if c["type"] == "Ready"]
        assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
        taints = {(taint["key"], taint["effect"]) for taint in node["spec"]["taints"]}
        assert taints == {("node.kubernetes.io/unreachable", effect) for effect in ("NoSchedule", "NoExecute")}
        alive.cancel()


async def test_it_listens_for_ordinary_clients(cluster, tmp_path):
    from kybern.client import kubeconfig

    client = kubeconfig.connect(kubeconfig.load(await cluster.serve(tmp_path)))
    nodes = await client.resource("v1", "nodes", namespaced=False).list()
    assert [node["metadata"]["name"] for node in nodes.items] == ["node-1", "node-2"]
    await client.close()
