"""ResourceQuotas through the API: what is charged, what is refused and how, and that nothing overshoots."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from kybern.apiserver.gates import GateOptions
from tests.integration.apiserver.inprocess import MERGE, Api, serving


def pod(name: str = "p", **spec: Any) -> dict[str, Any]:
    resources = spec.pop("resources", {})
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i", "resources": resources}], **spec},
    }


async def namespace(api: Api) -> str:
    path = f"/api/v1/namespaces/{await api.ns()}"
    await api.ok("POST", f"{path}/serviceaccounts", {"metadata": {"name": "default"}})
    return path


async def quota(api: Api, path: str, hard: dict[str, str], name: str = "q", **spec: Any) -> None:
    """A quota of which nothing is used, as the controller would leave it."""
    made = await api.ok("POST", f"{path}/resourcequotas", {"metadata": {"name": name}, "spec": {"hard": hard, **spec}})
    made["status"] = {"hard": hard, "used": dict.fromkeys(hard, "0")}
    await api.ok("PUT", f"{path}/resourcequotas/{name}/status", made)


async def used(api: Api, path: str, name: str = "q") -> dict[str, str]:
    found: dict[str, str] = (await api.ok("GET", f"{path}/resourcequotas/{name}"))["status"]["used"]
    return found


async def test_what_a_pod_uses_is_charged_until_it_is_too_much(api: Api) -> None:
    path = await namespace(api)
    hard = {"pods": "2", "requests.cpu": "2", "limits.memory": "1Gi", "count/pods": "5", "requests.x.io/gpu": "1"}
    await quota(api, path, hard)
    amounts = {"requests": {"cpu": "500m"}, "limits": {"memory": "256Mi", "x.io/gpu": "1"}}
    await api.ok("POST", f"{path}/pods", pod("a", resources=amounts))
    now = {"pods": "1", "requests.cpu": "500m", "limits.memory": "256Mi", "count/pods": "1", "requests.x.io/gpu": "1"}
    assert await used(api, path) == now
    assert await api.why(403, "POST", f"{path}/pods", pod("b", resources=amounts)) == (
        'pods "b" is forbidden: exceeded quota: q, requested: requests.x.io/gpu=1, used: requests.x.io/gpu=1, '
        "limited: requests.x.io/gpu=1"
    )
    much = {"requests": {"cpu": "2"}, "limits": {"memory": "2Gi"}}
    assert await api.why(403, "POST", f"{path}/pods?dryRun=All", pod("b", resources=much)) == (
        'pods "b" is forbidden: exceeded quota: q, requested: limits.memory=2Gi,requests.cpu=2, '
        "used: limits.memory=256Mi,requests.cpu=500m, limited: limits.memory=1Gi,requests.cpu=2"
    )
    little = {"requests": {"cpu": "1m"}, "limits": {"memory": "1Mi"}}
    await api.ok("POST", f"{path}/pods?dryRun=All", pod("b", resources=little))
    assert await used(api, path) == now


async def test_amounts_must_be_said_and_usage_known(api: Api) -> None:
    path = await namespace(api)
    await quota(api, path, {"limits.cpu": "1", "requests.memory": "1Gi"})
    bare = pod(initContainers=[{"name": "i", "image": "i"}])
    assert await api.why(403, "POST", f"{path}/pods", bare) == (
        'pods "p" is forbidden: failed quota: q: must specify limits.cpu for: c,i; requests.memory for: c,i'
    )
    made = await api.ok("GET", f"{path}/resourcequotas/q")
    made["status"] = {"hard": {"configmaps": "1"}}
    await api.ok("PUT", f"{path}/resourcequotas/q/status", made)
    assert await api.why(403, "POST", f"{path}/configmaps", {"metadata": {"name": "m"}}) == (
        'configmaps "m" is forbidden: status unknown for quota: q, resources: configmaps'
    )


async def test_objects_services_and_claims_are_counted(api: Api) -> None:
    path = await namespace(api)
    hard = {
        "count/deployments.apps": "0", "configmaps": "1", "services": "3", "services.nodeports": "2",
        "services.loadbalancers": "1", "requests.storage": "10Gi",
        "gold.storageclass.storage.k8s.io/requests.storage": "1Gi",
    }  # fmt: skip
    await quota(api, path, hard)
    await api.ok("POST", f"{path}/configmaps", {"metadata": {"name": "m"}})
    assert "requested: configmaps=1, used: configmaps=1, limited: configmaps=1" in await api.why(
        403, "POST", f"{path}/configmaps", {"metadata": {"name": "n"}}
    )
    template = {"metadata": {"labels": {"a": "b"}}, "spec": pod()["spec"]}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    deployments = path.replace("/api/v1", "/apis/apps/v1") + "/deployments"
    assert 'deployments.apps "d" is forbidden: exceeded quota: q, requested: count/deployments.apps=1' in await api.why(
        403, "POST", deployments, {"metadata": {"name": "d"}, "spec": spec}
    )
    service = {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}
    await api.ok("POST", f"{path}/services", service)
    await api.ok("PATCH", f"{path}/services/s", {"spec": {"type": "LoadBalancer"}}, kind=MERGE)
    now = await used(api, path)
    assert (now["services"], now["services.nodeports"], now["services.loadbalancers"]) == ("1", "1", "1")
    claim = {
        "metadata": {"name": "c"},
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "gold",
            "resources": {"requests": {"storage": "2Gi"}},
        },
    }  # fmt: skip
    assert "requested: gold.storageclass.storage.k8s.io/requests.storage=2Gi" in await api.why(
        403, "POST", f"{path}/persistentvolumeclaims", claim
    )


async def test_scopes_choose_the_pods(api: Api) -> None:
    path = await namespace(api)
    await quota(api, path, {"pods": "1"}, "ending", scopes=["Terminating"])
    await quota(api, path, {"pods": "1"}, "careless", scopes=["BestEffort", "NotTerminating"])
    rule = {"scopeName": "PriorityClass", "operator": "In", "values": ["system-node-critical"]}
    await quota(api, path, {"pods": "0"}, "high", scopeSelector={"matchExpressions": [rule]})
    await quota(api, path, {"pods": "0"}, "across", scopes=["CrossNamespacePodAffinity"])
    amounts = {"requests": {"cpu": "1"}}
    await api.ok("POST", f"{path}/pods", pod("a", resources=amounts))
    await api.ok("POST", f"{path}/pods", pod("b", activeDeadlineSeconds=60))
    await api.ok("POST", f"{path}/pods", pod("c"))
    assert [await used(api, path, name) for name in ("ending", "careless", "high")] == [
        {"pods": "1"}, {"pods": "1"}, {"pods": "0"},
    ]  # fmt: skip
    assert "exceeded quota: careless" in await api.why(403, "POST", f"{path}/pods", pod("d"))
    # A deadline moves the pod from one scope into the other, which is full.
    assert "exceeded quota: ending" in await api.why(
        403, "PATCH", f"{path}/pods/a", {"spec": {"activeDeadlineSeconds": 5}}, kind=MERGE
    )
    critical = pod("e", priorityClassName="system-node-critical", resources=amounts)
    assert "exceeded quota: high" in await api.why(403, "POST", f"{path}/pods", critical)
    term = {"topologyKey": "zone", "namespaces": ["other"], "labelSelector": {}}
    affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    assert "exceeded quota: across" in await api.why(
        403, "POST", f"{path}/pods", pod("f", affinity=affinity, resources=amounts)
    )


async def test_claims_for_devices_are_counted_under_all_their_names(api: Api) -> None:
    dra = "/apis/resource.k8s.io/v1"
    device_class = {"metadata": {"name": "gpu"}, "spec": {"extendedResourceName": "x.io/gpu"}}
    await api.ok("POST", f"{dra}/deviceclasses", device_class)
    path = await namespace(api)
    await quota(api, path, {"requests.x.io/gpu": "2", "gpu.deviceclass.resource.k8s.io/devices": "5"})
    claims = path.replace("/api/v1", dra) + "/resourceclaims"
    devices = {"requests": [{"name": "r", "exactly": {"deviceClassName": "gpu", "count": 2}}]}
    await api.ok("POST", claims, {"metadata": {"name": "a"}, "spec": {"devices": devices}})
    assert await used(api, path) == {"requests.x.io/gpu": "2", "gpu.deviceclass.resource.k8s.io/devices": "2"}
    assert "exceeded quota: q, requested: requests.x.io/gpu=2, used: requests.x.io/gpu=2" in await api.why(
        403, "POST", claims, {"metadata": {"name": "b"}, "spec": {"devices": devices}}
    )
    resources = {"limits": {"x.io/gpu": "1"}, "requests": {"x.io/gpu": "1"}}
    assert "exceeded quota: q, requested: requests.x.io/gpu=1" in await api.why(
        403, "POST", f"{path}/pods", pod(resources=resources)
    )


async def test_a_resize_is_charged_by_what_it_adds(api: Api) -> None:
    path = await namespace(api)
    await quota(api, path, {"requests.cpu": "2"})
    await api.ok("POST", f"{path}/pods", pod(resources={"requests": {"cpu": "1"}}))
    strategic = "application/strategic-merge-patch+json"

    def resized(cpu: str) -> dict[str, Any]:
        return {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}}

    assert "requested: requests.cpu=2, used: requests.cpu=1, limited: requests.cpu=2" in await api.why(
        403, "PATCH", f"{path}/pods/p/resize", resized("3"), kind=strategic
    )
    await api.ok("PATCH", f"{path}/pods/p/resize", resized("2"), kind=strategic)
    assert await used(api, path) == {"requests.cpu": "2"}


async def test_concurrent_creates_through_two_servers_never_overshoot(api: Api) -> None:
    path = await namespace(api)
    await quota(api, path, {"pods": "10"})
    async with serving(beside=api) as other:
        await other.until(f"{path}/resourcequotas/q")
        answers = await asyncio.gather(
            *((api, other)[number % 2].ask("POST", f"{path}/pods", pod(f"p-{number}")) for number in range(50))
        )
    codes = [status for status, _ in answers]
    assert codes.count(201) == 10 and codes.count(403) == 40, codes
    assert await used(api, path) == {"pods": "10"}
    assert len((await api.ok("GET", f"{path}/pods"))["items"]) == 10


async def test_limited_resources_need_a_quota_that_covers_them(tmp_path: Path) -> None:
    file = tmp_path / "admission.yaml"
    file.write_text("""
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: ResourceQuota
  configuration:
    apiVersion: apiserver.config.k8s.io/v1
    kind: ResourceQuotaConfiguration
    limitedResources:
    - resource: persistentvolumeclaims
      matchContains: [gold.storageclass.storage.k8s.io/requests.storage]
    - resource: pods
      matchScopes:
      - {scopeName: PriorityClass, operator: In, values: [system-node-critical]}
