"""fieldValidation, and what each kind of write says of fields that are unknown, come twice or don't fit."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from kybern.apiserver.request import Request
from tests.integration.apiserver.inprocess import ADMIN, MERGE, Api
from tests.integration.apiserver.minimal import minimal

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON, YAML = "application/json", "application/yaml"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"

CREATED = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"NAME","foo":1},"data":{"a":"1","a":"2"},"bar":{}}'
CREATED_YAML = """apiVersion: v1
kind: ConfigMap
metadata:
  name: NAME
data:
  a: "1"
  a: "2"
bar: x
"""
TWICE = 'duplicate field "data.a"'
TWICE_YAML = 'yaml: unmarshal errors:\n  line 7: key "a" already set in map'
IN = 'ConfigMap in version "v1" cannot be handled as a ConfigMap'
NO_PATCH = "error decoding patch: "
UNRECOGNIZED = (
    "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: "
)


async def send(api: Api, method: str, target: str, body: str, kind: str) -> tuple[int, Any, list[str]]:
    """(code, answer, warnings) of a body as it is written here."""
    path, _, query = target.partition("?")
    headers = {"authorization": f"Bearer test {ADMIN}", "content-type": kind}
    response = await api.app.handle(Request(method, path, query, headers, body.encode()))
    assert isinstance(response.body, bytes)
    said = [json.loads(value.removeprefix("299 - ")) for name, value in response.headers if name == "warning"]
    return response.status, json.loads(response.body), said


@pytest.mark.parametrize(
    ("kind", "body", "complaints"),
    [
        (JSON, CREATED, [TWICE, 'unknown field "metadata.foo"', 'unknown field "bar"']),
        (YAML, CREATED_YAML, [TWICE_YAML, 'unknown field "bar"']),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_whole_objects(api: Api, method: str, kind: str, body: str, complaints: list[str]) -> None:
    path = await api.maps("there")
    name = "new" if method == "POST" else "there"
    target = path if method == "POST" else f"{path}/there"
    body = body.replace("NAME", name)
    status, answer, warnings = await send(api, method, f"{target}?fieldValidation=Strict", body, kind)
    said = ", ".join(sorted(complaints, key=lambda text: not text.startswith(("duplicate", "yaml"))))
    assert (status, answer["reason"]) == (400, "BadRequest")
    assert sorted(answer["message"].removeprefix(f"{IN}: strict decoding error: ").split(", ")) == sorted(
        said.split(", ")
    )
    for validation in ("Warn", ""):
        wanted = f"{target}?dryRun=All&fieldValidation={validation}"
        status, answer, warnings = await send(api, method, wanted, body, kind)
        assert status in (200, 201) and answer["data"] == {"a": "2"} and "bar" not in answer
        assert sorted(warnings) == sorted(text.replace("\n", " ") for text in complaints)
    status, answer, warnings = await send(api, method, f"{target}?fieldValidation=Ignore", body, kind)
    assert status in (200, 201) and not warnings
    said = await api.why(422, "POST", f"{path}?fieldValidation=Most", {"metadata": {"name": "x"}})
    assert said.endswith('Unsupported value: "Most": supported values: "Ignore", "Strict", "Warn"')


PATCHES = {
    MERGE: '{"data":{"a":"1","a":"2"},"bar":1}',
    STRATEGIC: '{"data":{"a":"1","a":"2"},"bar":1}',
    JSON_PATCH: '[{"op":"add","path":"/data","value":{"a":"1","a":"2"}},{"op":"add","path":"/bar","value":1}]',
}


@pytest.mark.parametrize("kind", PATCHES)
async def test_patches(api: Api, kind: str) -> None:
    path = f"{await api.maps('m')}/m"
    twice = 'duplicate field "[0].value.a"' if kind == JSON_PATCH else TWICE
    complaints = [twice, 'unknown field "bar"']
    status, answer, _ = await send(api, "PATCH", f"{path}?fieldValidation=Strict", PATCHES[kind], kind)
    assert (status, answer["reason"]) == (422, "Invalid")
    assert answer["message"].startswith(' "" is invalid: patch: Invalid value: "')
    assert answer["message"].endswith(f"strict decoding error: {', '.join(complaints)}")
    assert [cause["field"] for cause in answer["details"]["causes"]] == ["patch"]
    status, answer, warnings = await send(api, "PATCH", f"{path}?fieldValidation=Ignore", PATCHES[kind], kind)
    assert (status, answer["data"], warnings) == (200, {"a": "2"}, [])
    status, answer, warnings = await send(api, "PATCH", path, PATCHES[kind], kind)
    assert (status, warnings) == (200, complaints)


async def test_applied_configurations(api: Api) -> None:
    path = f"{await api.maps('')}/NAME?fieldManager=m"
    said = f"error converting YAML to JSON: {TWICE_YAML}"
    body = CREATED_YAML.replace("bar: x\n", "")
    status, answer, _ = await send(api, "PATCH", f"{path}&fieldValidation=Strict".replace("NAME", "a"),
                                   body.replace("NAME", "a"), APPLY)  # fmt: skip
    assert (status, answer["message"]) == (400, f"error strict decoding YAML: {said}")
    status, answer, warnings = await send(api, "PATCH", path.replace("NAME", "a"), body.replace("NAME", "a"), APPLY)
    assert (status, warnings) == (201, [said.replace("\n", " ")])
    status, answer, _ = await send(api, "PATCH", path.replace("NAME", "a"), CREATED_YAML.replace("NAME", "a"), APPLY)
    assert (status, answer["message"].rpartition(": ")[2]) == (500, "field not declared in schema")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", f"{UNRECOGNIZED}unexpected end of JSON input (<empty>)"),
        ("{", f"{UNRECOGNIZED}unexpected end of JSON input ({{)"),
        ("nope", f"{UNRECOGNIZED}invalid character 'n' looking for beginning of value (6e6f7065)"),
        ('{"kind":"ConfigMap","apiVersion":"v1"',
         f'{UNRECOGNIZED}unexpected end of JSON input ({{"kind":"ConfigMap","apiVersio ...)'),
        ('{"kind":"Pod","apiVersion":"v1"}',
         'Pod in version "v1" cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap): '
         "unknown conversion"),
        ('{"kind":"Nope","apiVersion":"v1"}',
         'Nope in version "v1" cannot be handled as a ConfigMap: no kind "Nope" is registered for version "v1" in '
         'scheme "pkg/api/legacyscheme/scheme.go:30"'),
        ('{"kind":"ConfigMap","apiVersion":"v2"}',
         "the API version in the data (v2) does not match the expected API version (v1)"),
        ('{"data":{"a":1}}', f"{IN}: json: cannot unmarshal number into Go struct field ConfigMap.data of type string"),
    ],
)  # fmt: skip
async def test_bodies_that_are_no_objects(api: Api, body: str, said: str) -> None:
    path = await api.maps("")
    status, answer, _ = await send(api, "POST", path, body, JSON)
    assert (status, answer["message"]) == (400, said)


@pytest.mark.parametrize(
    ("kind", "body", "code", "said"),
    [
        (MERGE, "", 400, f"{NO_PATCH}unexpected end of JSON input"),
        (MERGE, "{", 400, f"{NO_PATCH}unexpected end of JSON input"),
        (MERGE, "[]", 400, "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        (STRATEGIC, '{"metadata":{"labels":{"$patch":"mix"}}}', 400, "unknown patch type: mix in map: map[$patch:mix]"),
        (STRATEGIC, '{"data":{"a":1}}', 422,
         ' "" is invalid: patch: Invalid value: "map[data:map[a:1]]": json: cannot unmarshal number into Go struct '
         "field ConfigMap.data of type string"),
        (JSON_PATCH, "{}", 400, "json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
        (JSON_PATCH, '[{"op":"remove","path":"/none"}]', 422,
         "the server rejected our request due to an error in our request"),
        (JSON_PATCH, '[{"op":"remove","path":"/metadata/name"}]', 400,
         "the name of the object (based on URL) was undeterminable: name must be provided"),
        (MERGE, '{"metadata":{"name":"other"}}', 400,
         "the name of the object (other) does not match the name on the URL (m)"),
        (MERGE, '{"metadata":{"namespace":"other"}}', 400,
         "the namespace of the provided object does not match the namespace sent on the request"),
        (MERGE, '{"metadata":{"uid":"other"}}', 409, None),
        (MERGE, '{"metadata":{"resourceVersion":"1"}}', 409, None),
        (APPLY, "apiVersion: v2\nkind: ConfigMap\n", 400,
         "Incorrect version specified in apply patch. Specified patch version: v2, expected: v1"),
        (APPLY, "kind: ConfigMap\n", 400,
         "Incorrect version specified in apply patch. Specified patch version: , expected: v1"),
        (APPLY, "a: [", 400, None),
        (APPLY, "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {k: 1}\n", 500,
         "failed to create typed patch object (/m; v1, Kind=ConfigMap): .data.k: expected string, got &{1}"),
    ],
)  # fmt: skip
async def test_patches_that_do_not_fit(api: Api, kind: str, body: str, code: int, said: str | None) -> None:
    path = f"{await api.maps('m')}/m{'?fieldManager=me' if kind == APPLY else ''}"
    before = await api.ok("GET", path)
    status, answer, _ = await send(api, "PATCH", path, body, kind)
    assert status == code, answer
    assert said is None or answer["message"] == said
    assert await api.ok("GET", path) == before


async def test_nothing_grows_without_end(api: Api) -> None:
    path = f"{await api.maps('m', data={'k': 'x' * 1000})}/m"
    many = [{"op": "test", "path": "/kind", "value": "ConfigMap"}] * 10_001
    said = await api.why(413, "PATCH", path, many, kind=JSON_PATCH)
    assert said == "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
    assert (await api.ask("PATCH", path, many[1:], kind=JSON_PATCH))[0] == 200
    doubled = [{"op": "copy", "from": "/metadata", "path": f"/metadata/annotations{i}"} for i in range(40)]
    assert (await api.ask("PATCH", path, doubled, kind=JSON_PATCH))[0] == 422
    nested = [{"op": "add", "path": "/a" * i, "value": {}} for i in range(1, 400)]
    assert (await api.ask("PATCH", path, nested, kind=JSON_PATCH))[0] == 422
    deep: Any = "x"
    for _ in range(300):
        deep = {"a": deep}
    for kind in (MERGE, STRATEGIC):
        assert (await api.ask("PATCH", path, deep, kind=kind))[0] == 400
    assert yaml.safe_load(await api.ok("GET", path, accept=YAML))["data"]["k"] == "x" * 1000


async def test_apply_creates_what_it_names(api: Api) -> None:
    path = await api.maps("")
    named = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
    nameless = {**named, "metadata": {"labels": {"a": "b"}}}
    assert (await api.ask("PATCH", f"{path}/a?fieldManager=m", named, kind=APPLY))[0] == 201
    assert (await api.ask("PATCH", f"{path}/a?fieldManager=m", nameless, kind=APPLY))[0] == 200
    said = await api.why(400, "PATCH", f"{path}/b?fieldManager=m", nameless, kind=APPLY)
    assert said == "the name of the object (based on URL) was undeterminable: name must be provided"
    said = await api.why(400, "PATCH", f"{path}/b?fieldManager=m", named, kind=APPLY)
    assert said == "the name of the object (a) does not match the name on the URL (b)"
    known = {**named, "metadata": {"name": "b", "uid": "1-2-3"}}
    said = await api.why(409, "PATCH", f"{path}/b?fieldManager=m", known, kind=APPLY)
    assert said == (
        'Operation cannot be fulfilled on configmaps "b": uid mismatch: the provided object specified uid 1-2-3, and '
        "no existing object was found"
    )
    stale = {**named, "metadata": {"name": "a", "resourceVersion": "1"}}
    assert (await api.ask("PATCH", f"{path}/a?fieldManager=m", stale, kind=APPLY))[0] == 409
    managed = {**named, "metadata": {"name": "a", "managedFields": [{"manager": "m"}]}}
    said = await api.why(400, "PATCH", f"{path}/a?fieldManager=m", managed, kind=APPLY)
    assert said == "metadata.managedFields must be nil"


async def test_a_put_is_named_as_its_path(api: Api) -> None:
    path = await api.maps("a")
    said = await api.why(400, "PUT", f"{path}/a", {"metadata": {}})
    assert said == "the name of the object (based on URL) was undeterminable: name must be provided"


async def test_yaml_that_refers_to_itself_or_makes_much_of_little(api: Api) -> None:
    path = await api.maps("")
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
    )
    for body, why in (
        ("&a\nkind: ConfigMap\nk:\n- *a\nk: 1\n", ""),
        (f"kind: ConfigMap\n{bomb}", "document contains excessive aliasing"),
    ):
        status, answer, _ = await send(api, "POST", path, body, YAML)
        assert status in (400, 422) and why in answer["message"]


async def test_owners_and_finalizers(api: Api) -> None:
    path = await api.maps("")
    owner = {"kind": "Pod", "apiVersion": "v1", "name": "p", "uid": "1"}
    other = {**owner, "name": "q"}
    body = json.dumps({"metadata": {"name": "a", "ownerReferences": [owner, other, owner]}})
    status, answer, warnings = await send(api, "POST", path, body, JSON)
    assert status == 201 and [one["name"] for one in answer["metadata"]["ownerReferences"]] == ["p", "q"]
    assert [text.rpartition(": ")[2] for text in warnings] == ["1"] and "duplicate entries;" in warnings[0]
    said = await api.why(422, "POST", path, {"metadata": {"name": "b", "finalizers": ["x.example/a", "plain"]}})
    assert said.endswith(
        'metadata.finalizers[1]: Invalid value: "plain": name is neither a standard finalizer name nor is it fully '
        "qualified"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"gracePeriodSeconds": True}, "cannot unmarshal bool into Go struct field DeleteOptions.gracePeriodSeconds"),
        ({"gracePeriodSeconds": "x"}, "cannot unmarshal string into Go struct field DeleteOptions.gracePeriodSeconds"),
        ({"gracePeriodSeconds": 2**63}, "cannot unmarshal number 9223372036854775808 into Go struct field"),
        ({"preconditions": {"uid": 5}}, "cannot unmarshal number into Go struct field"),
        ({"dryRun": "All"}, "cannot unmarshal string into Go struct field DeleteOptions.dryRun"),
        ({"kind": "Pod", "apiVersion": "v1"}, 'Pod in version "v1" cannot be handled as a DeleteOptions'),
    ],
)
async def test_options_of_deletion_that_do_not_fit(api: Api, options: Any, said: str) -> None:
    path = await api.maps("a")
    for target in (path, f"{path}/a"):
        assert said in await api.why(400, "DELETE", target, options)
    assert (await api.ask("GET", f"{path}/a"))[0] == 200


async def test_managed_fields_that_are_none_are_not_taken(api: Api) -> None:
    path = f"{await api.maps('m', data={'k': 'v'})}/m"
    before = (await api.ok("GET", path))["metadata"]["managedFields"]
    entry = before[0]
    for spoilt in (
        {**entry, "operation": "Guess"},
        {**entry, "fieldsType": "FieldsV2"},
        {**entry, "fieldsV1": {"g:x": {}}},
        {**entry, "fieldsV1": {"k:{": {}}},
        {**entry, "fieldsV1": {"f:x": {"v:": {}}}},
    ):
        changed = await api.ok("PATCH", path, {"metadata": {"managedFields": [spoilt]}}, kind=MERGE)
        assert changed["metadata"]["managedFields"] == before
    forgotten = await api.ok("PATCH", path, {"metadata": {"managedFields": [{}]}}, kind=MERGE)
    assert "managedFields" not in forgotten["metadata"]


@pytest.mark.parametrize(("given", "kept"), [("0687-06-09T00:44:07Z", "0687-06-09T00:44:07Z"),
                                             ("0001-01-01T01:00:00+01:00", "0001-01-01T00:00:00Z")])  # fmt: skip
async def test_times_long_ago(api: Api, given: str, kept: str) -> None:
    path = f"/apis/batch/v1/namespaces/{await api.ns()}/jobs"
    await api.ok("POST", path, minimal("batch", "v1", "Job", "j"))
    change = {"status": {"startTime": given}}
    assert (await api.ok("PATCH", f"{path}/j/status", change, kind=MERGE))["status"]["startTime"] == kept
    change["status"]["startTime"] = "9999-12-31T23:59:59-23:59"
    assert (await api.ask("PATCH", f"{path}/j/status", change, kind=MERGE))[0] in (400, 422)
