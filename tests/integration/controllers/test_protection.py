"""What is used stays until it isn't."""

import asyncio

import pytest

from kybern.testing.cluster import InProcessCluster

CONTROLLERS = (
    "persistentvolumeclaim-protection-controller,persistentvolume-protection-controller,"
    "volumeattributesclass-protection-controller,serviceaccount-controller"
)


@pytest.fixture
async def cluster():
    async with InProcessCluster(nodes=0, controllers=CONTROLLERS) as made:
        yield made


def claim(name):
    return {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }  # fmt: skip


def pod(name, claim_name, **spec):
    volume = {"name": "v", "persistentVolumeClaim": {"claimName": claim_name}}
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "i"}], "volumes": [volume], **spec},
    }  # fmt: skip


async def gone(resource, *name):
    async def missing():
        return name[0] not in [one["metadata"]["name"] for one in (await resource.list()).items]

    return missing


async def test_claims_stay_while_a_pod_on_a_node_has_them(cluster):
    claims, pods = cluster.resource("v1", "persistentvolumeclaims"), cluster.resource("v1", "pods")
    for name in ("used", "waited-for"):
        await cluster.create(claim(name))
    await cluster.create(pod("runs", "used", nodeName="somewhere"))
    await cluster.create(pod("waits", "waited-for", nodeSelector={"no": "where"}))
    for name in ("used", "waited-for"):
        await claims.delete(name, "default")
    await cluster.until(await gone(claims, "waited-for"))
    await asyncio.sleep(0.1)
    assert (await claims.get("used", "default"))["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    await pods.delete("runs", "default", grace_period_seconds=0)
    await cluster.until(await gone(claims, "used"))


async def test_volumes_stay_while_they_are_bound(cluster):
    volumes = cluster.resource("v1", "persistentvolumes")
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
    volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"}, "spec": spec}
    made = await cluster.create(volume)
    await volumes.update_status({**made, "status": {"phase": "Bound"}})
    await volumes.delete("v")
    await asyncio.sleep(0.1)
    bound = await volumes.get("v")
    assert bound["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    await volumes.update_status({**bound, "status": {"phase": "Released"}})
    await cluster.until(await gone(volumes, "v"))


async def test_classes_of_attributes_stay_while_a_claim_names_them(cluster):
    classes = cluster.resource("storage.k8s.io/v1", "volumeattributesclasses")
    claims = cluster.resource("v1", "persistentvolumeclaims")
    meta = {"name": "fast"}
    fast = {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass", "metadata": meta}
    await cluster.create({**fast, "driverName": "driver.example.com", "parameters": {"iops": "5"}})
    wanted = claim("c")
    wanted["spec"]["volumeAttributesClassName"] = "fast"
    await cluster.create(wanted)
    await classes.delete("fast")
    await asyncio.sleep(0.1)
    assert (await classes.get("fast"))["metadata"]["finalizers"] == ["kubernetes.io/vac-protection"]
    await claims.delete("c", "default")
    await cluster.until(await gone(classes, "fast"))
