"""Admission policies: what is matched, what expressions see, what comes of it, and how objects are changed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from kybern.apiserver import audit_policy
from kybern.apiserver.audit import Audit
from kybern.apiserver.audit_log import AuditLog
from kybern.apiserver.audit_outputs import LogOutput
from tests.integration.apiserver.inprocess import MERGE, Api

GROUP = "/apis/admissionregistration.k8s.io/v1"
RULE = {"operations": ["*"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}


@asynccontextmanager
async def policed(
    api: Api, spec: dict[str, Any], binding: dict[str, Any] | None = None, kind: str = "validating", name: str = "p"
) -> AsyncIterator[None]:
    """A policy in force."""
    path = f"{GROUP}/{kind}admissionpolicies"
    spec = {"matchConstraints": {"resourceRules": [RULE]}, **spec}
    bound = {"policyName": name, **({"validationActions": ["Deny"]} if kind == "validating" else {}), **(binding or {})}
    await api.ok("POST", path, {"metadata": {"name": name}, "spec": spec})
    await api.ok("POST", path.replace("policies", "policybindings"), {"metadata": {"name": f"{name}b"}, "spec": bound})
    try:
        yield
    finally:
        await api.ok("DELETE", f"{path.replace('policies', 'policybindings')}/{name}b")
        await api.ok("DELETE", f"{path}/{name}")


def rule(expression: str, **more: Any) -> dict[str, Any]:
    return {"validations": [{"expression": expression, **more}]}


def mutation(expression: str, kind: str = "ApplyConfiguration") -> dict[str, Any]:
    field = {"ApplyConfiguration": "applyConfiguration", "JSONPatch": "jsonPatch"}[kind]
    return {"mutations": [{"patchType": kind, field: {"expression": expression}}]}


async def make(api: Api, path: str = "", name: str = "x", **fields: Any) -> tuple[int, Any]:
    path = path or f"/api/v1/namespaces/{await api.ns()}/configmaps"
    return await api.ask("POST", path, {"metadata": {"name": name}, **fields})


async def test_a_policy_refuses_with_its_message_and_reason(api: Api) -> None:
    spec = rule("object.metadata.name != 'bad'", message="bad name", reason="Forbidden")
    async with policed(api, spec):
        code, refused = await make(api, name="bad")
        assert (code, refused["reason"]) == (403, "Forbidden")
        said = "ValidatingAdmissionPolicy 'p' with binding 'pb' denied request: bad name"
        assert refused["message"] == f'configmaps "bad" is forbidden: {said}'
        assert refused["details"] == {"name": "bad", "kind": "configmaps", "causes": [{"message": said}]}
        assert (await make(api, name="good"))[0] == 201
    assert (await make(api, name="bad"))[0] == 201, "evaluated after it was gone"
    async with policed(api, rule("1 == 2", messageExpression="'name: ' + object.metadata.name")):
        code, refused = await make(api)
    assert (code, refused["reason"]) == (422, "Invalid") and refused["message"].endswith("denied request: name: x")
    async with policed(api, rule("1 == 2", messageExpression="string(object.missing)")):
        assert (await make(api))[1]["message"].endswith("denied request: failed expression: 1 == 2")


async def test_policies_without_bindings_are_not_evaluated(api: Api) -> None:
    spec = {"matchConstraints": {"resourceRules": [RULE]}, **rule("false")}
    await api.ok("POST", f"{GROUP}/validatingadmissionpolicies", {"metadata": {"name": "loose"}, "spec": spec})
    assert (await make(api))[0] == 201
    await api.ok("DELETE", f"{GROUP}/validatingadmissionpolicies/loose")


@pytest.mark.parametrize(
    "expression",
    [
        "object.data.k == 'v' && oldObject == null && request.operation == 'CREATE'",
        "request.kind.kind == 'ConfigMap' && request.resource.resource == 'configmaps' && request.name == 'x'",
        "request.userInfo.username == 'admin' && 'system:masters' in request.userInfo.groups && !request.dryRun",
        "namespaceObject.metadata.name == request.namespace && namespaceObject.status.phase == 'Active'",
        "authorizer.group('').resource('pods').namespace('default').check('create').allowed()",
        "authorizer.requestResource.check('delete').allowed() && authorizer.path('/healthz').check('get').allowed()",
        "variables.long.size() > 1 && variables.twice == 'vv' && variables.maybe.orValue('none') == 'none'",
        "object.metadata.?labels['a'].orValue('b') == 'b'",
    ],
)
async def test_what_expressions_see(api: Api, expression: str) -> None:
    variables = [
        {"name": "twice", "expression": "object.data.k + object.data.k"},
        {"name": "long", "expression": "variables.twice + '!'"},
        {"name": "maybe", "expression": "object.data.?zz"},
        {"name": "broken", "expression": "object.data.nope"},
    ]
    async with policed(api, {**rule(expression), "variables": variables}):
        code, answer = await make(api, data={"k": "v"})
        assert code == 201, answer


async def test_errors_are_failures_unless_ignored(api: Api) -> None:
    variables = [{"name": "v", "expression": "object.data.nope"}]
    async with policed(api, {**rule("variables.v == 'x'"), "variables": variables}):
        code, refused = await make(api, data={"k": "v"})
    assert code == 422 and refused["message"].endswith(
        "'variables.v == 'x'' resulted in error: composited variable \"v\" fails to evaluate: no such key: nope"
    )
    async with policed(api, {**rule("variables.v == 'x'"), "variables": variables, "failurePolicy": "Ignore"}):
        assert (await make(api, data={"k": "v"}))[0] == 201
    page = api.app.telemetry.page().decode()
    base = 'apiserver_validating_admission_policy_check_total{enforcement_action="'
    assert f'{base}deny",error_type="invalid_error",policy="p",policy_binding="pb"}}' in page
    assert f'{base}allow",error_type="invalid_error",policy="p",policy_binding="pb"}} 1.0' in page


async def test_warnings_and_audit_annotations(api: Api, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n")
    file = tmp_path / "audit.log"
    spec = rule("object.metadata.name == 'y'", message="not y")
    spec["auditAnnotations"] = [
        {"key": "who", "valueExpression": "'by ' + request.userInfo.username"},
        {"key": "no", "valueExpression": "object.metadata.name == 'y' ? 'is y' : ''"},
    ]
    path = f"/api/v1/namespaces/{await api.ns()}/configmaps"
    log = AuditLog(str(file))
    api.app.audit = Audit(audit_policy.load(policy), LogOutput(log))
    try:
        async with policed(api, spec, {"validationActions": ["Warn", "Audit"]}):
            answer = await api.respond("POST", path, {"metadata": {"name": "x"}})
    finally:
        api.app.audit = None
        log.close()
    said = "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'pb': not y"
    assert answer.status == 201 and ("warning", f'299 - "{said}"') in [(k.lower(), v) for k, v in answer.headers]
    events = [json.loads(line) for line in file.read_text().splitlines()]
    [noted] = [event["annotations"] for event in events if event["requestURI"] == path and "annotations" in event]
    assert noted["p/who"] == "by admin" and "p/no" not in noted
    [failure] = json.loads(noted["validation.policy.admission.k8s.io/validation_failure"])
    assert failure == {
        "message": "not y",
        "policy": "p",
        "binding": "pb",
        "expressionIndex": 0,
        "validationActions": ["Warn", "Audit"],
    }


async def test_which_writes_a_policy_is_about(api: Api) -> None:
    namespace = await api.ns()
    await api.ok("PATCH", f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {"team": "a"}}}, kind=MERGE)
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    labelled = {"metadata": {"name": "x", "labels": {"l": "x"}}}
    constraints: dict[str, Any] = {
        "resourceRules": [{**RULE, "operations": ["CREATE"], "resourceNames": ["x", "y"]}],
        "excludeResourceRules": [{**RULE, "resourceNames": ["y"]}],
        "namespaceSelector": {"matchLabels": {"team": "a"}},
        "objectSelector": {"matchLabels": {"l": "x"}},
    }
    async with policed(api, {**rule("false"), "matchConstraints": constraints}):
        assert (await api.ask("POST", path, labelled))[0] == 422
        assert (await make(api, path))[0] == 201, "without the label"
        assert (await api.ask("POST", path, {"metadata": {"name": "y", "labels": {"l": "x"}}}))[0] == 201, "excluded"
        assert (await api.ask("POST", path, {"metadata": {"name": "z", "labels": {"l": "x"}}}))[0] == 201, "its name"
        await api.ok("PATCH", f"{path}/x", {"metadata": {"labels": {"l": "x"}}}, kind=MERGE)
        await api.maps("x")
    conditions = [{"name": "c", "expression": "object.metadata.name == 'v'"}]
    async with policed(api, {**rule("false"), "matchConditions": conditions}):
        assert [(await make(api, path, name))[0] for name in ("v", "w")] == [422, 201]
    only = {"matchResources": {"objectSelector": {"matchLabels": {"l": "x"}}}}
    async with policed(api, rule("false"), only):
        assert (await make(api, path, "q"))[0] == 201
        await api.refused(422, "PATCH", f"{path}/x", {"data": {"a": "b"}}, kind=MERGE)
        await api.refused(422, "DELETE", f"{path}/x")


async def test_an_equivalent_version_is_matched_and_shown(api: Api) -> None:
    namespace = await api.ns()
    path = f"/apis/autoscaling/v1/namespaces/{namespace}/horizontalpodautoscalers"
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}, "maxReplicas": 3}
    metric = {**RULE, "apiGroups": ["autoscaling"], "apiVersions": ["v2"], "resources": ["horizontalpodautoscalers"]}
    expression = "object.apiVersion == 'autoscaling/v2' && request.requestResource.version == 'v1' && false"
    for policy, code in (("Equivalent", 422), ("Exact", 201)):
        constraints = {"resourceRules": [metric], "matchPolicy": policy}
        async with policed(api, {**rule(expression), "matchConstraints": constraints}):
            status, answer = await api.ask("POST", path, {"metadata": {"name": "h"}, "spec": spec})
            assert status == code, answer


async def test_parameters(api: Api) -> None:
    namespace = await api.ns()
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    spec = {
        **rule(
            "!has(object.data) || object.data.size() <= int(params.data.most)",
            messageExpression="string(params.metadata.name)",
        ),
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConditions": [{"name": "c", "expression": "object.metadata.name != params.metadata.name"}],
    }
    by_name = {"paramRef": {"name": "limits", "parameterNotFoundAction": "Deny"}}
    async with policed(api, spec, by_name):
        code, refused = await make(api, path)
        assert code == 422 and "failed to configure binding: no params found for policy binding" in refused["message"]
    async with policed(api, spec, {"paramRef": {**by_name["paramRef"], "parameterNotFoundAction": "Allow"}}):
        assert (await make(api, path, "free", data={"a": "b", "c": "d"}))[0] == 201
        assert (await make(api, path, "limits", data={"most": "1"}))[0] == 201
        code, refused = await make(api, path, data={"a": "b", "c": "d"})
        assert code == 422 and refused["message"].endswith("denied request: limits")
        assert (await make(api, path, data={"a": "b"}))[0] == 201
    await api.ok("POST", path, {"metadata": {"name": "more", "labels": {"is": "limit"}}, "data": {"most": "0"}})
    selected = {"paramRef": {"selector": {"matchLabels": {"is": "limit"}}, "namespace": namespace}}
    async with policed(api, spec, selected):
        code, refused = await make(api, data={"a": "b"})
        assert code == 422 and refused["message"].endswith("denied request: more")
    async with policed(api, {**spec, "paramKind": {"apiVersion": "example.com/v1", "kind": "Gone"}}, by_name):
        code, refused = await make(api, path, "another")
        assert code == 422 and "failed to find resource referenced by paramKind" in refused["message"]


async def test_policies_are_not_asked_about_policies(api: Api) -> None:
    everything = {
        "resourceRules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}]
    }
    async with policed(api, {**rule("false"), "matchConstraints": everything}):
        assert (await api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": "refused"}}))[0] == 422


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "spec.validations: Required value: validations or auditAnnotations must contain at least one item"),
        (
            rule("object.("),
            'spec.validations[0].expression: Invalid value: "object.(": compilation failed: ERROR: <input>',
        ),
        (rule("'a'"), "spec.validations[0].expression: Invalid value: \"'a'\": must evaluate to bool"),
        (rule("params.x == 1"), "undeclared reference to 'params'"),
        (rule("request.nope == 1"), "undefined field 'nope'"),
        (rule("true", messageExpression="1"), "must evaluate to string"),
        (
            rule("true", messageExpression="authorizer.path('/').check('get').reason()"),
            "undeclared reference to 'authorizer'",
        ),
        (rule("true", message="a\nb"), "message must not contain line breaks"),
        (rule("true", reason="Because"), 'spec.validations[0].reason: Unsupported value: "Because"'),
        ({**rule("true"), "failurePolicy": "Maybe"}, 'spec.failurePolicy: Unsupported value: "Maybe"'),
        ({**rule("true"), "matchConstraints": None}, "spec.matchConstraints: Required value"),
        ({**rule("true"), "variables": [{"name": "in", "expression": "1"}]}, "name is not a valid CEL identifier"),
        (
            {**rule("variables.b > 1"), "variables": [{"name": "a", "expression": "1"}]},
            "undeclared reference to 'variables'",
        ),
        ({**rule("variables.a == 'x'"), "variables": [{"name": "a", "expression": "1"}]}, "found no matching overload"),
        ({**rule("true"), "paramKind": {"apiVersion": "a/b/c", "kind": "K"}}, "unexpected GroupVersion string: a/b/c"),
        ({"auditAnnotations": [{"key": "a", "valueExpression": "1"}]}, "must evaluate to one of [string null_type]"),
    ],
)
async def test_policies_that_are_refused(api: Api, spec: dict[str, Any], said: str) -> None:
    body = {"metadata": {"name": "bad"}, "spec": {"matchConstraints": {"resourceRules": [RULE]}, **spec}}
    assert said in await api.why(422, "POST", f"{GROUP}/validatingadmissionpolicies", body)


async def test_bindings_that_are_refused(api: Api) -> None:
    path = f"{GROUP}/validatingadmissionpolicybindings"
    both = {"policyName": "p", "validationActions": ["Deny", "Warn"]}
    assert "must not contain both Deny and Warn" in await api.why(
        422, "POST", path, {"metadata": {"name": "b"}, "spec": both}
    )
    ref = {"policyName": "p", "validationActions": ["Deny"], "paramRef": {"name": "a", "selector": {}}}
    said = await api.why(422, "POST", path, {"metadata": {"name": "b"}, "spec": ref})
    assert "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive" in said


async def test_parameters_must_be_readable_for_who_names_them(api: Api) -> None:
    rules = [
        {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["mine"], "verbs": ["get"]},
    ]
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    await api.ok("POST", f"{rbac}/clusterroles", {"metadata": {"name": "policies"}, "rules": rules})
    binding = {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "policies"},
        "subjects": [{"kind": "User", "name": "eve", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    await api.ok("POST", f"{rbac}/clusterrolebindings", {"metadata": {"name": "policies"}, **binding})
    kind = {"apiVersion": "v1", "kind": "ConfigMap"}
    spec = {"matchConstraints": {"resourceRules": [RULE]}, **rule("true"), "paramKind": kind}
    path = f"{GROUP}/validatingadmissionpolicies"
    said = await api.why(422, "POST", path, {"metadata": {"name": "eves"}, "spec": spec}, who="eve")
    assert (
        'spec.paramKind: Forbidden: user &{eve  [system:authenticated] map[]} must have "get" permission on all' in said
    )
    await api.ok("POST", path, {"metadata": {"name": "eves"}, "spec": spec})
    await api.ok("PATCH", f"{path}/eves", {"metadata": {"labels": {"a": "b"}}}, kind=MERGE, who="eve")
    path = f"{GROUP}/validatingadmissionpolicybindings"
    for name, code in (("mine", 201), ("other", 422)):
        ref = {"name": name, "parameterNotFoundAction": "Allow"}
        bound = {"policyName": "eves", "validationActions": ["Deny"], "paramRef": ref}
        status, answer = await api.ask("POST", path, {"metadata": {"name": name}, "spec": bound}, who="eve")
        assert status == code, answer
    assert 'does not have "get" permission on the object referenced by paramRef' in answer["message"]
    for one in ("validatingadmissionpolicies/eves", "validatingadmissionpolicybindings/mine"):
        await api.ok("DELETE", f"{GROUP}/{one}")


async def test_defaults(api: Api) -> None:
    async with policed(api, rule("true"), {"paramRef": {"name": "x"}, "matchResources": {}}):
        spec = (await api.ok("GET", f"{GROUP}/validatingadmissionpolicies/p"))["spec"]
        bound = (await api.ok("GET", f"{GROUP}/validatingadmissionpolicybindings/pb"))["spec"]
    assert spec["failurePolicy"] == "Fail" and spec["matchConstraints"] == {
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {},
        "resourceRules": [{**RULE, "scope": "*"}],
    }
    assert bound["paramRef"]["parameterNotFoundAction"] == "Deny"
    assert bound["matchResources"] == {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}


# Mutations.


async def test_an_apply_configuration_is_laid_over_the_object(api: Api) -> None:
    spec = mutation("Object{metadata: Object.metadata{labels: {'by': request.userInfo.username}}, data: {'k': 'v'}}")
    async with policed(api, spec, kind="mutating"):
        _, made = await make(api, data={"a": "b"})
    assert made["metadata"]["labels"] == {"by": "admin"} and made["data"] == {"a": "b", "k": "v"}
    assert "k" not in str(made["metadata"].get("managedFields")) or made["metadata"]["managedFields"]


async def test_lists_with_keys_are_merged_and_defaulted(api: Api) -> None:
    namespace = await api.ns()
    await api.ok("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "default"}})
    sidecar = "Object.spec.containers{name: 'sidecar', image: 'b'}"
    spec = {
        **mutation(f"Object{{spec: Object.spec{{containers: [{sidecar}]}}}}"),
        "matchConstraints": {"resourceRules": [{**RULE, "resources": ["pods"], "operations": ["CREATE"]}]},
        "reinvocationPolicy": "IfNeeded",
    }
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "a"}]}}
    async with policed(api, spec, kind="mutating"):
        made = await api.ok("POST", f"/api/v1/namespaces/{namespace}/pods", pod)
    assert [one["name"] for one in made["spec"]["containers"]] == ["c", "sidecar"]
    added = made["spec"]["containers"][1]
    assert added["terminationMessagePath"] == "/dev/termination-log"
    assert added["volumeMounts"], "plugins before it were not asked once more"


async def test_a_json_patch(api: Api) -> None:
    text = """
        has(object.metadata.labels) ? [
          JSONPatch{op: 'test', path: '/data/a', value: 'b'},
          JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('example.com/x'), value: variables.v}
        ] : [JSONPatch{op: 'add', path: '/metadata/labels', value: {'first': variables.v}}]"""
    variables = [{"name": "v", "expression": "object.data.a + 'c'"}]
    spec = {**mutation(text, "JSONPatch"), "variables": variables, "reinvocationPolicy": "IfNeeded"}
    spec["mutations"] = spec["mutations"] * 2
    async with policed(api, spec, kind="mutating"):
        _, made = await make(api, data={"a": "b"})
    assert made["metadata"]["labels"] == {"first": "bc", "example.com/x": "bc"}


async def test_mutations_that_fail(api: Api) -> None:
    async with policed(api, mutation("Object{data: {'k': object.data.nope}}"), kind="mutating"):
        code, refused = await make(api, data={"a": "b"})
    expression = "expression 'Object{data: {'k': object.data.nope}}' resulted in error"
    said = f"policy 'p' with binding 'pb' denied request: {expression}"
    assert code == 403 and refused["reason"] == "Invalid" and refused["message"] == f"{said}: no such key: nope"
    ignoring = {**mutation("Object{data: {'k': object.data.nope}}"), "failurePolicy": "Ignore"}
    async with policed(api, ignoring, kind="mutating"):
        assert (await make(api, data={"a": "b"}))[0] == 201
    finalizers = "Object{metadata: Object.metadata{nope: 'x'}}"
    async with policed(api, mutation(finalizers), kind="mutating"):
        assert "error applying patch" in (await make(api))[1]["message"]


async def test_atomic_lists_are_not_replaced(api: Api) -> None:
    namespace = await api.ns()
    await api.ok("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "default"}})
    text = "Object{spec: Object.spec{containers: [Object.spec.containers{name: 'c', command: ['sh']}]}}"
    rules = {"resourceRules": [{**RULE, "resources": ["pods"], "operations": ["CREATE"]}]}
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "a"}]}}
    async with policed(api, {**mutation(text), "matchConstraints": rules}, kind="mutating"):
        said = await api.why(403, "POST", f"/api/v1/namespaces/{namespace}/pods", pod)
    assert "may not mutate atomic arrays, maps or structs: .spec.containers[0].command" in said


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "spec.mutations: Required value"),
        (mutation("1"), "must evaluate to Object"),
        (mutation("[1]", "JSONPatch"), "must evaluate to list(JSONPatch)"),
        (
            mutation("Object{spec: Object.wrong{}}"),
            'type mismatch: unexpected type name "Object.wrong", expected "Object.spec"',
        ),
        (
            {**mutation("Object{}"), "reinvocationPolicy": "Twice"},
            'spec.reinvocationPolicy: Unsupported value: "Twice"',
        ),
        (
            {**mutation("Object{}"), "matchConstraints": {"resourceRules": [{**RULE, "operations": ["DELETE"]}]}},
            'spec.matchConstraints.resourceRules[0].operations[0]: Unsupported value: "DELETE"',
        ),
    ],
)
async def test_mutating_policies_that_are_refused(api: Api, spec: dict[str, Any], said: str) -> None:
    body = {"metadata": {"name": "bad"}, "spec": {"matchConstraints": {"resourceRules": [RULE]}, **spec}}
    assert said in await api.why(422, "POST", f"{GROUP}/mutatingadmissionpolicies", body)


@pytest.mark.parametrize(("reinvocation", "seen"), [("IfNeeded", True), ("Never", False)])
async def test_policies_see_what_later_ones_change_if_they_wish(api: Api, reinvocation: str, seen: bool) -> None:
    first = "has(object.metadata.labels) && 'b' in object.metadata.labels ? Object{data: {'seen': 'b'}} : Object{}"
    second = mutation("Object{metadata: Object.metadata{labels: {'b': 'b'}}}")
    async with (
        policed(api, {**mutation(first), "reinvocationPolicy": reinvocation}, kind="mutating", name="a"),
        policed(api, second, kind="mutating", name="b"),
    ):
        _, made = await make(api)
    assert made["metadata"]["labels"] == {"b": "b"}
    assert ("data" in made) is seen


async def test_a_mutation_for_each_of_its_parameters(api: Api) -> None:
    path = f"/api/v1/namespaces/{await api.ns()}/configmaps"
    for name in ("one", "two"):
        await api.ok("POST", path, {"metadata": {"name": name, "labels": {"use": "it"}}, "data": {"key": name}})
    spec = {
        **mutation(
            "[JSONPatch{op: 'add', path: '/data/' + params.data.key, value: params.metadata.name}]", "JSONPatch"
        ),
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConditions": [{"name": "data", "expression": "has(object.data)"}],
    }
    bound = {"paramRef": {"selector": {"matchLabels": {"use": "it"}}, "parameterNotFoundAction": "Deny"}}
    async with policed(api, spec, bound, kind="mutating"):
        _, made = await make(api, path, data={"own": "x"})
        _, plain = await make(api, path, "plain")
    assert made["data"] == {"own": "x", "one": "one", "two": "two"}
    assert "data" not in plain


async def test_a_mutated_object_is_validated(api: Api) -> None:
    async with policed(api, mutation("Object{data: {'not a key': 'x'}}"), kind="mutating"):
        code, refused = await make(api)
    assert code == 422 and "data[not a key]: Invalid value" in refused["message"]


@pytest.mark.parametrize(
    "expression",
    ["[JSONPatch{op: object.data.n, path: '/data/a'}]", "[JSONPatch{op: 'add', path: 'a'}]", "[JSONPatch{}]",
     "[JSONPatch{op: 'move', path: '/data/a', from: '/x/y'}]", "[JSONPatch{op: 'test', path: '/data/n', value: 3}]"],
)  # fmt: skip
async def test_patches_that_cannot_be_applied(api: Api, expression: str) -> None:
    async with policed(api, mutation(expression, "JSONPatch"), kind="mutating"):
        code, refused = await make(api, data={"n": "1"})
    assert code == 403 and refused["message"].startswith("policy 'p' with binding 'pb' denied request: ")
