"""What the server says of itself: discovery, OpenAPI, version, health, and paths of nothing."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest

from kybern.process.clock import monotonic
from tests.integration.apiserver.conftest import Kubectl
from tests.integration.apiserver.inprocess import Api

in_module = pytest.mark.asyncio(loop_scope="module")
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
NOT_FOUND = "the server could not find the requested resource"


@in_module
async def test_versions_and_groups(api: Api) -> None:
    versions = await api.ok("GET", "/api")
    assert (versions["kind"], versions["versions"]) == ("APIVersions", ["v1"])
    assert versions["serverAddressByClientCIDRs"][0]["clientCIDR"] == "0.0.0.0/0"
    groups = await api.ok("GET", "/apis")
    assert (groups["kind"], groups["apiVersion"]) == ("APIGroupList", "v1")
    names = [group["name"] for group in groups["groups"]]
    assert names[0] == "apps" and "" not in names and len(names) == len(set(names))
    apps = groups["groups"][0]
    v1 = {"groupVersion": "apps/v1", "version": "v1"}
    assert (apps["versions"], apps["preferredVersion"]) == ([v1], v1)
    one = await api.ok("GET", "/apis/apps")
    assert one == {"kind": "APIGroup", "apiVersion": "v1", **apps}


@in_module
async def test_resources_of_a_version(api: Api) -> None:
    core = await api.ok("GET", "/api/v1")
    assert (core["kind"], core["groupVersion"], core.get("apiVersion")) == ("APIResourceList", "v1", None)
    found = {resource["name"]: resource for resource in core["resources"]}
    pods = found["pods"]
    assert pods["storageVersionHash"]
    del pods["storageVersionHash"]
    assert pods == {
        "name": "pods", "singularName": "pod", "namespaced": True, "kind": "Pod", "shortNames": ["po"],
        "categories": ["all"],
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
    }  # fmt: skip
    assert found["pods/eviction"] == {
        "name": "pods/eviction", "singularName": "", "namespaced": True, "group": "policy", "version": "v1",
        "kind": "Eviction", "verbs": ["create"],
    }  # fmt: skip
    assert found["pods/status"]["verbs"] == ["get", "patch", "update"]
    assert found["pods/binding"]["kind"] == "Binding"
    assert found["serviceaccounts/token"]["group"] == "authentication.k8s.io"
    assert found["namespaces/finalize"]["verbs"] == ["update"]
    assert found["nodes"]["namespaced"] is False
    assert "deletecollection" not in found["namespaces"]["verbs"]
    apps = await api.ok("GET", "/apis/apps/v1")
    assert (apps["apiVersion"], apps["groupVersion"]) == ("v1", "apps/v1")
    scale = next(one for one in apps["resources"] if one["name"] == "deployments/scale")
    assert (scale["group"], scale["version"], scale["kind"]) == ("autoscaling", "v1", "Scale")


@pytest.mark.parametrize("path", ["/api", "/apis"])
@in_module
async def test_aggregated_discovery(api: Api, path: str) -> None:
    response = await api.respond("GET", path, accept=f"{AGGREGATED},application/json")
    headers = dict(response.headers)
    assert (response.status, headers["content-type"]) == (200, AGGREGATED)
    assert headers["vary"] == "Accept"
    assert isinstance(response.body, bytes)
    document = json.loads(response.body)
    assert (document["kind"], document["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
    again = await api.respond("GET", path, accept=AGGREGATED, **{"if-none-match": headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    for other in ("application/json", f"{AGGREGATED.replace('v=v2', 'v=v2beta1')},application/json"):
        legacy = await api.respond("GET", path, accept=other)
        assert "etag" not in dict(legacy.headers)


@in_module
async def test_aggregated_discovery_says_what_the_legacy_one_says(api: Api) -> None:
    for path in ("/api", "/apis"):
        document = await api.ok("GET", path, accept=AGGREGATED)
        for group in document["items"]:
            name = group["metadata"].get("name", "")
            for version in group["versions"]:
                assert version["freshness"] == "Current"
                where = f"/apis/{name}/{version['version']}" if name else f"/api/{version['version']}"
                legacy = {one["name"]: one for one in (await api.ok("GET", where))["resources"]}
                listed = {}
                for resource in version["resources"]:
                    listed[resource["resource"]] = resource["verbs"]
                    for sub in resource.get("subresources", ()):
                        listed[f"{resource['resource']}/{sub['subresource']}"] = sub["verbs"]
                assert listed == {key: one["verbs"] for key, one in legacy.items()}, where


@in_module
async def test_a_resource_in_aggregated_discovery(api: Api) -> None:
    document = await api.ok("GET", "/apis", accept=AGGREGATED)
    apps = next(group for group in document["items"] if group["metadata"]["name"] == "apps")
    deployments = next(one for one in apps["versions"][0]["resources"] if one["resource"] == "deployments")
    own = {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert deployments["responseKind"] == own
    assert (deployments["scope"], deployments["singularResource"]) == ("Namespaced", "deployment")
    assert (deployments["shortNames"], deployments["categories"]) == (["deploy"], ["all"])
    kinds = {sub["subresource"]: sub["responseKind"] for sub in deployments["subresources"]}
    assert kinds == {"scale": {"group": "autoscaling", "version": "v1", "kind": "Scale"}, "status": own}


@in_module
async def test_discovery_follows_what_is_served(api: Api) -> None:
    before = dict((await api.respond("GET", "/apis", accept=AGGREGATED)).headers)["etag"]
    schema = {"openAPIV3Schema": {"type": "object"}}
    spec = {
        "group": "zoo.example", "scope": "Namespaced", "names": {"plural": "apes", "kind": "Ape"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
    }  # fmt: skip
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await api.ok("POST", path, {"metadata": {"name": "apes.zoo.example"}, "spec": spec})
    async with asyncio.timeout(10):
        while dict((await api.respond("GET", "/apis", accept=AGGREGATED)).headers)["etag"] == before:
            await asyncio.sleep(0.01)
    assert [one["name"] for one in (await api.ok("GET", "/apis/zoo.example/v1"))["resources"]] == ["apes"]
    index = await api.ok("GET", "/openapi/v3")
    assert "apis/zoo.example/v1" in index["paths"]
    await api.ok("DELETE", f"{path}/apes.zoo.example")
    async with asyncio.timeout(10):
        while (await api.ask("GET", "/apis/zoo.example/v1"))[0] != 404:
            await asyncio.sleep(0.01)


@in_module
async def test_openapi_v3_by_hash(api: Api) -> None:
    index = await api.ok("GET", "/openapi/v3")
    etag = dict((await api.respond("GET", "/openapi/v3")).headers)["etag"]
    assert (await api.respond("GET", "/openapi/v3", **{"if-none-match": etag})).status == 304
    assert {"api/v1", "apis/apps/v1"} <= index["paths"].keys()
    url = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
    path, _, wanted = url.partition("?hash=")
    assert path == "/openapi/v3/apis/apps/v1" and wanted
    response = await api.respond("GET", url)
    headers = dict(response.headers)
    assert headers["cache-control"].startswith("public, immutable")
    assert isinstance(response.body, bytes)
    document = json.loads(response.body)
    assert document["openapi"] == "3.0.0"
    assert "/apis/apps/v1/namespaces/{namespace}/deployments" in document["paths"]
    assert "io.k8s.api.apps.v1.Deployment" in document["components"]["schemas"]
    again = await api.respond("GET", url, **{"if-none-match": headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    packed = await api.respond("GET", path, **{"accept-encoding": "gzip"})
    assert isinstance(packed.body, bytes)
    assert json.loads(gzip.decompress(packed.body)) == document
    assert "immutable" not in dict(packed.headers).get("cache-control", "")
    stale = await api.respond("GET", f"{path}?hash=OLD")
    assert (stale.status, dict(stale.headers)["location"]) == (301, url)
    assert (await api.ask("GET", "/openapi/v3/apis/none/v1"))[0] == 404


@in_module
async def test_version(api: Api) -> None:
    version = await api.ok("GET", "/version", who="")
    assert (version["major"], version["minor"]) == ("1", "36")
    assert version["gitVersion"].startswith("v1.36.")
    assert version.keys() >= {"gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler", "platform"}


@pytest.mark.parametrize("endpoint", ["healthz", "livez", "readyz"])
@in_module
async def test_health(api: Api, endpoint: str) -> None:
    assert await api.ask("GET", f"/{endpoint}") == (200, "ok")
    code, text = await api.ask("GET", f"/{endpoint}?verbose")
    assert code == 200
    first, *_, last = text.splitlines()
    assert (first, last) == ("[+]ping ok", f"{endpoint} check passed")
    assert await api.ask("GET", f"/{endpoint}/ping") == (200, "ok")
    assert (await api.ask("GET", f"/{endpoint}/none"))[0] == 404


STARTED = """
ping log poststarthook/generic-apiserver-start-informers poststarthook/storage-object-count-tracker-hook
poststarthook/start-apiserver-admission-initializer poststarthook/priority-and-fairness-config-consumer
poststarthook/priority-and-fairness-filter poststarthook/start-apiextensions-informers
poststarthook/start-apiextensions-controllers poststarthook/crd-informer-synced
poststarthook/start-system-namespaces-controller poststarthook/rbac/bootstrap-roles
poststarthook/scheduling/bootstrap-system-priority-classes poststarthook/priority-and-fairness-config-producer
poststarthook/bootstrap-controller poststarthook/start-cluster-authentication-info-controller
poststarthook/start-legacy-token-tracking-controller poststarthook/start-service-ip-repair-controllers
poststarthook/start-kubernetes-service-cidr-controller poststarthook/start-kube-aggregator-informers
poststarthook/apiservice-status-local-available-controller poststarthook/apiservice-status-remote-available-controller
poststarthook/apiservice-registration-controller poststarthook/apiservice-discovery-controller
poststarthook/kube-apiserver-autoregistration autoregister-completion poststarthook/apiservice-openapi-controller
poststarthook/apiservice-openapiv3-controller
""".split()  # noqa: SIM905
"""What a live server answers to ?verbose, by upstream's names."""


