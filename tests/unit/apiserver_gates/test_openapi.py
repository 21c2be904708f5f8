from __future__ import annotations

import gzip

import orjson

from kybern.api.apiextensions.custom import CustomResource
from kybern.api.apps.deployment import Deployment
from kybern.api.core.configmap import ConfigMap
from kybern.api.scheme import Scheme
from kybern.api.types import Object
from kybern.apiserver import openapi_proto
from kybern.apiserver.discovery import Discovery
from kybern.apiserver.openapi import OpenAPI
from kybern.apiserver.openapi_schemas import Schemas
from kybern.apiserver.request import Request, Response

SPEC = {"type": "object", "properties": {"size": {"x-kubernetes-int-or-string": True, "anyOf": []}}}
WIDGETS = {
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC}}},
            }
        ],
    },
}


def openapi() -> tuple[OpenAPI, Scheme]:
    scheme = Scheme()
    for resource in (ConfigMap(), Deployment(), CustomResource(WIDGETS)):
        scheme.add(resource)
    return OpenAPI(scheme, Discovery(scheme)), scheme


async def get(found: OpenAPI, path: str, query: str = "", **headers: str) -> Response:
    return await found.serve(
        Request("GET", path, query, headers={name.replace("_", "-"): value for name, value in headers.items()})
    )


def document(response: Response) -> Object:
    assert isinstance(response.body, bytes)
    packed = ("content-encoding", "gzip") in response.headers
    loaded: Object = orjson.loads(gzip.decompress(response.body) if packed else response.body)
    return loaded


def references(part: object) -> set[str]:
    if isinstance(part, dict):
        own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
        return own.union(*(references(value) for value in part.values()))
    if isinstance(part, list):
        return set().union(*(references(value) for value in part))
    return set()


