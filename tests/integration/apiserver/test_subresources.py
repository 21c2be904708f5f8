"""What particular kinds do when written: pods, Services, scales, evictions, tokens. Texts are upstream's."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from kybern.process.clock import parse_time
from kybern.testing import builders
from tests.integration.apiserver.inprocess import MERGE, Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

STALE = "the object has been modified; please apply your changes to the latest version and try again"
STRATEGIC = "application/strategic-merge-patch+json"


async def pods(api: Api) -> str:
    """The path of a new namespace's pods."""
    namespace = f"/api/v1/namespaces/{await api.ns()}"
    await api.ok("POST", f"{namespace}/serviceaccounts", {"metadata": {"name": "default"}})
    return f"{namespace}/pods"


async def running(api: Api, path: str, name: str = "p", **spec: Any) -> Any:
    """A ready pod on node n1, with the label app=web."""
    body = builders.pod(name, "", labels={"app": "web"}, nodeName="n1", **spec)
    await api.ok("POST", path, body)
    ready = {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}}
    return await api.ok("PATCH", f"{path}/{name}/status", ready, kind=MERGE)


async def test_pods_on_nodes_are_deleted_in_two_steps(api: Api) -> None:
    path = await pods(api)
    before = await running(api, path)
    first = await api.ok("DELETE", f"{path}/p")
    assert (first["kind"], first["metadata"]["deletionGracePeriodSeconds"]) == ("Pod", 30)
    assert first["metadata"]["generation"] == before["metadata"]["generation"] + 1
    again = await api.ok("DELETE", f"{path}/p", {"gracePeriodSeconds": 60})
    assert again["metadata"] == first["metadata"]
    shorter = await api.ok("DELETE", f"{path}/p?gracePeriodSeconds=5")
    assert shorter["metadata"]["deletionGracePeriodSeconds"] == 5
    ends = [parse_time(one["metadata"]["deletionTimestamp"]) for one in (first, shorter)]
    assert ends[0] - ends[1] == 25
    assert shorter["metadata"]["generation"] == first["metadata"]["generation"]
    last = await api.ok("DELETE", f"{path}/p", {"gracePeriodSeconds": 0})
    assert last["kind"] == "Pod"
    await api.refused(404, "GET", f"{path}/p")


async def test_pods_go_at_once_where_nothing_runs(api: Api) -> None:
    path = await pods(api)
    await api.ok("POST", path, builders.pod("unbound", ""))
    await running(api, path, "done")
    await api.ok("PATCH", f"{path}/done/status", {"status": {"phase": "Succeeded"}}, kind=MERGE)
    await running(api, path, "forced")
    await running(api, path, "zero", terminationGracePeriodSeconds=0)
    for name, body in (("unbound", None), ("done", None), ("forced", {"gracePeriodSeconds": 0}), ("zero", None)):
        await api.ok("DELETE", f"{path}/{name}", body)
        await api.refused(404, "GET", f"{path}/{name}")


async def test_a_negative_grace_period_is_a_second(api: Api) -> None:
    path = await pods(api)
    await running(api, path)
    done = await api.ok("DELETE", f"{path}/p", {"gracePeriodSeconds": -5})
    assert done["metadata"]["deletionGracePeriodSeconds"] == 1


async def test_pods_keep_what_they_were_made_of(api: Api) -> None:
    path = await pods(api)
    await running(api, path)
    said = await api.why(422, "PATCH", f"{path}/p", {"spec": {"nodeName": "n2"}}, kind=MERGE)
    assert said.startswith(
        'Pod "p" is invalid: spec: Forbidden: pod updates may not change fields other than '
        "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
        "(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it "
        "was previously negative)"
    )
    image = {"spec": {"containers": [{"name": "app", "image": "other:2"}]}}
    changed = await api.ok("PATCH", f"{path}/p", image, kind=STRATEGIC)
    assert changed["spec"]["containers"][0]["image"] == "other:2"


