"""Claims of devices: who may have them as administrators do, what of status goes with an allocation, old versions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.apiserver.inprocess import MERGE, Api, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

RESULT = {"request": "gpu", "driver": "d.example.com", "pool": "p", "device": "one"}
GROUP = "/apis/resource.k8s.io"


def claim(name: str, **exactly: Any) -> dict[str, Any]:
    request = {"name": "gpu", "exactly": {"deviceClassName": "gpu.example.com", **exactly}}
    return {"metadata": {"name": name}, "spec": {"devices": {"requests": [request]}}}


async def test_administrators_access_is_for_marked_namespaces(api: Api) -> None:
    namespace = await api.ns()
    path = f"{GROUP}/v1/namespaces/{namespace}"
    asked, plain = claim("a", adminAccess=True), claim("b")
    said = (
        'ResourceClaim.resource.k8s.io "a" is invalid: spec.devices.requests[0].adminAccess: Forbidden: admin access '
        "to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace"
    )
    assert await api.why(422, "POST", f"{path}/resourceclaims", asked) == said
    template = {"metadata": {"name": "t"}, "spec": {"spec": asked["spec"]}}
    assert "admin access" in await api.why(422, "POST", f"{path}/resourceclaimtemplates", template)
    await api.ok("POST", f"{path}/resourceclaims", plain)
    allocation = {"status": {"allocation": {"devices": {"results": [{**RESULT, "adminAccess": True}]}}}}
    assert "admin access" in await api.why(422, "PATCH", f"{path}/resourceclaims/b/status", allocation, kind=MERGE)
    labels = {"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}}
    await api.ok("PATCH", f"/api/v1/namespaces/{namespace}", labels, kind=MERGE)
    await api.ok("POST", f"{path}/resourceclaims", asked)
    await api.ok("PATCH", f"{path}/resourceclaims/b/status", allocation, kind=MERGE)


async def test_what_drivers_report_goes_with_the_allocation(api: Api) -> None:
    path = f"{GROUP}/v1/namespaces/{await api.ns()}/resourceclaims"
    await api.ok("POST", path, claim("a"))
    device = {key: RESULT[key] for key in ("driver", "pool", "device")}
    status = {"allocation": {"devices": {"results": [RESULT]}}, "devices": [device]}
    got = await api.ok("PATCH", f"{path}/a/status", {"status": status}, kind=MERGE)
    assert got["status"]["devices"] == [device]
    got = await api.ok("PATCH", f"{path}/a/status", {"status": {"allocation": None}}, kind=MERGE)
    assert got["status"] == {}


RBAC = "/apis/rbac.authorization.k8s.io/v1"


async def test_who_writes_status_needs_leave_for_each_part(api: Api) -> None:
    namespace = await api.ns()
    path = f"{GROUP}/v1/namespaces/{namespace}/resourceclaims"
    await api.ok("POST", path, claim("a"))
    user = f"system:serviceaccount:{namespace}:driver"
    extra = "impersonate-extra-authentication.kubernetes.io%2fnode-name"
    granted: list[dict[str, Any]] = []
    subject = {"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}
    ref = {"kind": "ClusterRole", "name": namespace, "apiGroup": "rbac.authorization.k8s.io"}
    await api.ok("POST", f"{RBAC}/clusterroles", {"metadata": {"name": namespace}})
    binding = {"metadata": {"name": namespace}, "subjects": [subject], "roleRef": ref}
    await api.ok("POST", f"{RBAC}/clusterrolebindings", binding)

    async def grant(verb: str, part: str, *names: str) -> None:
        granted.append({"apiGroups": ["resource.k8s.io"], "resources": [f"resourceclaims/{part}"], "verbs": [verb]})
        if names:
            granted[-1]["resourceNames"] = list(names)
        await api.ok("PATCH", f"{RBAC}/clusterroles/{namespace}", {"rules": granted}, kind=MERGE)

    async def write(node: str, **status: Any) -> tuple[int, Any]:
        headers = {"impersonate-user": user, **({extra: node} if node else {})}
        return await api.ask("PATCH", f"{path}/a/status", {"status": status}, kind=MERGE, **headers)

    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}
    allocation = {"devices": {"results": [RESULT]}, "nodeSelector": {"nodeSelectorTerms": [term]}}
    device = {key: RESULT[key] for key in ("driver", "pool", "device")}
    await grant("patch", "status")
    code, said = await write("", allocation=allocation)
    assert code == 422 and said["details"]["causes"] == [{
        "reason": "FieldValueForbidden", "field": "status",
        "message": 'Forbidden: changing status.allocation or status.reservedFor requires '
        'resource="resourceclaims/binding", verb="patch" permission: resourceclaims.resource.k8s.io is forbidden: '
        f'User "{user}" cannot patch resource "resourceclaims/binding" in API group "resource.k8s.io" at the cluster '
        "scope",
    }]  # fmt: skip
    await grant("patch", "binding")
    assert (await write("", allocation=allocation))[0] == 200
    code, said = await write("n1", devices=[device])
    assert code == 422 and [cause["field"] for cause in said["details"]["causes"]] == ["status.devices"]
    assert 'verb="[associated-node:patch arbitrary-node:patch]" permission: ' in said["message"]
    await grant("associated-node:patch", "driver", "other.example.com")
    assert (await write("n1", devices=[device]))[0] == 422
    await grant("associated-node:patch", "driver", "d.example.com")
    assert (await write("n1", devices=[device]))[0] == 200
    # From elsewhere it takes leave for all nodes.
    for node in ("", "n2"):
        code, said = await write(node, devices=[])
        assert code == 422 and 'verb="[arbitrary-node:patch]"' in said["message"]
    await grant("arbitrary-node:patch", "driver", "d.example.com")
    assert (await write("n2", devices=[]))[0] == 200


async def test_states_of_claims_are_shown(api: Api) -> None:
    path = f"{GROUP}/v1/namespaces/{await api.ns()}/resourceclaims"
    await api.ok("POST", path, claim("a"))
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"

    async def state() -> Any:
        return (await api.ok("GET", f"{path}/a", accept=table))["rows"][0]["cells"][1]

    assert await state() == "pending"
    user = {"resource": "pods", "name": "p", "uid": "u"}
    status = {"allocation": {"devices": {"results": [RESULT]}}, "reservedFor": [user]}
    await api.ok("PATCH", f"{path}/a/status", {"status": status}, kind=MERGE)
    assert await state() == "allocated,reserved"


async def test_old_versions_are_the_same_objects() -> None:
    async with serving(**{"resource.k8s.io/v1beta1": "true"}) as api:
        new, old = (f"{GROUP}/{version}/namespaces/{{}}/resourceclaims" for version in ("v1", "v1beta1"))
        namespace = await api.ns()
        await api.ok("POST", new.format(namespace), claim("a", count=2))
        path = f"{old.format(namespace)}/a"
        response = await api.respond("GET", path)
        assert any("is deprecated" in value for name, value in response.headers if name == "warning")
        flat = await api.ok("GET", path)
        request = {"name": "gpu", "deviceClassName": "gpu.example.com", "count": 2, "allocationMode": "ExactCount"}
        assert flat["spec"]["devices"]["requests"] == [request]
        flat["metadata"]["labels"] = {"a": "b"}
        await api.ok("PUT", path, flat)
        got = await api.ok("GET", f"{new.format(namespace)}/a")
        assert got["metadata"]["labels"] == {"a": "b"}
        assert got["spec"]["devices"]["requests"][0]["exactly"]["count"] == 2
        assert await api.ok("GET", f"{GROUP}/v1/resourceslices?fieldSelector=spec.driver%3Dd.example.com")
