"""Owners and dependents of all kinds."""

import contextlib

import pytest

from kybern.api.errors import NotFound
from kybern.testing import builders
from kybern.testing.cluster import InProcessCluster

CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}},
        ],
    },
}


@pytest.fixture
async def cluster():
    async with InProcessCluster(nodes=0, controllers="garbage-collector-controller") as made:
        yield made


def reference(owner, *, block=False):
    meta = owner["metadata"]
    made = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"], "uid": meta["uid"]}
    return {**made, "blockOwnerDeletion": block}


def config_map(name, *owners):
    meta = {"name": name, "namespace": "default", "ownerReferences": list(owners)}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


async def gone(cluster, name, plural="configmaps"):
    async def away():
        with contextlib.suppress(NotFound):
            await cluster.resource("v1", plural).get(name, "default")
            return False
        return True

    await cluster.until(away)


async def known(cluster, *objects):
    """Until the collector has seen them."""
    graph = cluster.manager.controllers[0].graph

    async def seen():
        found = [graph.nodes.get(one["metadata"]["uid"]) for one in objects]
        return all(node and not node.virtual and node.owners == (one["metadata"].get("ownerReferences") or [])
                   for node, one in zip(found, objects, strict=True))  # fmt: skip

    await cluster.until(seen)


async def test_a_custom_resource_owns_and_is_owned(cluster):
    await cluster.create(CRD)
    widgets = cluster.client.resource("example.com/v1", "widgets")
    top = await cluster.create(config_map("top"))
    meta = {"name": "w", "namespace": "default", "ownerReferences": [reference(top)]}
    body = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": meta}

    async def made():
        return await widgets.create(body)

    widget = await cluster.until(made)
    part = await cluster.create(config_map("part", reference(widget)))
    await known(cluster, top, widget, part)
    await cluster.resource("v1", "configmaps").delete("top", "default")
    await gone(cluster, "part")
    assert not (await widgets.list("default")).items


async def test_one_of_two_owners_is_enough_to_stay(cluster):
    one, other = await cluster.create(config_map("one")), await cluster.create(config_map("other"))
    part = await cluster.create(config_map("part", reference(one), reference(other)))
    await known(cluster, one, other, part)
    maps = cluster.resource("v1", "configmaps")
    await maps.delete("one", "default")

    async def freed():
        left = (await maps.get("part", "default"))["metadata"]["ownerReferences"]
        return [ref["name"] for ref in left] == ["other"]

    await cluster.until(freed)
    await maps.delete("other", "default")
    await gone(cluster, "part")


async def test_a_circle_is_deleted_in_the_foreground(cluster):
    maps = cluster.resource("v1", "configmaps")
    one = await cluster.create(config_map("one"))
    other = await cluster.create(config_map("other", reference(one, block=True)))
    one = await maps.patch("one", {"metadata": {"ownerReferences": [reference(other, block=True)]}}, "default")
    await known(cluster, one, other)
    await maps.delete("one", "default", propagation_policy="Foreground")
    await gone(cluster, "one")
    await gone(cluster, "other")


async def test_a_cluster_scoped_object_is_not_collected_for_an_owner_in_a_namespace(cluster):
    missing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "none", "uid": "no-such-uid"}}
    present = await cluster.create(config_map("present"))
    for owner in (missing, present):
        meta = {"name": f"of-{owner['metadata']['name']}", "ownerReferences": [reference(owner)]}
        await cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    events = cluster.resource("v1", "events")

    async def warned():
        listed = [one for one in (await events.list("")).items if one["reason"] == "OwnerRefInvalidNamespace"]
        return {one["involvedObject"]["name"] for one in listed} == {"of-none", "of-present"}

    await cluster.until(warned)
    await cluster.resource("v1", "configmaps").delete("present", "default")
    # Something that is surely collected after it, so that there was time.
    absent = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "none", "uid": "another-uid"}}
    await cluster.create(config_map("part", reference(absent)))
    await gone(cluster, "part")
    for name in ("of-none", "of-present"):
        found = await cluster.resource("v1", "namespaces").get(name)
        assert not found["metadata"].get("deletionTimestamp")


async def test_an_owner_in_another_namespace_is_no_owner(cluster):
    await cluster.create(builders.namespace("elsewhere"))
    owner = config_map("owner")
    owner["metadata"]["namespace"] = "elsewhere"
    owner = await cluster.create(owner)
    await cluster.create(config_map("part", reference(owner)))
    await gone(cluster, "part")
    assert await cluster.resource("v1", "configmaps").get("owner", "elsewhere")