async def test_version_3_index_leads_to_documents() -> None:
    found, _ = openapi()
    index = document(await get(found, "/openapi/v3"))
    beside = {"api", "apis", "apis/apps", "version", ".well-known/openid-configuration", "openid/v1/jwks"}
    assert set(index["paths"]) == {"api/v1", "apis/apps/v1", "apis/example.com/v1", *beside}
    for name in beside:
        path, _, query = index["paths"][name]["serverRelativeURL"].partition("?")
        doc = document(await get(found, path, query))
        assert [*doc["paths"]] == [f"/{name}/"]
        assert {ref.rpartition("/")[2] for ref in references(doc)} <= set(doc["components"]["schemas"])
    url = index["paths"]["apis/apps/v1"]["serverRelativeURL"]
    path, _, query = url.partition("?")
    response = await get(found, path, query, accept_encoding="gzip")
    doc = document(response)
    assert any(name == "cache-control" and "immutable" in value for name, value in response.headers)
    patch = doc["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert patch["x-kubernetes-group-version-kind"] == {"group": "apps", "version": "v1", "kind": "Deployment"}
    assert "fieldValidation" in {parameter["name"] for parameter in patch["parameters"]}
    assert "/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale" in doc["paths"]
    schemas = doc["components"]["schemas"]
    assert {ref.rpartition("/")[2] for ref in references(doc)} <= set(schemas)
    replicas = schemas["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]["replicas"]
    assert replicas["type"] == "integer"
    assert "enum" not in schemas["io.k8s.api.apps.v1.Deployment"]["properties"]["kind"]


async def test_operations_say_what_their_answers_are_written_in() -> None:
    """Lists also come as watches; custom resources have no protobuf."""
    found, _ = openapi()
    texts, protobuf = ["application/json", "application/yaml"], "application/vnd.kubernetes.protobuf"
    paths = document(await get(found, "/openapi/v2"))["paths"]
    maps, widgets = "/api/v1/namespaces/{namespace}/configmaps", "/apis/example.com/v1/namespaces/{namespace}/widgets"
    assert paths[f"{maps}/{{name}}"]["get"]["produces"] == [*texts, protobuf]
    streams = ["application/json;stream=watch", f"{protobuf};stream=watch"]
    assert paths[maps]["get"]["produces"] == [*texts, protobuf, *streams]
    assert paths[widgets]["get"]["produces"] == paths[widgets]["post"]["produces"] == texts
    assert paths["/apis/"]["get"]["produces"] == [*texts, protobuf]
    doc = document(await get(found, "/openapi/v3/api/v1"))
    assert [*doc["paths"][maps]["get"]["responses"]["200"]["content"]] == [*texts, protobuf, *streams]


async def test_etag_and_stale_hash() -> None:
    found, scheme = openapi()
    first = await get(found, "/openapi/v3/api/v1")
    etag = dict(first.headers)["etag"]
    assert (await get(found, "/openapi/v3/api/v1", if_none_match=etag)).status == 304
    stale = await get(found, "/openapi/v3/api/v1", "hash=OLD")
    assert stale.status == 301
    assert (await get(found, "/openapi/v3/apis/none/v1")).status == 404
    scheme.remove("example.com", "widgets")
    assert "apis/example.com/v1" not in document(await get(found, "/openapi/v3"))["paths"]
    assert dict((await get(found, "/openapi/v3/api/v1")).headers)["etag"] == etag


async def test_custom_kinds_are_described() -> None:
    found, _ = openapi()
    doc = document(await get(found, "/openapi/v3/apis/example.com/v1"))
    widget = doc["components"]["schemas"]["com.example.v1.Widget"]
    assert widget["x-kubernetes-group-version-kind"] == [{"group": "example.com", "version": "v1", "kind": "Widget"}]
    assert widget["properties"]["metadata"]["$ref"].endswith("meta.v1.ObjectMeta")
    v2 = document(await get(found, "/openapi/v2"))["definitions"]["com.example.v1.Widget"]
    assert v2["properties"]["spec"]["properties"]["size"] == {"x-kubernetes-int-or-string": True}


def test_custom_schemas_say_in_each_version_what_it_can_say() -> None:
    any_fields = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema: Object = {
        "type": "object",
        "properties": {
            "template": {
                "type": "object",
                "x-kubernetes-embedded-resource": True,
                "properties": {},
                "required": ["spec"],
            },
            "any": {**any_fields, "x-kubernetes-embedded-resource": True},
            "spec": {
                "type": "object",
                "required": ["a", "b"],
                "properties": {
                    "a": {"type": "array", "nullable": True, "items": {"type": "string"}},
                    "b": {"type": "string"},
                },
            },
        },
    }
    resource = CustomResource(WIDGETS)
    made = Schemas({})
    made.add_custom(resource, {"v1": schema, "v2": {**schema, **any_fields}})
    v2, v3 = (found("com.example.v1.Widget")["properties"] for found in (made.v2, made.v3))
    for found in (v2, v3):
        assert set(found["template"]["properties"]) == {"apiVersion", "kind", "metadata"}
        assert found["template"]["required"] == ["spec", "kind", "apiVersion"]
    assert "properties" not in v2["any"]
    assert "metadata" in v3["any"]["properties"]
    assert v2["spec"]["required"] == ["b"]
    assert v2["spec"]["properties"]["a"] == {}
    assert v3["spec"] == schema["properties"]["spec"]
    assert set(made.v2("com.example.v2.Widget")) == {"type", "x-kubernetes-group-version-kind"}
    assert "spec" in made.v3("com.example.v2.Widget")["properties"]


async def test_version_2_in_protobuf_says_the_same() -> None:
    found, _ = openapi()
    doc = document(await get(found, "/openapi/v2"))
    response = await get(found, "/openapi/v2", accept=openapi_proto.ASKED_FOR)
    assert dict(response.headers)["content-type"] == openapi_proto.CONTENT_TYPE
    assert isinstance(response.body, bytes)
    top = fields(response.body)
    definitions = [fields(part) for part in fields(top[9][0])[1]]
    assert {entry[1][0].decode() for entry in definitions} == set(doc["definitions"])
    by_name = {entry[1][0].decode(): fields(entry[2][0]) for entry in definitions}
    config_map = by_name["io.k8s.api.core.v1.ConfigMap"]
    properties = {fields(p)[1][0].decode(): fields(fields(p)[2][0]) for p in fields(config_map[25][0])[1]}
    assert properties["metadata"][1][0].decode().endswith("ObjectMeta")
    assert fields(properties["immutable"][22][0])[1] == [b"boolean"]
    assert fields(config_map[31][0])[1] == [b"x-kubernetes-group-version-kind"]
    paths = {fields(p)[1][0].decode() for p in fields(top[8][0])[2]}
    assert paths == set(doc["paths"])


def fields(data: bytes) -> dict[int, list[bytes]]:
    """Length-delimited fields by number; others are skipped."""
    found: dict[int, list[bytes]] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        tag = varint()
        if tag & 7 == 2:
            size = varint()
            found.setdefault(tag >> 3, []).append(data[at : at + size])
            at += size
        elif tag & 7 == 0:
            varint()
        else:
            at += 8
    return found