@in_module
async def test_the_parts_of_the_start_are_checks(api: Api) -> None:
    shown = {}
    for endpoint in ("healthz", "livez", "readyz"):
        _, text = await api.ask("GET", f"/{endpoint}?verbose")
        shown[endpoint] = [line.removeprefix("[+]").removesuffix(" ok") for line in text.splitlines()[:-1]]
    assert shown["livez"] == shown["healthz"] == STARTED
    assert set(shown["readyz"]) == {*STARTED, "informer-sync"}
    assert await api.ask("GET", "/livez/poststarthook/rbac/bootstrap-roles") == (200, "ok")


@in_module
async def test_livez_may_take_the_end_of_the_start_for_granted(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(api.app.checks, "poststarthook/test", lambda: "not finished")
    monkeypatch.setattr(api.app, "live_until", monotonic() + 60)
    assert [(await api.ask("GET", f"/{endpoint}"))[0] for endpoint in ("healthz", "livez", "readyz")] == [500, 200, 500]
    monkeypatch.setattr(api.app, "live_until", monotonic())
    assert (await api.ask("GET", "/livez"))[0] == 500


@in_module
async def test_what_is_not_well(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(api.app.checks, "poststarthook/test", lambda: "a secret reason")
    code, text = await api.ask("GET", "/readyz")
    assert code == 500
    assert "[-]poststarthook/test failed: reason withheld\n" in text
    assert text.endswith("readyz check failed\n")
    answer = await api.ask("GET", "/readyz/poststarthook/test")
    assert answer == (500, "internal server error: a secret reason\n")
    code, text = await api.ask("GET", "/readyz?verbose&exclude=poststarthook/test")
    assert code == 200
    assert "[+]poststarthook/test excluded: ok\n" in text
    code, text = await api.ask("GET", "/livez?verbose&exclude=none&exclude=poststarthook/test")
    assert code == 200
    assert 'warn: some health checks cannot be excluded: no matches for "none"\n' in text


@in_module
async def test_the_index_of_paths(api: Api) -> None:
    paths = (await api.ok("GET", "/"))["paths"]
    expected = {"/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/healthz", "/livez", "/readyz", "/version"}
    assert expected | {"/metrics", "/openapi/v2", "/openapi/v3", "/openid/v1/jwks"} <= set(paths)
    assert paths == sorted(paths)


@pytest.mark.parametrize("path", ["/none", "/api/v9", "/apis/none.example", "/apis/apps/v9", "/apis/none/v1"])
@in_module
async def test_paths_of_nothing(api: Api, path: str) -> None:
    assert await api.ask("GET", path) == (404, "404 page not found\n")


@pytest.mark.parametrize(
    ("method", "path", "code", "message"),
    [
        ("GET", "/api/v1/nones", 404, NOT_FOUND),
        ("GET", "/apis/none.example/v1/things", 404, NOT_FOUND),
        ("GET", "/apis/apps/v1/namespaces/default/pods", 404, NOT_FOUND),
        ("GET", "/api/v1/namespaces/default/nodes", 404, NOT_FOUND),
        ("GET", "/api/v1/namespaces/default/pods/x/none", 404, NOT_FOUND),
        ("POST", "/api/v1/pods", 405, "the server does not allow this method on the requested resource"),
        ("PUT", "/api/v1/namespaces/default/pods", 405,
         "the server does not allow this method on the requested resource"),
        ("GET", "/api/v1/namespaces/default/pods/x/binding", 405,
         "the server does not allow this method on the requested resource"),
    ],
)  # fmt: skip
@in_module
async def test_resources_and_methods_of_nothing(api: Api, method: str, path: str, code: int, message: str) -> None:
    body: Any = {} if method != "GET" else None
    said = await api.why(code, method, path, body)
    assert said == message


def test_kubectl_finds_its_way(apiserver: Kubectl) -> None:
    listed = apiserver.out("api-resources", "-o", "name").split()
    assert {"pods", "deployments.apps", "leases.coordination.k8s.io", "roles.rbac.authorization.k8s.io"} <= set(listed)
    assert "apps/v1" in apiserver.out("api-versions").split()
    assert apiserver.out("explain", "deploy.spec.replicas").startswith("GROUP:      apps\nKIND:       Deployment")
    assert "Server Version: v1.36" in apiserver.out("version")
    assert 'the server doesn\'t have a resource type "nones"' in apiserver.error("get", "nones")
