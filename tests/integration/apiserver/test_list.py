"""Lists: pages, revisions, selectors, order and shapes. Texts are upstream's."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.integration.apiserver.inprocess import MERGE, PARTIAL, PARTIAL_LIST, TABLE, Api, query

pytestmark = pytest.mark.asyncio(loop_scope="module")

PODS = "/api/v1/namespaces/{}/pods"


def names(listed: Any) -> str:
    return " ".join(item["metadata"]["name"] for item in listed["items"])


def revision(obj: Any) -> int:
    return int(obj["metadata"]["resourceVersion"])


async def test_pages_are_of_one_moment(api: Api) -> None:
    path = await api.maps("a b c d e")
    first = await api.ok("GET", f"{path}?limit=2")
    assert names(first) == "a b"
    assert first["metadata"]["remainingItemCount"] == 3
    await api.ok("DELETE", f"{path}/d")
    await api.ok("POST", path, {"metadata": {"name": "c1"}})
    second = await api.ok("GET", f"{path}?{query(limit=2, **{'continue': first['metadata']['continue']})}")
    assert names(second) == "c d"
    assert second["metadata"]["remainingItemCount"] == 1
    assert revision(second) == revision(first)
    last = await api.ok("GET", f"{path}?{query(limit=2, **{'continue': second['metadata']['continue']})}")
    assert names(last) == "e"
    assert revision(last) == revision(first)
    assert last["metadata"].keys() == {"resourceVersion"}
    assert names(await api.ok("GET", path)) == "a b c c1 e"


async def test_a_page_of_all_has_no_continue(api: Api) -> None:
    path = await api.maps("a b")
    for limit in (0, 2, 3):
        listed = await api.ok("GET", f"{path}?limit={limit}")
        assert (names(listed), listed["metadata"].keys()) == ("a b", {"resourceVersion"})


async def test_selected_pages_do_not_count_what_remains(api: Api) -> None:
    path = await api.maps("a b c d e")
    selector = query(labelSelector="l in (b,d,e)", limit=2)
    first = await api.ok("GET", f"{path}?{selector}")
    assert names(first) == "b d"
    assert "remainingItemCount" not in first["metadata"]
    second = await api.ok("GET", f"{path}?{selector}&{query(**{'continue': first['metadata']['continue']})}")
    assert names(second) == "e"
    assert "continue" not in second["metadata"]


async def test_a_token_from_before_compaction_is_expired_but_can_be_continued(api: Api) -> None:
    path = await api.maps("a b c")
    first = await api.ok("GET", f"{path}?limit=1")
    await api.ok("DELETE", f"{path}/b")
    await api.ok("POST", path, {"metadata": {"name": "b2"}})
    await api.store.compact(await api.store.revision())
    again = query(**{"continue": first["metadata"]["continue"]})
    status = await api.refused(410, "GET", f"{path}?{again}&limit=1")
    assert status["reason"] == "Expired"
    assert status["message"] == (
        "The provided continue parameter is too old to display a consistent list result. You can start a new list "
        "without the continue parameter, or use the continue token in this response to retrieve the remainder of the "
        "results. Continuing with the provided token results in an inconsistent list - objects that were created, "
        "modified, or deleted between the time the first chunk was returned and now may show up in the list."
    )
    rest = query(**{"continue": status["metadata"]["continue"]})
    listed = await api.ok("GET", f"{path}?{rest}&limit=1")
    assert names(listed) == "b2"
    assert revision(listed) > revision(first)
    rest = query(**{"continue": listed["metadata"]["continue"]})
    assert names(await api.ok("GET", f"{path}?{rest}")) == "c"


async def test_an_exact_revision_from_before_compaction_is_expired(api: Api) -> None:
    path = await api.maps("a")
    before = revision(await api.ok("GET", path))
    await api.ok("POST", path, {"metadata": {"name": "b"}})
    await api.store.compact(await api.store.revision())
    status = await api.refused(410, "GET", f"{path}?resourceVersion={before}&resourceVersionMatch=Exact")
    assert (status["reason"], status["message"]) == (
        "Expired", "The resourceVersion for the provided list is too old.",
    )  # fmt: skip


async def test_tokens_that_are_none_of_ours_are_refused(api: Api) -> None:
    path = await api.maps("a")

    def token(**fields: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")

    v1 = "meta.k8s.io/v1"
    for bad, why in (
        ("x", ": illegal base64 data at input byte 1"),
        ("ab!!", ": illegal base64 data at input byte 2"),
        ("e30=", ": illegal base64 data at input byte 3"),
        (token(v=v1), f": incorrect encoded start resourceVersion (version {v1})"),
        (token(v=v1, rv=1), f": encoded start key empty (version {v1})"),
        (token(v=v1, rv=1, start="../x"), ": ../x"),
        (token(v=v1, rv=1, start="a/../../x"), ": a/../../x"),
        (token(v=v1, rv=2**70, start="x"), ""),
        (token(v=v1, rv="1", start="x"), ""),
        (token(), ": server does not recognize this encoded version "),
        (token(v="meta.k8s.io/v9", rv=1, start="x"), ": server does not recognize this encoded version meta.k8s.io/v9"),
        (base64.urlsafe_b64encode(b"[1]").decode(), ""),
        (base64.urlsafe_b64encode(b"{}}").decode(), ""),
    ):
        said = await api.why(400, "GET", f"{path}?{query(**{'continue': bad})}")
        assert said.startswith(f"invalid continue token: continue key is not valid{why}"), bad


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({}, "a b c"),
        ({"resourceVersion": ""}, "a b c"),
        ({"resourceVersion": "0"}, "a b c"),
        ({"resourceVersion": "0", "limit": 1}, "a b c"),
        ({"resourceVersion": "0", "resourceVersionMatch": "NotOlderThan"}, "a b c"),
        ({"resourceVersion": "OLD"}, "a b c"),
        ({"resourceVersion": "OLD", "resourceVersionMatch": "NotOlderThan"}, "a b c"),
        ({"resourceVersion": "OLD", "resourceVersionMatch": "Exact"}, "a b"),
        ({"resourceVersion": "OLD", "limit": 500}, "a b"),
        ({"resourceVersion": "OLD", "limit": 500, "resourceVersionMatch": "NotOlderThan"}, "a b c"),
        ({"resourceVersion": "NOW", "resourceVersionMatch": "Exact"}, "a b c"),
    ],
)
async def test_what_a_resource_version_means(api: Api, parameters: dict[str, Any], expected: str) -> None:
    path = await api.maps("a b")
    old = await api.ok("GET", path)
    await api.ok("POST", path, {"metadata": {"name": "c"}})
    now = await api.ok("GET", path)
    stand_for = {"OLD": revision(old), "NOW": revision(now)}
    chosen = {key: stand_for.get(value, value) for key, value in parameters.items()}
    listed = await api.ok("GET", f"{path}?{query(**chosen)}")
    assert names(listed) == expected
    assert revision(listed) == revision(old if expected == "a b" else now)


MATCH = "resourceVersionMatch"
NONE_GIVEN = f"{MATCH}: Forbidden: {MATCH} is forbidden unless resourceVersion is provided"


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({MATCH: "Exact"}, NONE_GIVEN),
        ({MATCH: "NotOlderThan"}, NONE_GIVEN),
        (
            {MATCH: "Exact", "resourceVersion": 0},
            f'{MATCH}: Forbidden: {MATCH} "exact" is forbidden for resourceVersion "0"',
        ),
        (
            {MATCH: "Newest", "resourceVersion": 5},
            f'{MATCH}: Unsupported value: "Newest": supported values: "", "Exact", "NotOlderThan"',
        ),
        ({"sendInitialEvents": "true"}, "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"),
    ],
)
async def test_options_that_do_not_fit(api: Api, parameters: dict[str, Any], complaint: str) -> None:
    said = await api.why(422, "GET", f"/api/v1/configmaps?{query(**parameters)}")
    assert said == f'ListOptions.meta.k8s.io "" is invalid: {complaint}'


async def test_match_and_continue_exclude_each_other(api: Api) -> None:
    path = await api.maps("a b")
    token = (await api.ok("GET", f"{path}?limit=1"))["metadata"]["continue"]
    status = await api.refused(422, "GET", f"{path}?{query(**{'continue': token, MATCH: 'Exact', 'limit': 1})}")
    assert [cause["message"] for cause in status["details"]["causes"]] == [
        f"Forbidden: {MATCH} is forbidden unless resourceVersion is provided",
        f"Forbidden: {MATCH} is forbidden when continue is provided",
    ]
    said = await api.why(400, "GET", f"{path}?{query(**{'continue': token, 'resourceVersion': 5})}")
    assert said == "specifying resource version is not allowed when using continue"


async def test_a_revision_that_is_yet_to_come_times_out(api: Api) -> None:
    path = await api.maps("a")
    now = await api.store.revision()
    for target in (f"{path}?resourceVersion={now + 9}", f"{path}/a?resourceVersion={now + 9}"):
        status = await api.refused(504, "GET", target)
        assert status["message"] == f"Timeout: Too large resource version: {now + 9}, current: {now}"
        assert status["details"]["causes"] == [
            {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
        ]
        assert status["details"]["retryAfterSeconds"] == 1


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("tier=web", "a b"),
        ("tier==web,env=prod", "a"),
        ("tier!=web", "c d"),
        ("tier in (web,db)", "a b c"),
        ("tier notin (web)", "c d"),
        ("tier", "a b c"),
        ("!tier", "d"),
        ("tier,env notin (prod)", "b c"),
        ("size>5", "c"),
        ("size<5", "b"),
        ("tier in (web),!size", "a"),
        ("tier=", ""),
        ("", "a b c d"),
    ],
)
async def test_label_selectors(api: Api, selector: str, expected: str) -> None:
    path = await _labelled(api)
    assert names(await api.ok("GET", f"{path}?{query(labelSelector=selector)}")) == expected


async def _labelled(api: Api) -> str:
    path = await api.maps("")
    labels = {
        "a": {"tier": "web", "env": "prod"},
        "b": {"tier": "web", "size": "2"},
        "c": {"tier": "db", "size": "10"},
        "d": None,
    }
    for name, given in labels.items():
        await api.ok("POST", path, {"metadata": {"name": name, "labels": given}})
    return path


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("metadata.name=a", "a"),
        ("metadata.name!=a", "b c"),
        ("spec.nodeName=n1", "a b"),
        ("spec.nodeName=", "c"),
        ("spec.nodeName=n1,status.phase!=Running", "b"),
        ("status.phase=Running", "a"),
        ("spec.restartPolicy=Always", "a b c"),
        ("metadata.namespace=elsewhere", ""),
    ],
)
async def test_field_selectors_of_pods(api: Api, selector: str, expected: str) -> None:
    namespace = await api.ns()
    await api.ok("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": "default"}})
    path = PODS.format(namespace)
    for name, node in (("a", "n1"), ("b", "n1"), ("c", "")):
        spec = {"containers": [{"name": "app", "image": "i"}], **({"nodeName": node} if node else {})}
        await api.ok("POST", path, {"metadata": {"name": name}, "spec": spec})
    running = {"status": {"phase": "Running"}}
    await api.ok("PATCH", f"{path}/a/status", running, kind=MERGE)
    assert names(await api.ok("GET", f"{path}?{query(fieldSelector=selector)}")) == expected


async def test_selectors_that_are_none(api: Api) -> None:
    said = await api.why(400, "GET", f"/api/v1/configmaps?{query(fieldSelector='data.a=1')}")
    assert said == ('"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"')
    said = await api.why(400, "GET", f"/api/v1/pods?{query(fieldSelector='spec.image=1')}")
    assert said == "field label not supported: spec.image"
    said = await api.why(400, "GET", f"/api/v1/configmaps?{query(labelSelector='a in b')}")
    assert said.startswith("unable to parse requirement: ")


async def test_all_namespaces_come_in_order_of_their_names(api: Api) -> None:
    one, two = await api.maps("b a"), await api.maps("c a0")
    listed = await api.ok("GET", f"/api/v1/configmaps?{query(labelSelector='l')}")
    where = [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in listed["items"]]
    assert where == sorted(where)
    mine = [place for place in where if place[0] in (one.split("/")[4], two.split("/")[4])]
    assert [name for _, name in mine] == ["a", "b", "a0", "c"]


async def test_pages_go_on_across_namespaces(api: Api) -> None:
    await api.maps("x1 x2"), await api.maps("x3")
    target, seen = "/api/v1/configmaps?limit=1&labelSelector=l+in+(x1,x2,x3)", []
    token = ""
    while True:
        listed = await api.ok("GET", f"{target}&continue={token}" if token else target)
        seen += [item["metadata"]["name"] for item in listed["items"]]
        token = listed["metadata"].get("continue", "")
        if not token:
            break
    assert seen == ["x1", "x2", "x3"]


async def test_items_of_a_list_say_no_kind_of_their_own(api: Api) -> None:
    path = await api.maps("a")
    listed = await api.ok("GET", path)
    assert (listed["kind"], listed["apiVersion"]) == ("ConfigMapList", "v1")
    assert "kind" not in listed["items"][0] and "apiVersion" not in listed["items"][0]
    assert (await api.ok("GET", await api.maps("")))["items"] == []


async def test_tables(api: Api) -> None:
    path = await api.maps("a b", data={"k": "v"})
    table = await api.ok("GET", f"{path}?limit=1", accept=TABLE)
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [(c["name"], c["type"], c["format"]) for c in table["columnDefinitions"]] == [
        ("Name", "string", "name"), ("Data", "string", ""), ("Age", "string", ""),
    ]  # fmt: skip
    assert table["metadata"]["continue"] and table["metadata"]["remainingItemCount"] == 1
    (row,) = table["rows"]
    assert row["cells"][:2] == ["a", 1]
    partial = row["object"]
    assert (partial["kind"], partial["metadata"]["name"]) == ("PartialObjectMetadata", "a")
    assert "data" not in partial
    whole = (await api.ok("GET", f"{path}?includeObject=Object", accept=TABLE))["rows"][0]["object"]
    assert (whole["kind"], whole["data"]) == ("ConfigMap", {"k": "v"})
    without = (await api.ok("GET", f"{path}?includeObject=None", accept=TABLE))["rows"]
    assert [row.get("object") for row in without] == [None, None]
    await api.refused(400, "GET", f"{path}?includeObject=All", accept=TABLE)
    one = await api.ok("GET", f"{path}/b", accept=TABLE)
    assert [row["cells"][0] for row in one["rows"]] == ["b"]
    assert (await api.ok("GET", await api.maps(""), accept=TABLE))["rows"] == []


async def test_metadata_alone(api: Api) -> None:
    path = await api.maps("a b", data={"k": "v"})
    listed = await api.ok("GET", f"{path}?limit=1", accept=PARTIAL_LIST)
    assert (listed["kind"], listed["apiVersion"]) == ("PartialObjectMetadataList", "meta.k8s.io/v1")
    assert listed["metadata"]["remainingItemCount"] == 1
    (item,) = listed["items"]
    assert item.keys() <= {"kind", "apiVersion", "metadata"}
    assert item["metadata"]["labels"] == {"l": "a"}
    one = await api.ok("GET", f"{path}/a", accept=PARTIAL)
    assert (one["kind"], one["apiVersion"]) == ("PartialObjectMetadata", "meta.k8s.io/v1")
    assert one["metadata"]["uid"] and "data" not in one


async def test_answers_are_of_the_first_type_that_is_served(api: Api) -> None:
    path = await api.maps("a")
    assert (await api.ok("GET", path, accept=f"text/csv,{TABLE},application/json"))["kind"] == "Table"
    assert (await api.ok("GET", path, accept="*/*"))["kind"] == "ConfigMapList"
    status = await api.refused(406, "GET", path, accept="text/csv")
    assert status["reason"] == "NotAcceptable"
    text = await api.ok("GET", f"{path}/a", accept="application/yaml")
    assert "kind: ConfigMap\n" in text
