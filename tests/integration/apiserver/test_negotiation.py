"""What an answer looks like: media types and their weights, indents, metadata only, compression, methods."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
import yaml

from kybern.api import protobuf
from kybern.apiserver.compression import THRESHOLD
from kybern.apiserver.request import Response
from tests.integration.apiserver.inprocess import PARTIAL, PARTIAL_LIST, TABLE, Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON, YAML = "application/json", "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
NOT_LIST = "you requested PartialObjectMetadataList, but the requested object is not a list (*core.ConfigMap)"
IS_LIST = "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"


@pytest.fixture(scope="module")
async def path(api: Api) -> str:
    return await api.maps("a b", data={"k": "v"})


async def content(response: Response) -> bytes:
    body = response.body
    return body if isinstance(body, bytes) else b"".join([piece async for piece in body])


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("APPLICATION/JSON", JSON),
        (f"{YAML},{JSON}", YAML),
        (f"{YAML};q=0.5,{JSON}", JSON),
        (f"{JSON};q=0.2, {YAML};q=0.9", YAML),
        (f"{JSON};q=0, {YAML}", YAML),
        (f"{PROTOBUF},{JSON}", PROTOBUF),
        (f"{PROTOBUF};q=0.5,{JSON};q=0.1,{YAML}", YAML),
        (f"{PROTOBUF};q=1,{YAML};q=0.1", PROTOBUF),
        (f"*/*,{YAML}", YAML),
        (f"application/*;q=0.5,*/*,{PROTOBUF}", PROTOBUF),
        (f"{JSON};v=v1,{YAML}", YAML),
        (f"{JSON};stream=watch", JSON),
        (f"{JSON};stream=other,{YAML}", YAML),
        (f"{JSON};as=Nothing;v=v1;g=meta.k8s.io,{YAML}", YAML),
        (f"{JSON};as=Table;v=v2;g=meta.k8s.io,{YAML}", YAML),
        (PROTOBUF, PROTOBUF),
        (f"{JSON};q=0", JSON),
        ("text/csv", ""),
    ],
)
async def test_the_media_type_that_is_wanted_most(api: Api, path: str, accept: str, expected: str) -> None:
    for target in (path, f"{path}/a"):
        response = await api.respond("GET", target, accept=accept)
        if not expected:
            assert response.status == 406
            assert b"only the following media types are accepted: application/json, " in await content(response)
            continue
        assert (response.status, dict(response.headers)["content-type"]) == (200, expected)
        read = {YAML: yaml.safe_load, JSON: json.loads, PROTOBUF: protobuf.decode}[expected]
        assert read(await content(response))["kind"].startswith("ConfigMap")


@pytest.mark.parametrize(
    ("accept", "target", "code", "expected"),
    [
        (TABLE, "", 200, ("Table", "meta.k8s.io/v1")),
        (TABLE.replace("v=v1", "v=v1beta1"), "", 200, ("Table", "meta.k8s.io/v1beta1")),
        (TABLE.replace("v=v1", "v=v1beta1"), "/a", 200, ("Table", "meta.k8s.io/v1beta1")),
        (PARTIAL, "/a", 200, ("PartialObjectMetadata", "meta.k8s.io/v1")),
        (PARTIAL.replace("v=v1", "v=v1beta1"), "/a", 200, ("PartialObjectMetadata", "meta.k8s.io/v1beta1")),
        (PARTIAL_LIST, "", 200, ("PartialObjectMetadataList", "meta.k8s.io/v1")),
        (PARTIAL_LIST.replace("v=v1", "v=v1beta1"), "", 200, ("PartialObjectMetadataList", "meta.k8s.io/v1beta1")),
        (PARTIAL_LIST, "/a", 406, NOT_LIST),
        (PARTIAL, "", 406, IS_LIST),
        (f"{PARTIAL_LIST.replace(JSON, YAML)}", "", 200, ("PartialObjectMetadataList", "meta.k8s.io/v1")),
    ],
)
async def test_other_kinds_of_answer(api: Api, path: str, accept: str, target: str, code: int, expected: Any) -> None:
    response = await api.respond("GET", f"{path}{target}", accept=accept)
    answer = yaml.safe_load(await content(response))
    assert response.status == code, answer
    if code != 200:
        assert answer["message"] == expected
        return
    assert (answer["kind"], answer["apiVersion"]) == expected
    for row in answer.get("rows", ()):
        assert row["object"]["apiVersion"] == expected[1]


async def test_table_options(api: Api, path: str) -> None:
    said = await api.why(400, "GET", f"{path}?includeObject=All", accept=TABLE)
    assert said == (
        'Unable to convert to Table as requested: includeObject: Invalid value: "All": must be '
        "'Metadata', 'Object', 'None', or empty"
    )
    assert await api.why(400, "GET", f"{path}?includeObject=All&watch=1", accept=TABLE) == said
    assert (await api.ok("GET", f"{path}?includeObject=All"))["kind"] == "ConfigMapList"
    one = await api.ok("POST", f"{path}?dryRun=All&includeObject=None", {"metadata": {"name": "z"}}, accept=TABLE)
    assert [row["object"] for row in one["rows"]] == [None]


@pytest.mark.parametrize("include", ["None", "Metadata", "Object"])
async def test_rows_of_watches(api: Api, include: str) -> None:
    path = await api.maps("a", data={"k": "v"})
    async with api.watch(f"{path}?includeObject={include}", accept=TABLE) as watched:
        await api.ok("PUT", f"{path}/a", {"metadata": {"name": "a"}, "data": {"k": "w"}})
        first, second = watched.take()
    assert [column["name"] for column in first["object"]["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert second["object"]["columnDefinitions"] is None
    (row,) = second["object"]["rows"]
    shown = row["object"]
    kind = {"None": None, "Metadata": "PartialObjectMetadata", "Object": "ConfigMap"}[include]
    assert (shown and shown["kind"], shown and shown.get("data")) == (kind, {"k": "w"} if include == "Object" else None)


@pytest.mark.parametrize(
    ("query", "agent", "accept", "indented"),
    [
        ("", "kubectl/v1.36.0", "", False),
        ("pretty=true", "kubectl/v1.36.0", "", True),
        ("pretty=1", "", "*/*", True),
        ("pretty=nonsense", "curl/8", "", False),
        ("", "curl/8.5.0", "*/*", True),
        ("", "Mozilla/5.0 (X11)", "*/*", True),
        ("", "Wget/1.21", "*/*", True),
        ("pretty=false", "curl/8.5.0", "", False),
        ("", "", f"{JSON};pretty=1", True),
    ],
)
async def test_people_get_indents(api: Api, path: str, query: str, agent: str, accept: str, indented: bool) -> None:
    for target in (path, f"{path}/a", f"{path}/none"):
        response = await api.respond("GET", f"{target}?{query}", accept=accept, user_agent=agent)
        text = (await content(response)).decode()
        assert text.startswith('{\n  "kind": ') is indented, text[:80]


async def test_errors_are_read_as_the_rest(api: Api, path: str) -> None:
    status, text = await api.ask("GET", f"{path}/none", accept=YAML)
    assert (status, yaml.safe_load(text)["reason"]) == (404, "NotFound")
    status, answer = await api.ask("GET", f"{path}/none", accept="text/csv")
    assert (status, answer["kind"]) == (404, "Status")


@pytest.mark.parametrize("accepted", ["gzip", "deflate, gzip;q=1.0", "br", "gzip;q=0", ""])
async def test_large_answers_are_compressed(api: Api, accepted: str) -> None:
    path = await api.maps("large", data={"k": "x" * (THRESHOLD + 1)})
    await api.ok("POST", path, {"metadata": {"name": "small"}})
    wanted = "gzip" in accepted and "q=0" not in accepted
    for target in (f"{path}/large", path, f"{path}/small"):
        response = await api.respond("GET", target, accept_encoding=accepted)
        headers, body = dict(response.headers), await content(response)
        packed = wanted and not target.endswith("small")
        assert headers.get("content-encoding") == ("gzip" if packed else None)
        assert headers.get("vary") == ("Accept-Encoding" if packed else None)
        assert json.loads(gzip.decompress(body) if packed else body) == await api.ok("GET", target)


async def test_lists_in_parts_are_compressed_in_parts(api: Api) -> None:
    names = " ".join(f"m{number:03}" for number in range(150))
    path = await api.maps(names, data={"k": "x" * 1000})
    whole = await api.respond("GET", path)
    assert int(dict(whole.headers)["content-length"]) == len(await content(whole))
    response = await api.respond("GET", path, accept_encoding="gzip")
    assert "content-length" not in dict(response.headers)
    listed = json.loads(gzip.decompress(await content(response)))
    assert len(listed["items"]) == 150


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE"])
async def test_methods_that_resources_do_not_know(api: Api, path: str, method: str) -> None:
    for target in (path, f"{path}/a"):
        status = await api.refused(405, method, target)
        assert (status["reason"], status["details"]) == ("MethodNotAllowed", {})
    assert (await api.respond("HEAD", "/healthz")).status == 200


async def test_events_of_both_groups_are_selected_by_their_own_fields(api: Api) -> None:
    namespace = await api.ns()
    core, new = (f"/{root}/namespaces/{namespace}/events" for root in ("api/v1", "apis/events.k8s.io/v1"))
    about = {"kind": "Pod", "name": "p", "namespace": namespace}
    await api.ok("POST", core, {"metadata": {"name": "e"}, "involvedObject": about, "reason": "Why", "type": "Normal",
                                "reportingComponent": "c"})  # fmt: skip
    for path, field in (
        (new, "regarding.name=p"),
        (core, "involvedObject.name=p"),
        (new, "reportingController=c"),
        (core, "reportingComponent=c"),
        (core, "source=c"),
    ):
        assert len((await api.ok("GET", f"{path}?fieldSelector={field}"))["items"]) == 1, field
    for path, field in ((core, "regarding.name=p"), (new, "involvedObject.name=p"), (new, "source=c")):
        said = await api.why(400, "GET", f"{path}?fieldSelector={field}")
        assert said == f"field label not supported: {field.partition('=')[0]}"
