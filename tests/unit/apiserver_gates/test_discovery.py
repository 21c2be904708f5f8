from __future__ import annotations

import orjson

from kybern.api.resource import Resource, Scale, Subresource
from kybern.api.scheme import Scheme
from kybern.apiserver.discovery import Discovery, version_rank
from kybern.apiserver.request import Request


class Pod(Resource):
    kind, plural, short_names, categories, has_status = "Pod", "pods", ("po",), ("all",), True
    subresources = (Subresource("eviction", "Eviction", "policy", "v1"), Subresource("log", "Pod", verbs=("get",)))


class Deployment(Resource):
    kind, plural, group, scale, versions = "Deployment", "deployments", "apps", Scale(), ("v1", "v1beta1")


class Widget(Resource):
    kind, plural, group, custom = "Widget", "widgets", "example.com", True


def discovery() -> tuple[Discovery, Scheme]:
    scheme = Scheme()
    for resource in (Pod(), Deployment(), Widget()):
        scheme.add(resource)
    return Discovery(scheme, "10.0.0.1:6443"), scheme


AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


async def get(found: Discovery, path: str, **headers: str) -> tuple[int, dict[str, object], dict[str, str]]:
    response = await found.serve(Request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()}))
    assert isinstance(response.body, bytes)
    is_json = response.status == 200
    return response.status, orjson.loads(response.body) if is_json else {}, dict(response.headers)


async def test_legacy_documents() -> None:
    found, _ = discovery()
    _, body, _ = await get(found, "/api")
    assert body["versions"] == ["v1"]
    _, body, _ = await get(found, "/apis")
    assert [group["name"] for group in body["groups"]] == ["apps", "example.com"]  # type: ignore[attr-defined]
    _, body, _ = await get(found, "/apis/apps")
    assert body["preferredVersion"] == {"groupVersion": "apps/v1", "version": "v1"}
    _, body, _ = await get(found, "/api/v1")
    entries = {entry["name"]: entry for entry in body["resources"]}  # type: ignore[attr-defined]
    assert list(entries) == ["pods", "pods/eviction", "pods/log", "pods/status"]
    assert entries["pods"]["shortNames"] == ["po"]
    assert entries["pods/eviction"]["group"] == "policy"
    assert entries["pods/log"] == {
        "name": "pods/log", "singularName": "", "namespaced": True, "kind": "Pod", "verbs": ["get"],
    }  # fmt: skip
    assert entries["pods"]["storageVersionHash"] == "xPOwRZ+Yhw8="


async def test_unknown_groups_are_not_found() -> None:
    found, _ = discovery()
    assert (await get(found, "/apis/nope"))[0] == 404
    assert (await get(found, "/apis/apps/v9"))[0] == 404


async def test_aggregated_document_and_etag() -> None:
    found, scheme = discovery()
    _, body, headers = await get(found, "/apis", accept=AGGREGATED)
    assert headers["content-type"] == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    apps = body["items"][0]  # type: ignore[index]
    assert [version["version"] for version in apps["versions"]] == ["v1", "v1beta1"]
    deployment = apps["versions"][0]["resources"][0]
    assert deployment["singularResource"] == "deployment"
    assert deployment["subresources"][0]["responseKind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    again = await get(found, "/apis", accept=AGGREGATED, if_none_match=headers["etag"])
    assert again[0] == 304
    scheme.remove("example.com", "widgets")
    status, body, _ = await get(found, "/apis", accept=AGGREGATED, if_none_match=headers["etag"])
    assert status == 200
    assert len(body["items"]) == 1  # type: ignore[arg-type]


def test_versions_best_first() -> None:
    versions = ["foo1", "v1alpha1", "v1beta2", "v11alpha2", "v2", "v10", "v1beta1", "v1"]
    assert sorted(versions, key=version_rank) == [
        "v10", "v2", "v1", "v1beta2", "v1beta1", "v11alpha2", "v1alpha1", "foo1",
    ]  # fmt: skip
