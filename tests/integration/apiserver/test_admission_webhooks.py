"""Admission webhooks as real servers behind TLS: whom they are asked about, and what their answers do."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kybern.apiserver import audit_policy
from kybern.apiserver.audit import Audit
from kybern.apiserver.audit_log import AuditLog
from kybern.apiserver.audit_outputs import LogOutput
from kybern.apiserver.gates import GateOptions
from tests.integration.apiserver.inprocess import MERGE, Api, serving
from tests.integration.apiserver.outside import authority, listening

pytestmark = pytest.mark.asyncio(loop_scope="module")
GROUP = "/apis/admissionregistration.k8s.io/v1"
Decide = Callable[[dict[str, Any]], dict[str, Any]]


class Hook:
    """A webhook: `decide` makes the response of a request, `asked` are the requests it got."""

    def __init__(self, decide: Decide) -> None:
        self.decide, self.asked, self.tokens = decide, list[dict[str, Any]](), list[str | None]()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        review = await request.json()
        asked = review["request"]
        self.asked.append(asked)
        self.tokens.append(request.headers.get("Authorization"))
        response = self.decide(asked)
        if "delay" in response:
            await asyncio.sleep(response["delay"])
        if "code" in response:
            return web.Response(status=response["code"], text="broken")
        return web.json_response({**review, "response": {"uid": asked["uid"], "allowed": True, **response}})

    @property
    def names(self) -> list[str]:
        return [asked.get("name", "") for asked in self.asked]


def patch(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(operations).encode()).decode()}


def labelled(key: str, value: str) -> Decide:
    """Adds a label, and does nothing where it is."""

    def decide(asked: dict[str, Any]) -> dict[str, Any]:
        labels = asked["object"]["metadata"].get("labels") or {}
        if key in labels:
            return {}
        return patch({"op": "add", "path": "/metadata/labels", "value": {**labels, key: value}})

    return decide


RULE = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}


@asynccontextmanager
async def hooked(
    api: Api, decide: Decide, kind: str = "mutating", rule: dict[str, Any] | None = None, name: str = "a", **more: Any
) -> AsyncIterator[Hook]:
    """A webhook server, and a configuration that has it asked."""
    hook = Hook(decide)
    path = f"{GROUP}/{kind}webhookconfigurations"
    async with listening(hook.answer) as port:
        said = {
            "name": f"{name}.example.com",
            "clientConfig": {"url": f"https://127.0.0.1:{port}/", "caBundle": authority().bundle},
            "rules": [{**RULE, **(rule or {})}],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            **more,
        }
        await api.ok("POST", path, {"metadata": {"name": name}, "webhooks": [said]})
        try:
            yield hook
        finally:
            await api.ok("DELETE", f"{path}/{name}")


def nothing(_: dict[str, Any]) -> dict[str, Any]:
    return {}


async def test_a_webhook_is_told_of_creations_updates_and_deletions(api: Api) -> None:
    async with hooked(api, nothing, "validating") as hook:
        path = await api.maps("a", data={"k": "v"})
        await api.ok("PATCH", f"{path}/a?dryRun=All", {"data": {"k": "w"}}, kind=MERGE)
        await api.ok("DELETE", f"{path}/a")
        await api.ok("DELETE", path)
    created, updated, deleted = hook.asked
    assert (created["name"], deleted["name"]) == ("a", "a")
    assert created["operation"] == "CREATE" and created["object"]["data"] == {"k": "v"} and created["oldObject"] is None
    assert created["kind"] == {"group": "", "version": "v1", "kind": "ConfigMap"} == created["requestKind"]
    assert created["resource"] == {"group": "", "version": "v1", "resource": "configmaps"}
    assert created["userInfo"] == {"username": "admin", "groups": ["system:masters", "system:authenticated"]}
    assert created["options"]["kind"] == "CreateOptions" and created["dryRun"] is False
    assert created["name"] == "a" and path.split("/")[4] == created["namespace"]
    assert updated["operation"] == "UPDATE" and updated["dryRun"] is True
    assert (updated["oldObject"]["data"], updated["object"]["data"]) == ({"k": "v"}, {"k": "w"})
    assert deleted["operation"] == "DELETE" and deleted["object"] is None and deleted["oldObject"]["data"] == {"k": "v"}
    path = await api.maps("b")
    assert len(hook.asked) == 3, "asked after its configuration was gone"


async def test_a_webhook_changes_what_is_written(api: Api) -> None:
    def decide(asked: dict[str, Any]) -> dict[str, Any]:
        return patch(
            {"op": "add", "path": "/data", "value": {"by": "hook"}},
            {"op": "add", "path": "/nonsense", "value": 1},
            {"op": "add", "path": "/metadata/uid", "value": "mine"},
        )

    async with hooked(api, decide):
        made = await api.ok("POST", f"/api/v1/namespaces/{await api.ns()}/configmaps", {"metadata": {"name": "x"}})
    assert made["data"] == {"by": "hook"} and "nonsense" not in made and made["metadata"]["uid"] != "mine"


async def test_what_a_webhook_adds_has_no_owner(api: Api) -> None:
    add = {"op": "add", "path": "/data/hook", "value": "1"}
    path = f"/api/v1/namespaces/{await api.ns()}/configmaps"
    async with hooked(api, lambda _: patch(add)):
        made = await api.ok("POST", path, {"metadata": {"name": "x"}, "data": {"own": "1"}})
        changed = await api.ok("PATCH", f"{path}/x", {"data": {"more": "1"}}, kind=MERGE)
    for obj in (made, changed):
        assert "hook" in obj["data"]
        assert all("f:hook" not in entry["fieldsV1"]["f:data"] for entry in obj["metadata"]["managedFields"])


async def test_what_a_webhook_breaks_of_the_owners_is_put_back(api: Api) -> None:
    path = f"/api/v1/namespaces/{await api.ns()}/configmaps"
    break_it = {"op": "replace", "path": "/metadata/managedFields/0/operation", "value": "Guess"}
    async with hooked(api, lambda _: patch(break_it)):
        answer = await api.respond("POST", path, {"metadata": {"name": "x"}, "data": {"own": "1"}})
    assert isinstance(answer.body, bytes)
    [entry] = json.loads(answer.body)["metadata"]["managedFields"]
    assert entry["operation"] == "Update" and "f:data" in entry["fieldsV1"]
    assert "was in an invalid state after admission" in dict(answer.headers)["warning"]


async def test_a_webhook_may_touch_only_what_the_request_may(api: Api) -> None:
    def decide(asked: dict[str, Any]) -> dict[str, Any]:
        return patch(
            {"op": "add", "path": "/metadata/labels", "value": {"by": asked["operation"]}},
            {"op": "add", "path": "/status", "value": {"hard": {"pods": "9"}}},
        )

    async with hooked(api, decide, rule={"resources": ["resourcequotas"]}):
        path = f"/api/v1/namespaces/{await api.ns()}/resourcequotas"
        made = await api.ok("POST", path, {"metadata": {"name": "q"}, "spec": {"hard": {"pods": "1"}}})
        assert made["metadata"]["labels"] == {"by": "CREATE"} and made["status"] == {}
        changed = await api.ok("PATCH", f"{path}/q", {"spec": {"hard": {"pods": "2"}}}, kind=MERGE)
        assert changed["metadata"]["labels"] == {"by": "UPDATE"} and changed["status"] == {}


async def test_a_name_that_is_made_up_is_not_told_before_the_object_is_complete(api: Api) -> None:
    async with hooked(api, nothing) as before, hooked(api, nothing, "validating") as after:
        path = f"/api/v1/namespaces/{await api.ns()}/configmaps"
        made = await api.ok("POST", path, {"metadata": {"generateName": "x-"}})
    assert "name" not in before.asked[0] and after.asked[0]["name"] == made["metadata"]["name"]
    shown = before.asked[0]["object"]["metadata"]
    assert not shown.keys() & {"name", "uid", "creationTimestamp", "generation"}
    assert shown["managedFields"] and after.asked[0]["object"]["metadata"]["uid"] == made["metadata"]["uid"]
    assert after.asked[0]["object"]["metadata"]["name"] == made["metadata"]["name"] != "x-"
    pod = {"metadata": {"generateName": "p-"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    message = await api.why(403, "POST", f"/api/v1/namespaces/{await api.ns()}/pods", pod)
    assert message.startswith('pods "p-" is forbidden: error looking up service account')


async def test_a_webhook_cannot_take_a_name_away(api: Api) -> None:
    path = await api.maps("a")
    async with hooked(api, lambda _: patch({"op": "remove", "path": "/metadata/name"})):
        await api.why(422, "POST", path, {"metadata": {"name": "x"}})
        changed = await api.ok("PATCH", f"{path}/a", {"data": {"k": "v"}}, kind=MERGE)
    assert changed["metadata"]["name"] == "a"


async def test_what_a_webhook_adds_gets_its_defaults(api: Api) -> None:
    container = {"name": "sidecar", "image": "b"}
    rule = {"resources": ["pods"], "operations": ["CREATE"]}
    operation = {"op": "add", "path": "/spec/containers/-", "value": container}

    def decide(asked: dict[str, Any]) -> dict[str, Any]:
        return {} if len(asked["object"]["spec"]["containers"]) > 1 else patch(operation)

    async with hooked(api, decide, rule=rule, reinvocationPolicy="IfNeeded") as hook:
        pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "a"}]}}
        namespace = await api.ns()
        await api.ok("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "default"}})
        made = await api.ok("POST", f"/api/v1/namespaces/{namespace}/pods", pod)
    added = made["spec"]["containers"][1]
    assert added["terminationMessagePath"] == "/dev/termination-log" and added["imagePullPolicy"] == "Always"
    assert added["volumeMounts"], "the service account's token isn't mounted: plugins were not asked once more"
    assert [len(asked["object"]["spec"]["containers"]) for asked in hook.asked] == [1, 2]
    assert hook.asked[1]["object"]["spec"]["containers"][1]["volumeMounts"] == added["volumeMounts"]


@pytest.mark.parametrize(
    ("response", "code", "reason", "message"),
    [
        ({"status": {"message": "no", "code": 418, "reason": "Teapot"}}, 418, "Teapot", "denied the request: no"),
        ({}, 400, None, "denied the request without explanation"),
        ({"status": {"reason": "Because"}}, 400, "Because", "denied the request: Because"),
    ],
)
async def test_a_refusal_is_answered_as_the_webhook_says(
    api: Api, response: dict[str, Any], code: int, reason: str | None, message: str
) -> None:
    async with hooked(api, lambda _: {"allowed": False, **response}, "validating"):
        path = f"/api/v1/namespaces/{await api.ns()}/configmaps"
        refused = await api.refused(code, "POST", path, {"metadata": {"name": "x"}})
    assert refused["message"] == f'admission webhook "a.example.com" {message}' and refused.get("reason") == reason


async def test_failures_close_or_open_as_the_policy_says(api: Api) -> None:
    path = f"/api/v1/namespaces/{await api.ns()}/configmaps"
    async with hooked(api, lambda _: {"code": 500}, "validating"):
        refused = await api.refused(500, "POST", path, {"metadata": {"name": "x"}})
    said = 'an error on the server ("broken") has prevented the request from succeeding'
    text = f'failed calling webhook "a.example.com": failed to call webhook: {said}'
    assert refused["message"] == f"Internal error occurred: {text}" and refused["reason"] == "InternalError"
    assert refused["details"]["causes"] == [{"message": text}]
    async with hooked(api, lambda _: {"delay": 3}, "mutating", failurePolicy="Ignore", timeoutSeconds=1) as hook:
        await api.ok("POST", path, {"metadata": {"name": "x"}})
    assert hook.names == ["x"]
    async with hooked(api, lambda _: {"uid": "other"}, "mutating"):
        message = await api.why(500, "POST", path, {"metadata": {"name": "y"}})
        assert 'received invalid webhook response: expected response.uid="' in message
    page = api.app.telemetry.page().decode()
    base = "apiserver_admission_webhook"
    name = 'name="a.example.com",operation="CREATE"'
    assert f'{base}_fail_open_count{{name="a.example.com",type="admit"}} 1.0' in page
    assert f'{base}_request_total{{code="500",{name},rejected="true",type="validating"}} 1.0' in page
    assert f'{base}_rejection_count{{error_type="calling_webhook_error",{name},rejection_code="500"' in page


async def test_selectors_and_conditions_choose_what_a_webhook_hears_of(api: Api) -> None:
    namespace = await api.ns()
    await api.ok("PATCH", f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {"team": "a"}}}, kind=MERGE)
    condition = "object.metadata.name != 'y' && request.operation == 'CREATE'"
    selectors = {
        "namespaceSelector": {"matchLabels": {"team": "a"}},
        "objectSelector": {"matchExpressions": [{"key": "l", "operator": "In", "values": ["x", "y"]}]},
        "matchConditions": [{"name": "not-y", "expression": condition}],
    }
    async with hooked(api, nothing, "validating", **selectors) as hook:
        await api.maps("x")
        for name in ("x", "y", "z"):
            path = f"/api/v1/namespaces/{namespace}/configmaps"
            await api.ok("POST", path, {"metadata": {"name": name, "labels": {"l": name}}})
    assert hook.names == ["x"]
    failing = [{"name": "bad", "expression": "object.data.missing == 'x'"}]
    async with hooked(api, nothing, "validating", matchConditions=failing) as hook:
        assert "is forbidden: expression" in await api.why(403, "POST", path, {"metadata": {"name": "v"}})
    async with hooked(api, nothing, "validating", matchConditions=failing, failurePolicy="Ignore") as hook:
        await api.ok("POST", path, {"metadata": {"name": "v"}})
    assert hook.asked == []


async def test_webhooks_go_by_name_and_again_where_one_changed_something(api: Api) -> None:
    async with (
        hooked(api, labelled("first", "1"), name="a", reinvocationPolicy="IfNeeded") as first,
        hooked(api, labelled("second", "2"), name="b", reinvocationPolicy="Never") as second,
        hooked(api, labelled("third", "3"), name="c", reinvocationPolicy="IfNeeded") as third,
    ):
        made = await api.ok("POST", f"/api/v1/namespaces/{await api.ns()}/configmaps", {"metadata": {"name": "x"}})
    assert made["metadata"]["labels"] == {"first": "1", "second": "2", "third": "3"}
    assert [len(hook.asked) for hook in (first, second, third)] == [2, 1, 1]
    assert first.asked[1]["object"]["metadata"]["labels"] == made["metadata"]["labels"]


async def test_a_webhook_for_another_version_is_told_of_that_one_if_it_wants_equivalents(api: Api) -> None:
    rule = {"apiGroups": ["autoscaling"], "apiVersions": ["v1"], "resources": ["horizontalpodautoscalers"]}
    target = {"type": "Utilization", "averageUtilization": 70}
    scaler = {
        "metadata": {"name": "h"},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"},
            "maxReplicas": 3,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": target}}],
        },
    }

    def decide(asked: dict[str, Any]) -> dict[str, Any]:
        return patch({"op": "replace", "path": "/spec/targetCPUUtilizationPercentage", "value": 60})

    async with (
        hooked(api, decide, rule=rule) as equivalent,
        hooked(api, nothing, rule=rule, name="x", matchPolicy="Exact") as exact,
    ):
        path = f"/apis/autoscaling/v2/namespaces/{await api.ns()}/horizontalpodautoscalers"
        made = await api.ok("POST", path, scaler)
    asked = equivalent.asked[0]
    assert asked["kind"]["version"] == "v1" and asked["requestKind"]["version"] == "v2"
    assert asked["object"]["apiVersion"] == "autoscaling/v1" and exact.asked == []
    assert made["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 60


async def test_subresources_are_shown_as_what_they_are(api: Api) -> None:
    rule = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["deployments/*", "pods/exec", "pods/eviction"]}
    namespace = await api.ns()
    base = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    spec = {
        "replicas": 1,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    }
    await api.ok("POST", base, {"metadata": {"name": "d"}, "spec": spec})

    def decide(asked: dict[str, Any]) -> dict[str, Any]:
        if asked.get("subResource") != "scale":
            return {"allowed": asked["operation"] != "CONNECT", "status": {"code": 403, "message": "stay out"}}
        return patch({"op": "replace", "path": "/spec/replicas", "value": 5})

    async with hooked(api, decide, rule=rule) as hook:
        scaled = await api.ok("PATCH", f"{base}/d/scale", {"spec": {"replicas": 3}}, kind=MERGE)
        status = await api.ok("PATCH", f"{base}/d/status", {"status": {"replicas": 3}}, kind=MERGE)
        message = await api.why(403, "POST", f"/api/v1/namespaces/{namespace}/pods/p/exec?command=ls&stdout=1")
    assert scaled["spec"]["replicas"] == 5 and status["spec"]["replicas"] == 5
    scale, _, connect = hook.asked
    assert scale["kind"] == {"group": "autoscaling", "version": "v1", "kind": "Scale"}
    assert scale["subResource"] == scale["requestSubResource"] == "scale"
    assert message == 'admission webhook "a.example.com" denied the request: stay out'
    assert connect["object"] == {"kind": "PodExecOptions", "apiVersion": "v1", "command": ["ls"], "stdout": True}


async def test_an_eviction_is_one_and_no_deletion(api: Api) -> None:
    namespace = await api.ns()
    base = f"/api/v1/namespaces/{namespace}"
    await api.ok("POST", f"{base}/serviceaccounts", {"metadata": {"name": "default"}})
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "a"}]}}
    await api.ok("POST", f"{base}/pods", pod)
    rule = {"resources": ["pods", "pods/eviction"]}
    async with hooked(api, nothing, "validating", rule=rule) as hook:
        eviction = {"kind": "Eviction", "apiVersion": "policy/v1", "metadata": {"name": "p"}}
        await api.ok("POST", f"{base}/pods/p/eviction", eviction)
    assert [(asked["operation"], asked["kind"]["kind"]) for asked in hook.asked] == [("CREATE", "Eviction")]


async def test_what_a_webhook_adds_to_a_custom_object_is_pruned_and_defaulted(api: Api) -> None:
    text = {"type": "string"}
    data = {"type": "object", "properties": {"a": text, "b": {**text, "default": "c"}}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"data": data}}}
    versions = [{"name": "v1", "served": True, "storage": True, "schema": schema}]
    names = {"plural": "prunes", "kind": "Prune"}
    spec = {"group": "prune.example.com", "scope": "Namespaced", "names": names, "versions": versions}
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    await api.ok("POST", crds, {"metadata": {"name": "prunes.prune.example.com"}, "spec": spec})
    while not api.app.registry.scheme.resource("prune.example.com", "prunes"):
        await asyncio.sleep(0.01)
    rule = {"apiGroups": ["prune.example.com"], "resources": ["*"]}
    added = {"op": "add", "path": "/data", "value": {"a": "x", "unknown": "y"}}
    async with hooked(api, lambda _: patch(added), rule=rule):
        path = f"/apis/prune.example.com/v1/namespaces/{await api.ns()}/prunes"
        made = await api.ok("POST", path, {"metadata": {"name": "p"}})
    assert made["data"] == {"a": "x", "b": "c"}


async def test_a_webhook_with_side_effects_is_not_asked_of_dry_runs(api: Api) -> None:
    path = f"/api/v1/namespaces/{await api.ns()}/configmaps"
    async with hooked(api, nothing, "validating") as hook:
        registry = api.app.registry
        resource = registry.scheme.resource("admissionregistration.k8s.io", "validatingwebhookconfigurations")
        assert resource is not None

        def old_style(now: dict[str, Any]) -> dict[str, Any]:
            now["webhooks"][0]["sideEffects"] = "Some"
            return now

        await registry.guaranteed_update(resource, "", "a", old_style)
        message = await api.why(400, "POST", f"{path}?dryRun=All", {"metadata": {"name": "x"}})
    assert message == 'admission webhook "a.example.com" does not support dry run' and hook.asked == []


async def test_the_kubeconfig_of_the_plugin_says_who_calls(tmp_path: Path) -> None:
    users = [{"name": "*", "user": {"token": "secret"}}]
    (tmp_path / "kubeconfig").write_text(json.dumps({"kind": "Config", "users": users}))
    plugin = {"kind": "WebhookAdmissionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1"}
    plugin["kubeConfigFile"] = str(tmp_path / "kubeconfig")
    plugins = [{"name": "ValidatingAdmissionWebhook", "configuration": plugin}]
    whole = {"kind": "AdmissionConfiguration", "apiVersion": "apiserver.config.k8s.io/v1", "plugins": plugins}
    (tmp_path / "admission").write_text(json.dumps(whole))
    async with (
        serving(GateOptions(admission_control_config_file=tmp_path / "admission")) as api,
        hooked(api, nothing, "validating") as known,
        hooked(api, nothing) as unknown,
    ):
        await api.maps("x")
    assert known.tokens == ["Bearer secret"] and unknown.tokens == [None]


async def test_warnings_reach_the_client(api: Api) -> None:
    async with hooked(api, lambda _: {"warnings": ["mind the gap"]}, "validating"):
        path = f"/api/v1/namespaces/{await api.ns()}/configmaps"
        response = await api.respond("POST", path, {"metadata": {"name": "x"}})
    assert ("warning", '299 - "mind the gap"') in response.headers


async def test_no_webhook_stands_between_an_admin_and_its_configuration(api: Api) -> None:
    everything = {"apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"], "operations": ["*"]}
    async with hooked(api, lambda _: {"allowed": False}, "validating", everything) as hook:
        await api.why(400, "POST", "/api/v1/namespaces", {"metadata": {"name": "nope"}})
    assert [asked["resource"]["resource"] for asked in hook.asked] == ["namespaces"]


async def test_without_webhooks_no_write_is_looked_at(api: Api) -> None:
    await api.maps("x")
    admission = api.app.admission
    for step in ("admit", "validate"):
        asked = {plugin.name for plugin in admission._concerned(step, "CREATE", "", "configmaps")}
        assert not asked & {"MutatingAdmissionWebhook", "ValidatingAdmissionWebhook"}
    async with hooked(api, nothing, "validating"):
        concerned = admission._concerned("validate", "CREATE", "", "configmaps")
        assert "ValidatingAdmissionWebhook" in {plugin.name for plugin in concerned}
        concerned = admission._concerned("validate", "CREATE", "", "pods")
        assert "ValidatingAdmissionWebhook" not in {plugin.name for plugin in concerned}


async def test_the_audit_trail_says_what_webhooks_did(api: Api, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text('{"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Request"}]}')
    log = AuditLog(str(tmp_path / "log"))
    path = f"/api/v1/namespaces/{await api.ns()}/configmaps"

    def decide(asked: dict[str, Any]) -> dict[str, Any]:
        return {**labelled("a", "1")(asked), "auditAnnotations": {"seen": "yes"}}

    async with (
        hooked(api, decide),
        hooked(api, lambda _: {"code": 500}, name="b", failurePolicy="Ignore"),
        hooked(api, lambda _: {"code": 500}, "validating", name="c", failurePolicy="Ignore"),
    ):
        api.app.audit = Audit(audit_policy.load(policy), LogOutput(log))
        await api.ok("POST", path, {"metadata": {"name": "x"}})
        api.app.audit = None
    log.close()
    event = json.loads((tmp_path / "log").read_text().splitlines()[-1])
    said = event["annotations"]
    who = '{"configuration":"a","webhook":"a.example.com"'
    assert said["mutation.webhook.admission.k8s.io/round_0_index_0"] == f'{who},"mutated":true}}'
    operation = '{"op":"add","path":"/metadata/labels","value":{"a":"1"}}'
    patched = f'{who},"patch":[{operation}],"patchType":"JSONPatch"}}'
    assert said["patch.webhook.admission.k8s.io/round_0_index_0"] == patched
    assert said["a.example.com/seen"] == "yes"
    assert said["failed-open.mutation.webhook.admission.k8s.io/round_0_index_1"] == "b.example.com"
    assert said["failed-open.validating.webhook.admission.k8s.io/round_0_index_0"] == "c.example.com"
