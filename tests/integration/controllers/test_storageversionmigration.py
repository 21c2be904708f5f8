"""Objects of a custom kind, stored in an older version, are written anew when a migration asks for it."""

from __future__ import annotations

import json

import pytest

from kybern.apiserver.runtime_config import apply
from kybern.testing.cluster import InProcessCluster
from tests.gates import switched

GROUP = "migrate.example.com"
TEXT = {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {}}}}}


@pytest.fixture
async def cluster():
    controllers = "storage-version-migrator-controller"
    with switched(StorageVersionMigrator=True):
        async with InProcessCluster(nodes=0, scheduler=False, controllers=controllers) as made:
            apply(made.scheme, {"storagemigration.k8s.io/v1beta1": "true"})
            yield made


def versions(stored):
    return [{"name": v, "served": True, "storage": v == stored, "schema": TEXT} for v in ("v1beta1", "v1")]


def migration(name, resource):
    spec = {"resource": {"group": GROUP, "resource": resource}}
    api_version = "storagemigration.k8s.io/v1beta1"
    return {"apiVersion": api_version, "kind": "StorageVersionMigration", "metadata": {"name": name}, "spec": spec}


async def ended(cluster, name):
    async def end():
        found = await cluster.resource("storagemigration.k8s.io/v1beta1", "storageversionmigrations").get(name)
        said = {one["type"]: one for one in (found.get("status") or {}).get("conditions") or ()}
        done = said.get("Running", {}).get("status") == "False"
        return said if done and ("Succeeded" in said or "Failed" in said) else None

    return await cluster.until(end)


async def test_every_object_is_stored_as_it_would_be_today(cluster):
    names = {"plural": "things", "kind": "Thing"}
    spec = {"group": GROUP, "scope": "Namespaced", "names": names, "versions": versions("v1beta1")}
    crd = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    await cluster.create({**crd, "metadata": {"name": f"things.{GROUP}"}, "spec": spec})

    async def made():
        api_version = f"{GROUP}/v1beta1"
        return [
            await cluster.create(
                {"apiVersion": api_version, "kind": "Thing", "metadata": {"name": name, "namespace": "default"}}
            )
            for name in ("a", "b")
        ]

    await cluster.until(made)
    crds = cluster.resource("apiextensions.k8s.io/v1", "customresourcedefinitions")
    await crds.patch(f"things.{GROUP}", {"spec": {"versions": versions("v1")}})
    await cluster.create(migration("m", "things"))
    said = await ended(cluster, "m")
    assert said["Succeeded"]["status"] == "True" and said["Running"]["status"] == "False"
    crd_now = await crds.get(f"things.{GROUP}")
    assert crd_now["status"]["storedVersions"] == ["v1"]
    [migrating] = [one for one in crd_now["status"]["conditions"] if one["type"] == "StorageMigrating"]
    assert (migrating["status"], migrating["reason"]) == ("False", "MigrationSucceeded")
    assert migrating["message"].endswith("and the stored versions have been updated")
    page = await cluster.store.list(f"/registry/{GROUP}/things/")
    assert {json.loads(entry.value)["apiVersion"] for entry in page.entries} == {f"{GROUP}/v1"}
    await cluster.create(migration("none", "nothings"))
    assert (await ended(cluster, "none"))["Failed"]["reason"] == "StorageVersionMigrationFailed"