async def test_a_pod_is_bound_once(api: Api) -> None:
    path = await pods(api)
    made = await api.ok("POST", path, builders.pod("p", ""))
    binding = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n1"}}
    before = await api.store.revision()
    await api.ok("POST", f"{path}/p/binding?dryRun=All", binding)
    assert await api.store.revision() == before
    wrong = {**binding, "metadata": {"name": "p", "uid": "other"}}
    assert "UID in precondition: other" in await api.why(409, "POST", f"{path}/p/binding", wrong)
    status, answer = await api.ask("POST", f"{path}/p/binding", binding)
    assert (status, answer["status"]) == (201, "Success")
    bound = await api.ok("GET", f"{path}/p")
    assert bound["spec"]["nodeName"] == "n1"
    (scheduled,) = (one for one in bound["status"]["conditions"] if one["type"] == "PodScheduled")
    assert scheduled["status"] == "True"
    assert bound["metadata"]["uid"] == made["metadata"]["uid"]
    said = await api.why(409, "POST", path.replace("/pods", "/bindings"), binding)
    assert said == 'Operation cannot be fulfilled on pods/binding "p": pod p is already assigned to node "n1"'
    assert await api.why(404, "POST", f"{path}/none/binding", {"target": {"name": "n1"}}) == 'pods "none" not found'


async def test_pods_that_cannot_be_bound(api: Api) -> None:
    path = await pods(api)
    await api.ok("POST", path, builders.pod("gated", "", schedulingGates=[{"name": "a.b/c"}]))
    going = builders.pod("going", "")
    going["metadata"]["finalizers"] = ["a.b/c"]
    await api.ok("POST", path, going)
    await api.ok("DELETE", f"{path}/going")
    for name, why in (
        ("gated", "pod gated has non-empty .spec.schedulingGates"),
        ("going", "pod going is being deleted, cannot be assigned to a host"),
    ):
        said = await api.why(409, "POST", f"{path}/{name}/binding", {"target": {"name": "n1"}})
        assert said == f'Operation cannot be fulfilled on pods/binding "{name}": {why}'


async def budget(api: Api, path: str, name: str = "pdb", **status: Any) -> str:
    """A disruption budget over app=web in this state; gives its path."""
    budgets = path.replace("/api/v1", "/apis/policy/v1").replace("pods", "poddisruptionbudgets")
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}}
    await api.ok("POST", budgets, {"metadata": {"name": name}, "spec": spec})
    counts = {"disruptionsAllowed": 0, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1}
    body = {"status": {**counts, "observedGeneration": 1, **status}}
    await api.ok("PATCH", f"{budgets}/{name}/status", body, kind=MERGE)
    return f"{budgets}/{name}"


EVICTION = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
FAILED = {"type": "DisruptionAllowed", "status": "False", "reason": "SyncFailed", "message": "no scale"}
FAILED["lastTransitionTime"] = "2026-01-01T00:00:00Z"
DENIED = "Cannot evict pod as it would violate the pod's disruption budget."


