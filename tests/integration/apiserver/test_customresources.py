"""Custom resources from definition to deletion, with kubectl."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.integration.apiserver.conftest import Kubectl
from tests.integration.apiserver.inprocess import MERGE, Api

PORTS = {
    "type": "array",
    "x-kubernetes-list-type": "map",
    "x-kubernetes-list-map-keys": ["name"],
    "items": {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string"}, "number": {"type": "integer", "minimum": 1, "maximum": 65535}},
    },
}
SPEC = {
    "type": "object",
    "description": "What the tab should do.",
    "required": ["cronSpec"],
    "properties": {
        "cronSpec": {"type": "string", "pattern": r"^(\S+ ){4}\S+$", "description": "When to run."},
        "image": {"type": "string", "maxLength": 20},
        "replicas": {"type": "integer", "minimum": 0, "default": 1},
        "maxReplicas": {"type": "integer"},
        "policy": {"type": "string", "enum": ["Allow", "Forbid"], "default": "Allow"},
        "port": {"x-kubernetes-int-or-string": True},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "ports": PORTS,
        "until": {"type": "string", "format": "date-time", "nullable": True},
    },
    "x-kubernetes-validations": [
        {
            "rule": "!has(self.maxReplicas) || self.replicas <= self.maxReplicas",
            "message": "replicas should be at most maxReplicas",
        },
        {"rule": "self.policy == oldSelf.policy", "message": "policy is immutable", "fieldPath": ".policy"},
    ],
}
STATUS = {
    "type": "object",
    "properties": {"replicas": {"type": "integer"}, "labelSelector": {"type": "string"}, "ready": {"type": "boolean"}},
}
COLUMNS = [
    {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"},
    {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
    {"name": "Image", "type": "string", "jsonPath": ".spec.image", "priority": 1},
    {"name": "First Port", "type": "integer", "jsonPath": '.spec.ports[?(@.name=="web")].number'},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]


def definition(group: str, **version: Any) -> dict[str, Any]:
    v1 = {
        "name": "v1", "served": True, "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC, "status": STATUS}}},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.labelSelector",
            },
        },
        "additionalPrinterColumns": COLUMNS,
        "selectableFields": [{"jsonPath": ".spec.policy"}],
        **version,
    }  # fmt: skip
    old = {**copy.deepcopy(v1), "name": "v1beta1", "storage": False, "deprecated": True, "additionalPrinterColumns": []}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"crontabs.{group}"},
        "spec": {
            "group": group, "scope": "Namespaced", "versions": [v1, old],
            "names": {
                "plural": "crontabs", "singular": "crontab", "kind": "CronTab", "shortNames": ["ct"],
                "categories": ["all"],
            },
        },
    }  # fmt: skip


def crontab(name: str = "my-tab", version: str = "v1", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"stable.example.com/{version}",
        "kind": "CronTab",
        "metadata": {"name": name},
        "spec": {"cronSpec": "* * * * */5", **spec},
    }


@pytest.fixture(scope="module")
def crd(apiserver: Kubectl) -> Any:
    crd = definition("stable.example.com")
    apiserver.run("create", "-f", "-", stdin=crd)
    apiserver.run("wait", "--for=condition=Established", "crd/crontabs.stable.example.com", "--timeout=20s")
    yield crd
    apiserver.run("delete", "crd", "crontabs.stable.example.com")


pytestmark = pytest.mark.usefixtures("crd")


def test_the_definition_says_what_was_accepted(kubectl: Kubectl) -> None:
    status = kubectl.get("crd", "crontabs.stable.example.com")["status"]
    assert status["storedVersions"] == ["v1"]
    assert status["acceptedNames"]["listKind"] == "CronTabList"
    assert {c["type"]: c["status"] for c in status["conditions"]} == {"NamesAccepted": "True", "Established": "True"}


def test_create_fills_in_defaults_and_short_names_find_it(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=crontab(ports=[{"name": "web", "number": 80}], image="img"))
    made = kubectl.get("ct", "my-tab")
    assert made["spec"]["replicas"] == 1
    assert made["spec"]["policy"] == "Allow"
    assert made["metadata"]["generation"] == 1
    header, row = kubectl.out("get", "ct").splitlines()
    assert header.split() == ["NAME", "SPEC", "REPLICAS", "FIRST", "PORT", "AGE"]
    assert row.split()[:7] == ["my-tab", "*", "*", "*", "*", "*/5", "1"]
    assert row.split()[7] == "80"
    assert row.split()[8].endswith("s")
    assert "IMAGE" in kubectl.out("get", "ct", "-o", "wide")
    assert "crontab.stable.example.com/my-tab" in kubectl.out("get", "all")


def test_a_cell_without_value_is_empty(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=crontab())
    columns = kubectl.out("get", "ct", "--no-headers").split()
    assert len(columns) == 8
    assert columns[7].endswith("s")


def test_the_other_version_shows_the_same_object_and_says_it_is_deprecated(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=crontab("old", "v1beta1", replicas=3))
    done = kubectl.run("get", "crontabs.v1beta1.stable.example.com", "old", "-o", "json")
    assert '"apiVersion": "stable.example.com/v1beta1"' in done.stdout
    assert "Warning: stable.example.com/v1beta1 CronTab is deprecated" in done.stderr
    assert kubectl.get("ct", "old")["spec"]["replicas"] == 3
    header = kubectl.out("get", "crontabs.v1beta1.stable.example.com").splitlines()[0]
    assert header.split() == ["NAME", "AGE"]


def test_unknown_fields_are_refused_or_dropped(kubectl: Kubectl) -> None:
    obj = crontab(colour="red", free={"any": {"thing": 1}})
    said = kubectl.error("create", "-f", "-", stdin=obj)
    assert 'strict decoding error: unknown field "spec.colour"' in said
    done = kubectl.run("create", "--validate=warn", "-f", "-", stdin=obj)
    assert 'Warning: unknown field "spec.colour"' in done.stderr
    spec = kubectl.get("ct", "my-tab")["spec"]
    assert "colour" not in spec
    assert spec["free"] == {"any": {"thing": 1}}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            {"replicas": "string"},
            'spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"',
        ),
        ({"replicas": -1}, "replicas: Invalid value: -1: spec.replicas in body should be greater than or equal to 0"),
        (
            {"cronSpec": "x"},
            'spec.cronSpec: Invalid value: "x": spec.cronSpec in body should match ' + r"'^(\S+ ){4}\S+$'",
        ),
        ({"policy": "No"}, 'spec.policy: Unsupported value: "No": supported values: "Allow", "Forbid"'),
        ({"image": "i" * 21}, "spec.image: Too long: may not be more than 20 bytes"),
        ({"port": True}, 'spec.port in body must be of type integer,string: "boolean"'),
        ({"tags": ["a", "b", "a"]}, 'spec.tags[2]: Duplicate value: "a"'),
        ({"ports": [{"name": "a"}, {"name": "a"}]}, 'spec.ports[1]: Duplicate value: {"name":"a"}'),
        ({"ports": [{"number": 1}]}, "spec.ports[0].name: Required value"),
        ({"until": "soon"}, 'spec.until in body must be of type date-time: "soon"'),
        ({"replicas": 3, "maxReplicas": 2}, "spec: Invalid value: replicas should be at most maxReplicas"),
    ],
)  # fmt: skip
def test_values_are_validated(apiserver: Kubectl, spec: dict[str, Any], said: str) -> None:
    error = apiserver.error("create", "-f", "-", stdin=crontab(**spec))
    assert error.startswith('The CronTab "my-tab" is invalid:')
    assert said in error


def test_rules_about_changes_look_at_the_old_object(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=crontab())
    said = kubectl.error("patch", "ct", "my-tab", "--type=merge", "-p", '{"spec":{"policy":"Forbid"}}')
    assert 'spec.policy: Invalid value: policy is immutable' in said


def test_status_is_a_resource_of_its_own(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin={**crontab(), "status": {"replicas": 9}})
    assert "status" not in kubectl.get("ct", "my-tab")
    body = '{"spec":{"replicas":7},"status":{"replicas":2,"ready":true,"labelSelector":"a=b"}}'
    kubectl.run("patch", "ct", "my-tab", "--subresource=status", "--type=merge", "-p", body)
    got = kubectl.get("ct", "my-tab")
    assert got["status"] == {"replicas": 2, "ready": True, "labelSelector": "a=b"}
    assert (got["spec"]["replicas"], got["metadata"]["generation"]) == (1, 1)
    assert [(e["operation"], e.get("subresource")) for e in got["metadata"]["managedFields"]] == [
        ("Update", None), ("Update", "status"),
    ]  # fmt: skip


def test_scale(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=crontab())
    assert kubectl.out("scale", "ct/my-tab", "--replicas=4") == "crontab.stable.example.com/my-tab scaled"
    got = kubectl.get("ct", "my-tab")
    assert (got["spec"]["replicas"], got["metadata"]["generation"]) == (4, 2)
    scale = kubectl.get("ct", "my-tab", "--subresource=scale")
    assert (scale["kind"], scale["spec"]["replicas"]) == ("Scale", 4)


def test_fields_select(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=[crontab("a"), crontab("b", policy="Forbid")])
    assert kubectl.out("get", "ct", "--field-selector=spec.policy=Forbid", "-o", "name").endswith("/b")
    assert "field label not supported: spec.image" in kubectl.error("get", "ct", "--field-selector=spec.image=x")


def test_explain_tells_of_the_schema(kubectl: Kubectl) -> None:
    told = kubectl.out("explain", "ct.spec.cronSpec")
    assert "FIELD: cronSpec <string>" in told
    assert "When to run." in told
    assert "replicas\t<integer>" in kubectl.out("explain", "crontab.spec")


def test_client_side_apply(kubectl: Kubectl) -> None:
    kubectl.run("apply", "-f", "-", stdin=crontab(ports=[{"name": "web", "number": 80}], image="a"))
    kubectl.run("apply", "-f", "-", stdin=crontab(ports=[{"name": "web", "number": 81}]))
    spec = kubectl.get("ct", "my-tab")["spec"]
    assert spec["ports"] == [{"name": "web", "number": 81}]
    assert "image" not in spec


def test_server_side_apply(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=crontab(ports=[{"name": "web", "number": 80}]))
    other = crontab(ports=[{"name": "api", "number": 90}])
    del other["spec"]["cronSpec"]
    kubectl.run("apply", "--server-side", "--field-manager=other", "-f", "-", stdin=other)
    got = kubectl.get("ct", "my-tab")
    assert sorted(port["name"] for port in got["spec"]["ports"]) == ["api", "web"]
    fields = {(e["manager"], e["operation"]): e["fieldsV1"] for e in got["metadata"]["managedFields"]}
    item = {".": {}, "f:name": {}, "f:number": {}}
    assert fields["other", "Apply"] == {"f:spec": {"f:ports": {'k:{"name":"api"}': item}}}
    assert fields["kubectl-create", "Update"] == {
        "f:spec": {
            ".": {}, "f:cronSpec": {}, "f:policy": {}, "f:replicas": {},
            "f:ports": {".": {}, 'k:{"name":"web"}': item},
        }
    }  # fmt: skip
    other["spec"]["ports"] = [{"name": "web", "number": 1}]
    said = kubectl.error("apply", "--server-side", "--field-manager=other", "-f", "-", stdin=other)
    where = '.spec.ports[name="web"].number'
    assert f'conflict with "kubectl-create" using stable.example.com/v1: {where}' in said


def test_apply_of_what_the_schema_does_not_know(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=crontab())
    said = kubectl.error("apply", "--server-side", "-f", "-", stdin=crontab(colour="red"))
    assert ".spec.colour: field not declared in schema" in said


def test_patches(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=crontab(image="a", tags=["x"]))
    kubectl.run("patch", "ct", "my-tab", "--type=json", "-p", '[{"op":"add","path":"/spec/tags/-","value":"y"}]')
    kubectl.run("patch", "ct", "my-tab", "--type=merge", "-p", '{"spec":{"image":null}}')
    spec = kubectl.get("ct", "my-tab")["spec"]
    assert spec["tags"] == ["x", "y"]
    assert "image" not in spec
    said = kubectl.error("patch", "ct", "my-tab", "-p", "{}", "--type=strategic")
    assert "the body of the request was in an unknown format" in said


def test_a_change_of_the_definition_is_served(kubectl: Kubectl) -> None:
    crd = definition("changing.example.com")
    kubectl.run("apply", "-f", "-", stdin=crd)
    kubectl.run("wait", "--for=condition=Established", "crd/crontabs.changing.example.com", "--timeout=20s")
    obj = {**crontab(), "apiVersion": "changing.example.com/v1"}
    kubectl.until(lambda: "created" in kubectl.run("create", "-f", "-", stdin=obj).stdout, "created")
    for version in crd["spec"]["versions"]:
        spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
        version["schema"]["openAPIV3Schema"]["properties"]["spec"] = {
            **spec, "properties": {**spec["properties"], "extra": {"type": "string", "default": "new"}},
        }  # fmt: skip
    kubectl.run("apply", "-f", "-", stdin=crd)
    resource = "crontabs.changing.example.com"
    kubectl.until(lambda: kubectl.get(resource, "my-tab")["spec"].get("extra") == "new", "the new default")
    kubectl.run("delete", "crd", resource)
    kubectl.until(lambda: "changing.example.com" not in kubectl.out("api-versions"), "no longer served")


def test_a_definition_with_wrong_schema_is_refused(kubectl: Kubectl) -> None:
    crd = definition("wrong.example.com", schema={"openAPIV3Schema": {"type": "object", "properties": {"spec": {}}}})
    said = kubectl.error("create", "-f", "-", stdin=crd)
    path = "spec.versions[0].schema.openAPIV3Schema.properties[spec].type"
    assert f"{path}: Required value: must not be empty for specified object fields" in said


def test_a_definition_goes_when_its_last_object_is_gone_and_frees_its_names(kubectl: Kubectl) -> None:
    crd = definition("cluster.example.com")
    crd["spec"] |= {"scope": "Cluster", "names": {"plural": "gadgets", "kind": "Gadget"}}
    crd["metadata"]["name"] = "gadgets.cluster.example.com"
    rival = copy.deepcopy(crd)
    rival["spec"]["names"] = {"plural": "gizmos", "kind": "Gadget", "singular": "gizmo"}
    rival["metadata"]["name"] = "gizmos.cluster.example.com"
    kubectl.run("create", "-f", "-", stdin=crd)
    kubectl.run("wait", "--for=condition=Established", "crd/gadgets.cluster.example.com", "--timeout=20s")
    kubectl.run("create", "-f", "-", stdin=rival)
    waiting = "jsonpath={.status.conditions[?(@.type=='NamesAccepted')].reason}"
    gizmos = ("get", "crd", "gizmos.cluster.example.com", "-o", waiting)
    kubectl.until(lambda: kubectl.out(*gizmos) == "ListKindConflict", "the names are taken")
    held = {
        "apiVersion": "cluster.example.com/v1", "kind": "Gadget", "spec": {"cronSpec": "* * * * *"},
        "metadata": {"name": "g", "finalizers": ["example.com/hold"]},
    }  # fmt: skip
    kubectl.run("create", "-f", "-", stdin=held)
    kubectl.run("delete", "crd", "gadgets.cluster.example.com", "--wait=false")
    kubectl.run("wait", "--for=condition=Terminating", "crd/gadgets.cluster.example.com", "--timeout=20s")
    held["metadata"] = {"name": "late"}
    assert "MethodNotAllowed" in kubectl.error("create", "-f", "-", stdin=held)
    kubectl.run("patch", "gadgets", "g", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    kubectl.run("wait", "--for=delete", "crd/gadgets.cluster.example.com", "--timeout=20s")
    kubectl.until(lambda: kubectl.out(*gizmos) == "NoConflicts", "the names are free")
    kubectl.run("delete", "crd", "gizmos.cluster.example.com")


def test_a_watch_begins_with_what_is_there(kubectl: Kubectl) -> None:
    kubectl.run("create", "-f", "-", stdin=crontab())
    path = f"/apis/stable.example.com/v1/namespaces/{kubectl.namespace}/crontabs?watch=1&timeoutSeconds=1"
    events = kubectl.out("get", "--raw", path).splitlines()
    assert ['"type":"ADDED"' in line for line in events] == [True]


async def test_formats_that_mean_nothing_are_warned_of_when_they_come(api: Api) -> None:
    odd = {"type": "object", "properties": {"a": {"type": "string", "format": "odd"}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": odd}}
    names = {"plural": "oddities", "kind": "Oddity"}
    spec = {"group": "odd.example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    response = await api.respond("POST", path, {"metadata": {"name": "oddities.odd.example.com"}, "spec": spec})
    assert ("warning", '299 - "unrecognized format \\"odd\\""') in response.headers
    change = {"metadata": {"labels": {"a": "b"}}}
    response = await api.respond("PATCH", f"{path}/oddities.odd.example.com", change, kind=MERGE)
    assert response.status == 200 and not [1 for name, _ in response.headers if name == "warning"]
