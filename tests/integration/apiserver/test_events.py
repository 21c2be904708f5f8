"""Events of the core and of events.k8s.io: one object in two shapes, with the rules of the shape it is written in."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.apiserver.inprocess import MERGE, TABLE, Api

pytestmark = pytest.mark.asyncio(loop_scope="module")

TIME = "2030-01-02T03:04:05.000006Z"


def core(namespace: str, name: str, **fields: Any) -> dict[str, Any]:
    about = {"kind": "Pod", "namespace": namespace, "name": "p"}
    source = {"component": "kubelet", "host": "n"}
    said = {"reason": "Why", "message": "so", "type": "Normal", "count": 2, "source": source}
    return {"metadata": {"name": name}, "involvedObject": about, **said, **fields}


def new(namespace: str, name: str, **fields: Any) -> dict[str, Any]:
    about = {"kind": "Pod", "namespace": namespace, "name": "p"}
    by = {"reportingController": "example.com/c", "reportingInstance": "c-1"}
    said = {"reason": "Why", "note": "so", "type": "Normal", "action": "Do", "eventTime": TIME}
    return {"metadata": {"name": name}, "regarding": about, **said, **by, **fields}


async def paths(api: Api) -> tuple[str, str, str]:
    namespace = await api.ns()
    return namespace, *(f"/{root}/namespaces/{namespace}/events" for root in ("api/v1", "apis/events.k8s.io/v1"))


async def test_both_show_what_either_wrote(api: Api) -> None:
    namespace, old, fresh = await paths(api)
    await api.ok("POST", old, core(namespace, "a"))
    await api.ok("POST", fresh, new(namespace, "b"))
    got = await api.ok("GET", f"{fresh}/a")
    assert got["apiVersion"] == "events.k8s.io/v1" and got["regarding"]["name"] == "p"
    assert got["deprecatedCount"] == 2 and got["deprecatedSource"] == {"component": "kubelet", "host": "n"}
    got = await api.ok("GET", f"{old}/b")
    assert got["apiVersion"] == "v1" and got["message"] == "so" and got["reportingComponent"] == "example.com/c"
    for path in (old, fresh):
        assert [one["metadata"]["name"] for one in (await api.ok("GET", path))["items"]] == ["a", "b"]
        rows = (await api.ok("GET", path, accept=TABLE))["rows"]
        assert [row["cells"][1:4] for row in rows] == [["Normal", "Why", "pod/p"]] * 2
    found = await api.ok("GET", f"{old}?fieldSelector=involvedObject.name%3Dp,source%3Dkubelet")
    assert [one["metadata"]["name"] for one in found["items"]] == ["a"]
    found = await api.ok("GET", f"{fresh}?fieldSelector=regarding.name%3Dp,reportingController%3Dexample.com/c")
    assert [one["metadata"]["name"] for one in found["items"]] == ["b"]
    await api.ok("DELETE", f"{fresh}/a")
    await api.refused(404, "GET", f"{old}/a")


async def test_watches_of_both_are_told(api: Api) -> None:
    namespace, old, fresh = await paths(api)
    async with api.watch(old) as first, api.watch(fresh) as second:
        await api.ok("POST", fresh, new(namespace, "a"))
        await api.ok("PATCH", f"{old}/a", {"metadata": {"labels": {"a": "b"}}}, kind=MERGE)
        told = [(first.take(), "message"), (second.take(), "note")]
    for events, field in told:
        assert [(event["type"], event["object"][field]) for event in events] == [("ADDED", "so"), ("MODIFIED", "so")]


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"eventTime": None}, "eventTime: Required value"),
        ({"type": "Odd"}, 'type: Invalid value: "": has invalid value: Odd'),
        ({"deprecatedCount": 1}, 'count: Invalid value: "": needs to be unset'),
        ({"deprecatedSource": {"component": "c"}}, 'source: Invalid value: "": needs to be unset'),
        ({"reportingController": None}, "reportingController: Required value"),
        ({"action": "a" * 129}, 'action: Invalid value: "": can have at most 128 characters'),
        ({"note": "n" * 1025}, 'message: Invalid value: "": can have at most 1024 characters'),
        ({"series": {"count": 1, "lastObservedTime": TIME}}, 'series.count: Invalid value: "": should be at least 2'),
        ({"regarding": {"kind": "Pod"}},
         'involvedObject.namespace: Invalid value: "": does not match event.namespace'),
    ],
)  # fmt: skip
async def test_new_events_keep_strict_rules(api: Api, fields: dict[str, Any], problem: str) -> None:
    namespace, _, fresh = await paths(api)
    made = {key: value for key, value in new(namespace, "a", **fields).items() if value is not None}
    assert problem in await api.why(422, "POST", fresh, made)


async def test_core_events_may_be_odd(api: Api) -> None:
    namespace, old, _ = await paths(api)
    await api.ok("POST", old, core(namespace, "Odd_Name", type="Odd"))
    await api.ok("PATCH", f"{old}/Odd_Name", {"reason": "Other", "count": 3}, kind=MERGE)
    elsewhere = core(namespace, "b", involvedObject={"kind": "Pod", "namespace": "other"})
    said = 'involvedObject.namespace: Invalid value: "other": does not match event.namespace'
    assert said in await api.why(422, "POST", old, elsewhere)


async def test_of_new_events_only_the_series_changes(api: Api) -> None:
    namespace, old, fresh = await paths(api)
    await api.ok("POST", fresh, new(namespace, "a"))
    series = {"series": {"count": 2, "lastObservedTime": TIME}}
    await api.ok("PATCH", f"{fresh}/a", series, kind=MERGE)
    said = await api.why(422, "PATCH", f"{fresh}/a", {"note": "other", "reason": "Other"}, kind=MERGE)
    assert 'reason: Invalid value: "Other": field is immutable' in said
    assert 'message: Invalid value: "other": field is immutable' in said
    await api.ok("PATCH", f"{old}/a", {"message": "other"}, kind=MERGE)