async def test_evictions_keep_to_the_budget(api: Api) -> None:
    path = await pods(api)
    await running(api, path)
    place = await budget(api, path)
    status = await api.refused(429, "POST", f"{path}/p/eviction", EVICTION)
    assert (status["reason"], status["message"]) == ("TooManyRequests", DENIED)
    why = "The disruption budget pdb needs 1 healthy pods and has 1 currently"
    assert status["details"] == {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    await api.ok("PATCH", f"{place}/status", {"status": {"disruptionsAllowed": 1}}, kind=MERGE)
    before = await api.store.revision()
    await api.ok("POST", f"{path}/p/eviction?dryRun=All", EVICTION)
    await api.ok("POST", f"{path}/p/eviction", {**EVICTION, "deleteOptions": {"dryRun": ["All"]}})
    assert await api.store.revision() == before
    code, answer = await api.ask("POST", f"{path}/p/eviction", EVICTION)
    assert (code, answer["status"]) == (201, "Success")
    assert (await api.ok("GET", f"{path}/p"))["metadata"]["deletionTimestamp"]
    after = (await api.ok("GET", place))["status"]
    assert (after["disruptionsAllowed"], list(after["disruptedPods"])) == (0, ["p"])


@pytest.mark.parametrize(
    ("status", "why", "seconds"),
    [
        ({"observedGeneration": 0}, "The disruption budget pdb is still being processed by the server.", 10),
        ({"currentHealthy": 5}, "The disruption budget pdb does not allow evicting pods currently", None),
        (
            {"conditions": [FAILED]},
            "The disruption budget pdb does not allow evicting pods currently because it failed sync: no scale",
            None,
        ),
    ],
)
async def test_why_a_budget_refuses(api: Api, status: Any, why: str, seconds: int | None) -> None:
    path = await pods(api)
    await running(api, path)
    await budget(api, path, **status)
    answer = await api.refused(429, "POST", f"{path}/p/eviction", EVICTION)
    assert answer["details"]["causes"][0]["message"] == why
    assert answer["details"].get("retryAfterSeconds") == seconds


async def test_two_budgets_are_one_too_many(api: Api) -> None:
    path = await pods(api)
    await running(api, path)
    await budget(api, path)
    await budget(api, path, "pdb2")
    said = await api.why(500, "POST", f"{path}/p/eviction", EVICTION)
    assert said == ("This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")


async def test_budgets_do_not_hold_what_does_not_count(api: Api) -> None:
    path = await pods(api)
    await budget(api, path, currentHealthy=0)
    await api.ok("POST", path, builders.pod("p", "", labels={"app": "web"}))
    await api.ok("POST", f"{path}/p/eviction", EVICTION)
    await api.refused(404, "GET", f"{path}/p")
    assert await api.why(404, "POST", f"{path}/p/eviction", EVICTION) == 'pods "p" not found'


async def services(api: Api) -> str:
    return f"/api/v1/namespaces/{await api.ns()}/services"


async def test_service_addresses_are_given_taken_and_freed(api: Api) -> None:
    path = await services(api)
    made = await api.ok("POST", path, builders.service("a", ""))
    address = made["spec"]["clusterIP"]
    assert made["spec"]["clusterIPs"] == [address] and address.startswith("10.")
    taken = builders.service("b", "", clusterIP=address)
    said = await api.why(422, "POST", path, taken)
    assert said == (
        f'Service "b" is invalid: spec.clusterIPs: Invalid value: ["{address}"]: failed to allocate IP {address}: '
        "provided IP is already allocated"
    )
    await api.refused(422, "POST", f"{path}?dryRun=All", taken)
    await api.ok("DELETE", f"{path}/a")
    assert (await api.ok("POST", path, taken))["spec"]["clusterIP"] == address
    external = {"spec": {"type": "ExternalName", "externalName": "x.example", "clusterIP": "", "clusterIPs": None}}
    await api.ok("PATCH", f"{path}/b", external, kind=MERGE)
    assert (await api.ok("POST", path, builders.service("c", "", clusterIP=address)))["spec"]["clusterIP"] == address


async def test_a_dry_run_holds_no_address(api: Api) -> None:
    path = await services(api)
    pretended = await api.ok("POST", f"{path}?dryRun=All", builders.service("a", "", clusterIP="10.96.200.200"))
    assert pretended["spec"]["clusterIP"] == "10.96.200.200"
    await api.ok("POST", path, builders.service("b", "", clusterIP="10.96.200.200"))


async def test_addresses_that_cannot_be_had(api: Api) -> None:
    path = await services(api)
    said = await api.why(422, "POST", path, builders.service("a", "", clusterIP="10.1.2.3"))
    assert said == (
        'Service "a" is invalid: spec.clusterIPs: Invalid value: ["10.1.2.3"]: failed to allocate IP 10.1.2.3: '
        "the provided network does not match the current range"
    )
    await api.ok("POST", path, builders.service("a", ""))
    said = await api.why(
        422, "PATCH", f"{path}/a", {"spec": {"clusterIP": "10.96.9.9", "clusterIPs": ["10.96.9.9"]}}, kind=MERGE
    )
    assert 'spec.clusterIPs[0]: Invalid value: ["10.96.9.9"]: may not change once set' in said


async def test_node_ports(api: Api) -> None:
    path = await services(api)

    def on(name: str, port: int) -> Any:
        return builders.service(name, "", type="NodePort", ports=[{"port": 80, "nodePort": port}])

    given = (await api.ok("POST", path, on("any", 0)))["spec"]["ports"][0]["nodePort"]
    assert 30000 <= given <= 32767
    said = await api.why(422, "POST", path, on("low", 80))
    assert said == (
        'Service "low" is invalid: spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. '
        "The range of valid ports is 30000-32767"
    )
    said = await api.why(422, "POST", path, on("same", given))
    assert said == (
        f'Service "same" is invalid: spec.ports[0].nodePort: Invalid value: {given}: provided port is already allocated'
    )
    await api.ok("PATCH", f"{path}/any", {"spec": {"type": "ClusterIP"}}, kind=MERGE)
    await api.ok("POST", path, on("same", given))


async def test_scales_are_applied(api: Api) -> None:
    path = f"/apis/apps/v1/namespaces/{await api.ns()}/deployments"
    await api.ok("POST", path, {**builders.deployment("web", replicas=1), "metadata": {"name": "web"}})

    async def scale(manager: str, replicas: int, **metadata: Any) -> tuple[int, Any]:
        config = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": {"replicas": replicas}}
        target = f"{path}/web/scale?fieldManager={manager}"
        return await api.ask("PATCH", target, config, kind="application/apply-patch+yaml")

    status, answer = await scale("a", 3)
    assert (status, answer["reason"]) == (409, "Conflict") and ".spec.replicas" in answer["message"]
    status, answer = await scale("a&force=true", 3)
    assert (status, answer["kind"], answer["spec"]) == (200, "Scale", {"replicas": 3})
    live = await api.ok("GET", f"{path}/web")
    entry = next(one for one in live["metadata"]["managedFields"] if one["manager"] == "a")
    assert (entry["operation"], entry["subresource"]) == ("Apply", "scale")
    assert entry["fieldsV1"] == {"f:spec": {"f:replicas": {}}}
    assert (await scale("b", 4))[0] == 409
    assert (await scale("b", 3))[0] == 200
    assert (await scale("a", 3, name="other"))[0] == 400
    assert (await scale("a", 3, resourceVersion="1"))[0] == 409
    assert (await scale("a", -1))[0] == 422


async def test_scales(api: Api) -> None:
    path = f"/apis/apps/v1/namespaces/{await api.ns()}/deployments"
    body = builders.deployment("web", "", replicas=2)
    await api.ok("POST", path, body)
    scale = await api.ok("GET", f"{path}/web/scale")
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert (scale["spec"], scale["status"]) == ({"replicas": 2}, {"replicas": 0, "selector": "app=web"})
    done = await api.ok("PUT", f"{path}/web/scale", {**scale, "spec": {"replicas": 5}})
    now = await api.ok("GET", f"{path}/web")
    assert (done["spec"]["replicas"], now["spec"]["replicas"], now["metadata"]["generation"]) == (5, 5, 2)
    assert done["metadata"]["resourceVersion"] == now["metadata"]["resourceVersion"]
    said = await api.why(409, "PUT", f"{path}/web/scale", {**scale, "spec": {"replicas": 6}})
    assert said == f'Operation cannot be fulfilled on deployments.apps "web": {STALE}'
    done = await api.ok("PATCH", f"{path}/web/scale", {"spec": {"replicas": 0}}, kind=MERGE)
    assert (await api.ok("GET", f"{path}/web"))["spec"]["replicas"] == done["spec"].get("replicas", 0) == 0
    said = await api.why(422, "PATCH", f"{path}/web/scale", {"spec": {"replicas": -1}}, kind=MERGE)
    assert said == (
        'Scale.autoscaling "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0'
    )
    assert await api.why(404, "GET", f"{path}/none/scale") == 'deployments.apps "none" not found'


def claims(token: str) -> Any:
    body = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


async def test_tokens_of_service_accounts(api: Api) -> None:
    path = await pods(api)
    namespace = path.split("/")[4]
    pod = await running(api, path)
    place = path.replace("/pods", "/serviceaccounts/default/token")
    code, made = await api.ask("POST", place, {"spec": {"audiences": ["a"], "expirationSeconds": 3600}})
    assert (code, made["kind"], made["spec"]["audiences"]) == (201, "TokenRequest", ["a"])
    said = claims(made["status"]["token"])
    assert (said["sub"], said["aud"]) == (f"system:serviceaccount:{namespace}:default", ["a"])
    assert said["exp"] - said["iat"] == 3600
    ref = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": pod["metadata"]["uid"]}
    bound = await api.ok("POST", place, {"spec": {"audiences": ["a"], "boundObjectRef": ref}})
    assert claims(bound["status"]["token"])["kubernetes.io"]["pod"] == {"name": "p", "uid": pod["metadata"]["uid"]}
    said = await api.why(422, "POST", place, {"spec": {"expirationSeconds": 10}})
    assert said == (
        'TokenRequest.authentication.k8s.io "" is invalid: spec.expirationSeconds: Invalid value: 10: '
        "may not specify a duration less than 10 minutes"
    )
    said = await api.why(409, "POST", place, {"spec": {"boundObjectRef": {**ref, "uid": "other"}}})
    assert said == (
        'Operation cannot be fulfilled on Pod "p": the UID in the bound object reference (other) does not match the '
        "UID in record. The object might have been deleted and then recreated"
    )
    said = await api.why(404, "POST", place.replace("default", "none"), {"spec": {}})
    assert said == 'serviceaccounts "none" not found'
    said = await api.why(422, "POST", place, {"metadata": {"name": "other"}, "spec": {}})
    assert said == (
        'TokenRequest.authentication.k8s.io "default" is invalid: metadata.name: Invalid value: "other": must match '
        "the service account name if specified"
    )


async def test_ephemeral_containers_are_only_added(api: Api) -> None:
    path = await pods(api)
    await running(api, path)
    debugger = {"name": "debug", "image": "tools:1"}
    refused = (
        'Pod "p" is invalid: spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not be'
    )
    body = {"metadata": {"labels": {"app": "other"}}, "spec": {"ephemeralContainers": [debugger], "hostNetwork": True}}
    done = await api.ok("PATCH", f"{path}/p/ephemeralcontainers", body, kind=STRATEGIC)
    assert [one["name"] for one in done["spec"]["ephemeralContainers"]] == ["debug"]
    assert not done["spec"].get("hostNetwork")
    assert done["metadata"]["labels"] == {"app": "web"}
    said = await api.why(
        422, "PATCH", f"{path}/p/ephemeralcontainers", {"spec": {"ephemeralContainers": []}}, kind=MERGE
    )
    assert said == f"{refused} removed\n"
    changed = {"spec": {"ephemeralContainers": [{**debugger, "image": "tools:2"}]}}
    said = await api.why(422, "PATCH", f"{path}/p/ephemeralcontainers", changed, kind=STRATEGIC)
    assert said == f"{refused} changed\n"
    said = await api.why(
        422,
        "PATCH",
        f"{path}/p",
        {"spec": {"ephemeralContainers": [debugger, {**debugger, "name": "d2"}]}},
        kind=STRATEGIC,
    )
    assert "pod updates may not change fields other than" in said


async def node_with(api: Api, labels: dict[str, str] | None = None, **allocatable: str) -> None:
    """Node n1, which may be there already, with these labels and amounts."""
    await api.ask("POST", "/api/v1/nodes", {"metadata": {"name": "n1"}})
    await api.ok("PATCH", "/api/v1/nodes/n1", {"metadata": {"labels": labels or {}}}, kind=MERGE)
    status = {"status": {"allocatable": allocatable, "capacity": allocatable}}
    await api.ok("PATCH", "/api/v1/nodes/n1/status", status, kind=MERGE)


async def test_pods_are_resized(api: Api) -> None:
    await node_with(api, cpu="4", memory="8Gi")
    path = await pods(api)
    small = {"requests": {"cpu": "100m"}, "limits": {"cpu": "200m", "memory": "64Mi"}}
    before = await running(api, path, containers=[builders.container(resources=small)])
    bigger = {"requests": {"cpu": "200m"}, "limits": {"cpu": "400m", "memory": "64Mi"}}
    body = {"spec": {"containers": [{"name": "app", "resources": bigger}]}}
    assert "pod updates may not change fields" in await api.why(422, "PATCH", f"{path}/p", body, kind=STRATEGIC)
    done = await api.ok("PATCH", f"{path}/p/resize", body, kind=STRATEGIC)
    assert done["spec"]["containers"][0]["resources"]["limits"]["cpu"] == "400m"
    assert done["metadata"]["generation"] == before["metadata"]["generation"] + 1
    other = {"spec": {"containers": [{"name": "app", "image": "other:2"}]}}
    kept = await api.ok("PATCH", f"{path}/p/resize", other, kind=STRATEGIC)
    assert kept["spec"] == done["spec"]
    disk = {"spec": {"containers": [{"name": "app", "resources": {"limits": {"ephemeral-storage": "1Gi"}}}]}}
    said = await api.why(422, "PATCH", f"{path}/p/resize", disk, kind=STRATEGIC)
    assert "Forbidden: only cpu and memory resources" in said


async def test_no_pod_is_resized_beyond_its_node(api: Api) -> None:
    path = await pods(api)
    await running(api, path, containers=[builders.container(resources={"requests": {"cpu": "1", "memory": "1Mi"}})])
    body = {"spec": {"containers": [{"name": "app", "resources": {"requests": {"cpu": "65", "memory": "1Pi"}}}]}}
    await node_with(api, cpu="64", memory="8Gi")
    said = await api.refused(403, "PATCH", f"{path}/p/resize", body, kind=STRATEGIC)
    assert said["message"].endswith(
        "node didn't have enough allocatable resources: cpu, requested: 65000, allocatable: 64000; "
        "memory, requested: 1125899906842624, allocatable: 8589934592"
    )
    assert said["details"]["causes"] == [{"reason": "NodeCapacity"}]
    await node_with(api, {"kubernetes.io/os": "windows"}, cpu="64", memory="8Gi")
    said = await api.refused(403, "PATCH", f"{path}/p/resize", body, kind=STRATEGIC)
    assert said["details"]["causes"] == [{"reason": "UnsupportedPlatform"}]
    await api.ok("DELETE", "/api/v1/nodes/n1")
    assert 'node "n1" not found' in await api.why(403, "PATCH", f"{path}/p/resize", body, kind=STRATEGIC)


async def test_who_may_look_may_not_act(api: Api) -> None:
    """WebSockets begin with a GET, yet exec, attach and port-forward take the right to create them."""
    namespace = await api.ns()
    pods, rbac = f"/api/v1/namespaces/{namespace}/pods", f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    await api.ok("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "default"}})
    await api.ok("POST", pods, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
    parts = ["pods/exec", "pods/attach", "pods/portforward", "pods/log"]
    for user, verbs in (("looker", ["get"]), ("actor", ["get", "create"])):
        rules = [{"apiGroups": [""], "resources": parts, "verbs": verbs}]
        await api.ok("POST", f"{rbac}/roles", {"metadata": {"name": user}, "rules": rules})
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user}
        subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
        binding = {"metadata": {"name": user}, "roleRef": role, "subjects": [subject]}
        await api.ok("POST", f"{rbac}/rolebindings", binding)
    for part in ("exec", "attach", "portforward"):
        said = await api.why(403, "GET", f"{pods}/p/{part}?command=x&stdout=1&ports=1", who="looker")
        assert f'User "looker" cannot create resource "pods/{part}"' in said
        said = await api.why(400, "GET", f"{pods}/p/{part}?command=x&stdout=1&ports=1", who="actor")
        assert said == "pod p does not have a host assigned"
    assert (await api.ask("GET", f"{pods}/p/log", who="looker"))[0] == 200
