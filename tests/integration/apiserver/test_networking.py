"""The kinds of networking.k8s.io, node.k8s.io and apiregistration.k8s.io: defaults, rules, columns."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kybern.apiserver import bootstrap
from tests.integration.apiserver.inprocess import MERGE, TABLE, Api, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")
NETWORKING = "/apis/networking.k8s.io/v1"
SERVICE = {"service": {"name": "web", "port": {"number": 80}}}


def ingress(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": spec}


def with_path(**path: Any) -> dict[str, Any]:
    return ingress(rules=[{"http": {"paths": [{"pathType": "Prefix", "path": "/", "backend": SERVICE, **path}]}}])


async def cells(api: Api, path: str) -> tuple[list[str], list[Any]]:
    table = await api.ok("GET", path, accept=TABLE)
    return [column["name"] for column in table["columnDefinitions"]], table["rows"][0]["cells"]


async def test_ingress_lives(api: Api) -> None:
    path = f"{NETWORKING}/namespaces/{await api.ns()}/ingresses"
    hosts = [{"host": f"{letter}.example.com"} for letter in "abcde"]
    made = await api.ok("POST", path, ingress(rules=hosts, tls=[{"hosts": ["*.example.com"]}]))
    assert made["metadata"]["generation"] == 1 and made["status"] == {"loadBalancer": {}}
    balanced = {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}, {"hostname": "lb.example.com"}]}}
    await api.ok("PUT", f"{path}/web/status", {**made, "status": balanced})
    changed = await api.ok("PATCH", f"{path}/web", {"spec": {"ingressClassName": "nginx"}}, kind=MERGE)
    assert changed["metadata"]["generation"] == 2 and changed["status"] == balanced
    names, row = await cells(api, f"{path}/web")
    assert names == ["Name", "Class", "Hosts", "Address", "Ports", "Age"]
    assert row[1:5] == [
        "nginx", "a.example.com,b.example.com,c.example.com + 2 more...", "192.0.2.7,lb.example.com", "80, 443",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (ingress(), "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"),
        (ingress(defaultBackend={}), 'spec.defaultBackend: Invalid value: "": resource or service backend is required'),
        (ingress(defaultBackend={"service": {"name": "web"}}), "Required value: port name or number is required"),
        (ingress(rules=[{"host": "192.0.2.1"}]), "spec.rules[0].host: Invalid value"),
        (ingress(rules=[{"host": "a.*.b"}]), "a wildcard DNS-1123 subdomain must start with '*.'"),
        (ingress(rules=[{"http": {"paths": []}}]), "spec.rules[0].http.paths: Required value"),
        (with_path(path="a"), 'paths[0].path: Invalid value: "a": must be an absolute path'),
        (with_path(path="/a//b"), "must not contain '//'"),
        (with_path(path="/a/.."), "cannot end with '/..'"),
        (with_path(pathType="Regex"), 'supported values: "Exact", "ImplementationSpecific", "Prefix"'),
        (with_path(backend={**SERVICE, "resource": {"kind": "A", "name": "b"}}), "both resource and service backends"),
        (ingress(tls=[{"secretName": "A"}], **with_path()["spec"]), 'spec.tls[0].secretName: Invalid value: "A"'),
        (ingress(ingressClassName="A", **with_path()["spec"]), 'spec.ingressClassName: Invalid value: "A"'),
        (
            {**ingress(ingressClassName="a", **with_path()["spec"]),
             "metadata": {"name": "web", "annotations": {"kubernetes.io/ingress.class": "b"}}},
            "must match `ingressClassName` when both are specified",
        ),
    ],
)  # fmt: skip
async def test_ingress_rules(api: Api, body: dict[str, Any], why: str) -> None:
    assert why in await api.why(422, "POST", f"{NETWORKING}/namespaces/default/ingresses", body)


async def test_network_policies(api: Api) -> None:
    path = f"{NETWORKING}/namespaces/{await api.ns()}/networkpolicies"
    block = {"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}
    spec = {"egress": [{"ports": [{"port": 53, "endPort": 60}], "to": [block]}]}
    made = await api.ok("POST", path, {"metadata": {"name": "p"}, "spec": spec})
    assert made["spec"]["policyTypes"] == ["Ingress", "Egress"] and made["spec"]["podSelector"] == {}
    assert made["spec"]["egress"][0]["ports"][0]["protocol"] == "TCP" and "status" not in made
    assert (await cells(api, f"{path}/p"))[0] == ["Name", "Pod-Selector", "Age"]
    for peer, why in (
        ({}, "spec.egress[0].to[0]: Required value: must specify a peer"),
        ({**block, "podSelector": {}}, "may not specify both ipBlock and another peer"),
        ({"ipBlock": {"cidr": "10.0.0.1/8"}}, "must not have bits set beyond the prefix length"),
        ({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}, "must be a strict subset of `cidr`"),
    ):
        bad = {"metadata": {"name": "q"}, "spec": {"egress": [{"to": [peer]}]}}
        assert why in await api.why(422, "POST", path, bad)
    for port, why in (
        ({"port": 5, "endPort": 4}, "must be greater than or equal to `port`"),
        ({"port": "http", "endPort": 4}, "may not be specified when `port` is non-numeric"),
        ({"endPort": 4}, "may not be specified when `port` is not specified"),
        ({"protocol": "ICMP"}, "Unsupported value"),
    ):
        assert why in await api.why(
            422, "POST", path, {"metadata": {"name": "q"}, "spec": {"ingress": [{"ports": [port]}]}}
        )


async def test_what_a_policy_had_wrong_may_stay(api: Api) -> None:
    path = f"{NETWORKING}/namespaces/{await api.ns()}/networkpolicies"
    peers = [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
    made = await api.ok("POST", path, {"metadata": {"name": "p"}, "spec": {"ingress": [{"from": peers}]}})
    resource = api.app.registry.scheme.resource("networking.k8s.io", "networkpolicies")
    assert resource is not None
    old = {**made, "spec": {**made["spec"], "ingress": [{"from": [{"ipBlock": {"cidr": "010.0.0.1/8"}}]}]}}
    await api.app.registry.guaranteed_update(resource, made["metadata"]["namespace"], "p", lambda _: old)
    await api.ok("PATCH", f"{path}/p", {"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}, kind=MERGE)
    refused = {"spec": {"ingress": [{"from": [{"ipBlock": {"cidr": "011.0.0.1/8"}}]}]}}
    assert "leading 0s" in await api.why(422, "PATCH", f"{path}/p", refused, kind=MERGE)


async def test_ingress_classes(api: Api) -> None:
    path = f"{NETWORKING}/ingressclasses"
    parameters = {"apiGroup": "example.com", "kind": "Params", "name": "p"}
    default = {"ingressclass.kubernetes.io/is-default-class": "true"}
    body = {"metadata": {"name": "a", "annotations": default}, "spec": {"controller": "example.com/c"}}
    made = await api.ok("POST", path, {**body, "spec": {**body["spec"], "parameters": parameters}})
    assert made["spec"]["parameters"]["scope"] == "Cluster"
    assert (await cells(api, f"{path}/a"))[1][:3] == ["a (default)", "example.com/c", "Params.example.com/p"]
    assert "field is immutable" in await api.why(
        422, "PATCH", f"{path}/a", {"spec": {"controller": "example.com/d"}}, kind=MERGE
    )
    for controller, why in (
        (None, "spec.controller: Required value"),
        ("c", 'must be a domain-prefixed path (such as "acme.io/foo")'),
        ("example.com/a b", "Invalid path (regex used for validation is"),
        (f"example.com/{'a' * 250}", "spec.controller: Too long: may not be more than 250 bytes"),
    ):
        assert why in await api.why(422, "POST", path, {"metadata": {"name": "b"}, "spec": {"controller": controller}})
    within = {**parameters, "scope": "Namespace"}
    bad = {"metadata": {"name": "b"}, "spec": {"controller": "a.b/c", "parameters": within}}
    assert "`parameters.scope` is set to 'Namespace'" in await api.why(422, "POST", path, bad)


async def test_addresses(api: Api) -> None:
    path, parent = f"{NETWORKING}/ipaddresses", {"resource": "services", "namespace": "default", "name": "web"}
    await api.ok("POST", path, {"metadata": {"name": "2001:db8::7"}, "spec": {"parentRef": parent}})
    assert (await cells(api, f"{path}/2001:db8::7"))[1] == ["2001:db8::7", "services/default/web"]
    for name, why in (
        ("a", "metadata.name: Invalid value: \"a\": must be a valid IP address"),
        ("2001:DB8::8", 'must be in canonical form ("2001:db8::8")'),
    ):
        assert why in await api.why(422, "POST", path, {"metadata": {"name": name}, "spec": {"parentRef": parent}})
    assert "spec.parentRef.resource: Required value" in await api.why(
        422, "POST", path, {"metadata": {"name": "10.9.9.9"}, "spec": {"parentRef": {"name": "a"}}}
    )
    changed = {"spec": {"parentRef": {"name": "other"}}}
    assert "field is immutable" in await api.why(422, "PATCH", f"{path}/2001:db8::7", changed, kind=MERGE)


async def test_service_ranges(api: Api) -> None:
    path = f"{NETWORKING}/servicecidrs"
    await api.ok("POST", path, {"metadata": {"name": "more"}, "spec": {"cidrs": ["192.0.2.0/24"]}})
    names, row = await cells(api, f"{path}/more")
    assert names == ["Name", "CIDRs", "Age"] and row[1] == "192.0.2.0/24"
    for cidrs, why in (
        ([], "spec.cidrs: Required value: at least one CIDR required"),
        (["192.0.2.1/24"], "must not have bits set beyond the prefix length"),
        (["2001:DB8::/64"], 'must be in canonical form ("2001:db8::/64")'),
        (["10.0.0.0/8", "11.0.0.0/8"], "may specify no more than one IP for each IP family"),
        (["10.0.0.0/8", "11.0.0.0/8", "12.0.0.0/8"], "may only hold up to 2 values"),
    ):
        assert why in await api.why(422, "POST", path, {"metadata": {"name": "bad"}, "spec": {"cidrs": cidrs}})
    for cidrs in (["192.0.3.0/24"], ["192.0.3.0/24", "2001:db8::/64"]):
        said = await api.why(422, "PATCH", f"{path}/more", {"spec": {"cidrs": cidrs}}, kind=MERGE)
        assert 'spec.cidrs[0]: Invalid value: "192.0.3.0/24": field is immutable' in said
    await api.ok("PATCH", f"{path}/more", {"spec": {"cidrs": ["192.0.2.0/24", "2001:db8::/64"]}}, kind=MERGE)


async def test_runtime_classes(api: Api) -> None:
    path = "/apis/node.k8s.io/v1/runtimeclasses"
    await api.ok("POST", path, {"metadata": {"name": "gvisor"}, "handler": "runsc"})
    assert (await cells(api, f"{path}/gvisor"))[1][:2] == ["gvisor", "runsc"]
    assert "handler: Invalid value" in await api.why(422, "POST", path, {"metadata": {"name": "b"}, "handler": "A"})
    assert "field is immutable" in await api.why(422, "PATCH", f"{path}/gvisor", {"handler": "kata"}, kind=MERGE)
    found = {"metadata": {"name": "b"}, "handler": "a", "overhead": {"podFixed": {"cpu": "-1"}}}
    assert "must be greater than or equal to 0" in await api.why(422, "POST", path, found)


async def test_api_services(api: Api) -> None:
    path = "/apis/apiregistration.k8s.io/v1/apiservices"
    spec = {"group": "example.com", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10}
    local = await api.ok("POST", path, {"metadata": {"name": "v1.example.com"}, "spec": spec})
    assert [c["reason"] for c in local["status"]["conditions"]] == ["Local"]
    assert (await cells(api, f"{path}/v1.example.com"))[1][:3] == ["v1.example.com", "Local", "True"]
    there = {**spec, "version": "v2", "service": {"namespace": "default", "name": "s"}, "insecureSkipTLSVerify": True}
    far = await api.ok("POST", path, {"metadata": {"name": "v2.example.com"}, "spec": there})
    assert far["spec"]["service"]["port"] == 443 and "conditions" not in far["status"]
    assert (await cells(api, f"{path}/v2.example.com"))[1][1:3] == ["default/s", "Unknown"]
    for change, why in (
        ({"version": "v3"}, 'metadata.name: Invalid value: "v4.example.com": must be `spec.version+"."+spec.group`'),
        ({"version": "v4", "groupPriorityMinimum": 0}, "must be positive and less than 20000"),
        ({"version": "v4", "caBundle": "YQ=="}, "local APIServices may not have a caBundle"),
        ({"version": "v4", "service": {"name": "a"}}, "spec.service.namespace: Required value"),
    ):
        body = {"metadata": {"name": "v4.example.com"}, "spec": {**spec, **change}}
        assert why in await api.why(422, "POST", path, body)


async def test_beta_versions_are_served_where_switched_on() -> None:
    path = "/apis/networking.k8s.io/v1beta1/ipaddresses"
    async with serving(**{"networking.k8s.io/v1beta1": "true"}) as api:
        body = {"metadata": {"name": "10.3.4.5"}, "spec": {"parentRef": {"resource": "services", "name": "a"}}}
        response = await api.respond("POST", path, body)
        assert response.status == 201
        said = "networking.k8s.io/v1beta1 IPAddress is deprecated in v1.34+, unavailable in v1.37+"
        assert ("warning", f'299 - "{said}"') in response.headers
        assert (await api.ok("GET", f"{NETWORKING}/ipaddresses/10.3.4.5"))["apiVersion"] == "networking.k8s.io/v1"
        groups = (await api.ok("GET", "/apis/networking.k8s.io"))["versions"]
        assert [one["version"] for one in groups] == ["v1", "v1beta1"]
        assert path in (await api.ok("GET", "/openapi/v3/apis/networking.k8s.io/v1beta1"))["paths"]
    async with serving() as api:
        await api.refused(404, "GET", path)
        assert (await api.ask("GET", "/openapi/v3/apis/networking.k8s.io/v1beta1"))[0] == 404


async def test_ingresses_get_the_default_class() -> None:
    async with serving() as api:
        path, classes = f"{NETWORKING}/namespaces/default/ingresses", f"{NETWORKING}/ingressclasses"
        body = ingress(defaultBackend=SERVICE)
        assert "ingressClassName" not in (await api.ok("POST", path, body))["spec"]
        for name, marked in (("a", "false"), ("c", "true"), ("b", "true")):
            annotations = {"ingressclass.kubernetes.io/is-default-class": marked}
            made = {"metadata": {"name": name, "annotations": annotations}, "spec": {"controller": "example.com/c"}}
            await api.ok("POST", classes, made)

        newest = await api.ok("POST", path, {**body, "metadata": {"name": "two"}})
        assert newest["spec"]["ingressClassName"] == "b"
        for metadata, spec in (
            ({"name": "three", "annotations": {"kubernetes.io/ingress.class": "old"}}, body["spec"]),
            ({"name": "four"}, {**body["spec"], "ingressClassName": "a"}),
        ):
            kept = await api.ok("POST", path, {"metadata": metadata, "spec": spec})
            assert kept["spec"].get("ingressClassName") == spec.get("ingressClassName")


async def test_pods_follow_their_runtime_class(api: Api) -> None:
    toleration = {"key": "sandbox", "operator": "Exists", "effect": "NoSchedule"}
    made = {
        "metadata": {"name": "sandbox"}, "handler": "runsc", "overhead": {"podFixed": {"cpu": "100m"}},
        "scheduling": {"nodeSelector": {"sandbox": "yes"}, "tolerations": [toleration]},
    }  # fmt: skip
    await api.ok("POST", "/apis/node.k8s.io/v1/runtimeclasses", made)
    space = f"/api/v1/namespaces/{await api.ns()}"
    await api.ok("POST", f"{space}/serviceaccounts", {"metadata": {"name": "default"}})
    path = f"{space}/pods"

    def pod(**spec: Any) -> dict[str, Any]:
        return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}}

    spec = (await api.ok("POST", path, pod(runtimeClassName="sandbox", nodeSelector={"disk": "ssd"})))["spec"]
    assert spec["overhead"] == {"cpu": "100m"} and spec["nodeSelector"] == {"disk": "ssd", "sandbox": "yes"}
    assert toleration in spec["tolerations"]
    for given, why in (
        ({"runtimeClassName": "none"}, 'pod rejected: RuntimeClass "none" not found'),
        ({"runtimeClassName": "sandbox", "overhead": {"cpu": "1"}}, "doesn't match RuntimeClass's defined Overhead"),
        ({"overhead": {"cpu": "1"}}, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined"),
        (
            {"runtimeClassName": "sandbox", "nodeSelector": {"sandbox": "no"}},
            "conflict: runtimeClass.scheduling.nodeSelector[sandbox] = yes; pod.spec.nodeSelector[sandbox] = no",
        ),
    ):
        assert why in await api.why(403, "POST", path, pod(**given))


async def test_the_service_of_every_cluster_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "EVERY_SECONDS", 0.05)
    async with serving() as api:
        path = "/api/v1/namespaces/default/services/kubernetes"
        before = await api.ok("GET", path)
        await api.ok("DELETE", path)
        async with asyncio.timeout(10):
            while (await api.ask("GET", path))[0] != 200:
                await asyncio.sleep(0.02)
        after = await api.ok("GET", path)
        assert after["metadata"]["uid"] != before["metadata"]["uid"] and after["spec"] == before["spec"]
        assert (await api.ok("GET", f"{NETWORKING}/ipaddresses/10.96.0.1"))["spec"]["parentRef"]["name"] == "kubernetes"


async def test_what_an_update_must_say_and_what_it_creates(api: Api) -> None:
    path = "/apis/node.k8s.io/v1/runtimeclasses/made"
    body = {"metadata": {"name": "made"}, "handler": "runc"}
    assert (await api.ask("PUT", path, body))[0] == 201
    said = "metadata.resourceVersion: Invalid value: 0: must be specified for an update"
    assert said in await api.why(422, "PUT", path, body)
    made = await api.ok("PUT", path, await api.ok("GET", path))
    assert made["handler"] == "runc"
    policy = f"{NETWORKING}/namespaces/default/networkpolicies/none"
    await api.refused(404, "PUT", policy, {"metadata": {"name": "none"}, "spec": {}})


async def test_endpoints_are_stored_in_their_canonical_form(api: Api) -> None:
    path = f"/api/v1/namespaces/{await api.ns()}/endpoints"
    first, second = {"ip": "10.1.1.1"}, {"ip": "10.1.1.2"}
    subsets = [{"addresses": [one], "ports": [{"port": 80}]} for one in (second, first)]
    made = await api.ok("POST", path, {"metadata": {"name": "e"}, "subsets": subsets})
    assert made["subsets"] == [{"addresses": [first, second], "ports": [{"port": 80, "protocol": "TCP"}]}]
    subsets = [{"addresses": [first], "ports": [{"port": port, "name": f"p{port}"}]} for port in (81, 80)]
    changed = await api.ok("PUT", f"{path}/e", {**made, "subsets": subsets})
    assert [port["port"] for port in changed["subsets"][0]["ports"]] == [80, 81] and len(changed["subsets"]) == 1