""")
    async with serving(GateOptions(admission_control_config_file=file)) as api:
        path = await namespace(api)
        resources = {"requests": {"storage": "1Gi"}}
        spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": "gold", "resources": resources}
        claim = {"metadata": {"name": "c"}, "spec": spec}
        said = await api.why(403, "POST", f"{path}/persistentvolumeclaims", claim)
        assert said.endswith("insufficient quota to consume: gold.storageclass.storage.k8s.io/requests.storage")
        await quota(api, path, {"gold.storageclass.storage.k8s.io/requests.storage": "1Gi"})
        await api.ok("POST", f"{path}/persistentvolumeclaims", claim)
        said = await api.why(403, "POST", f"{path}/pods", pod(priorityClassName="system-node-critical"))
        assert said.endswith("insufficient quota to match these scopes: [{PriorityClass In [system-node-critical]}]")
        await api.ok("POST", f"{path}/pods", pod())


@pytest.mark.parametrize("text", ["", "kind: Other", "a: [", "- x"])
def test_a_bad_admission_configuration_is_an_operators_error(tmp_path: Path, text: str) -> None:
    from kybern.apiserver.admission import config
    from kybern.process.daemon import OperatorError

    file = tmp_path / "admission.yaml"
    file.write_text(text)
    with pytest.raises(OperatorError, match="--admission-control-config-file"):
        config.load(file)
