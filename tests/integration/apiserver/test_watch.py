"""Watches: where they begin, what they tell, and how they end. Texts are upstream's."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from kybern.apiserver import watch_cache, watcher
from kybern.apiserver.server import Server
from tests.integration.apiserver.inprocess import ADMIN, MERGE, PARTIAL, TABLE, Api, query

pytestmark = pytest.mark.asyncio(loop_scope="module")

END = {"k8s.io/initial-events-end": "true"}
LIST_NOW = query(sendInitialEvents="true", resourceVersionMatch="NotOlderThan", allowWatchBookmarks="true")


async def revision(api: Api, path: str) -> int:
    return int((await api.ok("GET", path))["metadata"]["resourceVersion"])


async def label(api: Api, path: str, name: str, value: str | None) -> Any:
    return await api.ok("PATCH", f"{path}/{name}", {"metadata": {"labels": {"l": value}}}, kind=MERGE)


async def make(api: Api, path: str, name: str, **metadata: Any) -> Any:
    return await api.ok("POST", path, {"metadata": {"name": name, **metadata}})


async def test_from_a_revision_come_all_later_changes_in_order(api: Api) -> None:
    path = await api.maps("a")
    start = await revision(api, path)
    await make(api, path, "b")
    await label(api, path, "a", "x")
    async with api.watch(f"{path}?resourceVersion={start}") as watched:
        assert watched.brief() == [("ADDED", "b"), ("MODIFIED", "a")]
        await api.ok("DELETE", f"{path}/b")
        await make(api, path, "c")
        events = watched.take()
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in events] == [("DELETED", "b"), ("ADDED", "c")]
    assert all(e["object"]["kind"] == "ConfigMap" and e["object"]["apiVersion"] == "v1" for e in events)
    revisions = [int(e["object"]["metadata"]["resourceVersion"]) for e in events]
    assert start < revisions[0] < revisions[1]


async def test_from_zero_or_nothing_what_is_there_is_added_first(api: Api) -> None:
    path = await api.maps("b a")
    for parameters in ("", "?resourceVersion=0", "?resourceVersion="):
        async with api.watch(path + parameters) as watched:
            assert watched.brief() == [("ADDED", "a"), ("ADDED", "b")]
            await label(api, path, "a", f"v{len(parameters)}")
            assert watched.brief() == [("MODIFIED", "a")]


async def test_others_namespaces_and_kinds_are_not_told(api: Api) -> None:
    path, other = await api.maps("a"), await api.maps("")
    async with api.watch(f"{path}?resourceVersion={await revision(api, path)}") as watched:
        await make(api, other, "b")
        await make(api, path.replace("configmaps", "secrets"), "s")
        assert watched.brief() == []


async def test_streaming_list_ends_with_an_annotated_bookmark(api: Api) -> None:
    path = await api.maps("a b")
    async with api.watch(f"{path}?{LIST_NOW}") as watched:
        *added, bookmark = watched.take()
        assert [(e["type"], e["object"]["metadata"]["name"]) for e in added] == [("ADDED", "a"), ("ADDED", "b")]
        assert bookmark["type"] == "BOOKMARK"
        marked = bookmark["object"]
        assert (marked["kind"], marked["apiVersion"]) == ("ConfigMap", "v1")
        assert marked["metadata"]["annotations"] == END
        assert int(marked["metadata"]["resourceVersion"]) == await revision(api, path)
        await make(api, path, "c")
        assert watched.brief() == [("ADDED", "c")]


async def test_a_watch_from_nothing_counts_as_a_streaming_list(api: Api) -> None:
    path = await api.maps("a")
    async with api.watch(f"{path}?allowWatchBookmarks=true") as watched:
        added, bookmark = watched.take()
        assert (added["type"], bookmark["type"]) == ("ADDED", "BOOKMARK")
        assert bookmark["object"]["metadata"]["annotations"] == END
    async with api.watch(f"{path}?{LIST_NOW}".replace("Bookmarks=true", "Bookmarks=false")) as watched:
        assert watched.brief() == [("ADDED", "a")]


async def test_initial_events_can_be_declined(api: Api) -> None:
    path = await api.maps("a")
    declined = LIST_NOW.replace("Events=true", "Events=false")
    async with api.watch(f"{path}?{declined}") as watched:
        assert watched.take() == []
        await make(api, path, "b")
        assert watched.brief() == [("ADDED", "b")]


async def test_initial_events_come_even_with_a_revision(api: Api) -> None:
    path = await api.maps("a b")
    start = await revision(api, path)
    async with api.watch(f"{path}?resourceVersion={start}&{LIST_NOW}") as watched:
        assert [type_ for type_, _ in watched.brief()] == ["ADDED", "ADDED", "BOOKMARK"]


MATCH = "resourceVersionMatch"
NEEDED = f"{MATCH}: Forbidden: sendInitialEvents requires setting {MATCH} to NotOlderThan"
UNKNOWN = f'{MATCH}: Unsupported value: "Exact": supported values: "NotOlderThan"'
UNASKED = f"{MATCH}: Forbidden: {MATCH} is forbidden for watch unless sendInitialEvents is provided"


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"sendInitialEvents": "true"}, NEEDED),
        ({"sendInitialEvents": "false"}, NEEDED),
        ({"sendInitialEvents": "true", MATCH: "Exact"}, f"[{NEEDED}, {UNKNOWN}]"),
        ({MATCH: "NotOlderThan"}, UNASKED),
        ({MATCH: "Exact", "resourceVersion": 5}, f"[{UNASKED}, {UNKNOWN}]"),
        (
            {"sendInitialEvents": "true", MATCH: "NotOlderThan", "continue": "x"},
            f"{MATCH}: Forbidden: {MATCH} is forbidden when continue is provided",
        ),
    ],
)
async def test_options_that_do_not_fit(api: Api, parameters: dict[str, Any], complaint: str) -> None:
    status = await api.refused(422, "GET", f"/api/v1/configmaps?watch=1&{query(**parameters)}")
    assert status["message"] == f'ListOptions.meta.k8s.io "" is invalid: {complaint}'


async def test_a_compacted_revision_gets_one_error_event(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_cache, "RING_CHANGES", 2)
    path = await api.maps("a")
    start = await revision(api, path)
    for value in "123":
        await label(api, path, "a", value)
    oldest = int((await label(api, path, "a", "4"))["metadata"]["resourceVersion"]) - 2
    async with api.watch(f"{path}?resourceVersion={start}") as watched:
        (event,) = watched.take()
        assert watched.done.is_set()
    assert event["type"] == "ERROR"
    assert event["object"] == {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": "Expired", "code": 410,
        "message": f"too old resource version: {start} ({oldest})",
    }  # fmt: skip


async def test_selectors_turn_changes_into_arrivals_and_departures(api: Api) -> None:
    path = await api.maps("a")
    before = await label(api, path, "a", "in")
    async with api.watch(f"{path}?labelSelector=l%3Din&resourceVersion={await revision(api, path)}") as watched:
        gone = await label(api, path, "a", "out")
        (left,) = watched.take()
        assert left["type"] == "DELETED"
        assert left["object"]["metadata"]["labels"] == before["metadata"]["labels"]
        assert left["object"]["metadata"]["resourceVersion"] == gone["metadata"]["resourceVersion"]
        await label(api, path, "a", "still-out")
        await label(api, path, "a", "in")
        assert watched.brief() == [("ADDED", "a")]
        await api.ok("PATCH", f"{path}/a", {"data": {"k": "v"}}, kind=MERGE)
        assert watched.brief() == [("MODIFIED", "a")]
        await label(api, path, "a", None)
        assert watched.brief() == [("DELETED", "a")]
        await api.ok("DELETE", f"{path}/a")
        assert watched.brief() == []


async def test_field_selectors_do_so_too(api: Api) -> None:
    namespace = await api.ns()
    await make(api, f"/api/v1/namespaces/{namespace}/serviceaccounts", "default")
    pods = f"/api/v1/namespaces/{namespace}/pods"
    async with api.watch(f"{pods}?{query(fieldSelector='status.phase=Running')}") as watched:
        await api.ok("POST", pods, {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}})
        assert watched.brief() == []
        for phase in ("Running", "Succeeded"):
            await api.ok("PATCH", f"{pods}/p/status", {"status": {"phase": phase}}, kind=MERGE)
        assert watched.brief() == [("ADDED", "p"), ("DELETED", "p")]


@pytest.mark.parametrize("target", ["{path}?fieldSelector=metadata.name%3Db", "{old}/b?"])
async def test_one_object_is_watched_by_its_name(api: Api, target: str) -> None:
    path = await api.maps("a b")
    old = path.replace("/api/v1/", "/api/v1/watch/")
    async with api.watch(target.format(path=path, old=old)) as watched:
        assert watched.brief() == [("ADDED", "b")]
        await label(api, path, "a", "x")
        await api.ok("DELETE", f"{path}/b")
        assert watched.brief() == [("DELETED", "b")]
        await make(api, path, "b")
        assert watched.brief() == [("ADDED", "b")]


async def test_who_may_read_one_object_may_watch_it(api: Api) -> None:
    path = await api.maps("a")
    base = path.replace("/api/v1/", "/apis/rbac.authorization.k8s.io/v1/").replace("configmaps", "")
    rule = {"verbs": ["watch"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["a"]}
    await api.ok("POST", f"{base}roles", {"metadata": {"name": "r"}, "rules": [rule]})
    ref = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "onlooker"}
    await api.ok("POST", f"{base}rolebindings", {"metadata": {"name": "r"}, "roleRef": ref, "subjects": [subject]})
    async with api.watch(f"{path}?fieldSelector=metadata.name%3Da", who="onlooker") as watched:
        assert watched.brief() == [("ADDED", "a")]
    await make(api, path, "b")
    async with api.watch(f"{path.replace('v1', 'v1/watch', 1)}/a", who="onlooker") as watched:
        assert watched.brief() == [("ADDED", "a")]
    await api.refused(403, "GET", f"{path}?watch=1", who="onlooker")
    said = await api.why(400, "GET", f"{path.replace('v1', 'v1/watch', 1)}/a?fieldSelector=metadata.name!%3Da")
    assert said == "fieldSelector metadata.name doesn't match requested name"


async def test_a_deleted_object_has_the_revision_of_its_deletion(api: Api) -> None:
    path = await api.maps("a")
    async with api.watch(f"{path}?resourceVersion={await revision(api, path)}") as watched:
        await api.ok("DELETE", f"{path}/a")
        (event,) = watched.take()
    assert event["object"]["metadata"]["labels"] == {"l": "a"}
    deleted_at = int(event["object"]["metadata"]["resourceVersion"])
    assert deleted_at == await revision(api, path) == await api.store.revision()
    async with api.watch(f"{path}?resourceVersion={deleted_at}") as watched:
        assert watched.take() == []


async def test_bookmarks_tell_how_far_a_quiet_watch_is(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "BOOKMARK_SECONDS", 0.02)
    path, elsewhere = await api.maps("a"), await api.maps("")
    start = await revision(api, path)
    quiet, silent = f"{path}?allowWatchBookmarks=1&resourceVersion={start}", f"{path}?resourceVersion={start}"
    async with api.watch(quiet) as watched, api.watch(silent) as unmarked:
        await make(api, elsewhere, "b")
        now = await api.store.revision()
        async with asyncio.timeout(5):
            while not watched.events:
                await asyncio.sleep(0.01)
        event = watched.take()[0]
        assert unmarked.take() == []
    assert event["type"] == "BOOKMARK"
    assert event["object"]["kind"] == "ConfigMap"
    assert "annotations" not in event["object"]["metadata"]
    assert int(event["object"]["metadata"]["resourceVersion"]) == now > start


async def test_a_watch_ends_when_its_time_is_up(api: Api) -> None:
    path = await api.maps("a")
    async with api.watch(f"{path}?timeoutSeconds=1&resourceVersion={await revision(api, path)}") as watched:
        assert not watched.done.is_set()
        await asyncio.wait_for(watched.done.wait(), 10)
        await make(api, path, "late")
        assert watched.take() == []


async def test_tables(api: Api) -> None:
    path = await api.maps("a", data={"k": "v"})
    async with api.watch(path, accept=TABLE) as watched:
        await label(api, path, "a", "x")
        first, second = watched.take()
    assert (first["type"], second["type"]) == ("ADDED", "MODIFIED")
    assert [column["name"] for column in first["object"]["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert second["object"]["kind"] == "Table"
    assert not second["object"]["columnDefinitions"]
    (row,) = second["object"]["rows"]
    assert row["cells"][0] == "a"
    assert row["object"]["kind"] == "PartialObjectMetadata"
    assert row["object"]["metadata"]["labels"] == {"l": "x"}
    async with api.watch(f"{path}?includeObject=Object", accept=TABLE) as watched:
        assert watched.take()[0]["object"]["rows"][0]["object"]["data"] == {"k": "v"}


async def test_metadata_alone(api: Api) -> None:
    path = await api.maps("a", data={"k": "v"})
    async with api.watch(f"{path}?allowWatchBookmarks=1", accept=PARTIAL) as watched:
        added, bookmark = watched.take()
    assert added["object"]["kind"] == bookmark["object"]["kind"] == "PartialObjectMetadata"
    assert added["object"]["apiVersion"] == "meta.k8s.io/v1"
    assert "data" not in added["object"]


async def test_a_slow_client_is_owed_what_it_could_not_take(api: Api) -> None:
    path = await api.maps("a b c")
    async with api.watch(path) as watched:
        assert len(watched.take()) == 3
        watched.congested = True
        for number in range(50):
            await make(api, path, f"n{number:02}")
        await api.ok("DELETE", f"{path}/n07")
        assert watched.take() == []
        watched.congested = False
        watched.stream.resumed()
        made = [("ADDED", f"n{number:02}") for number in range(50)]
        assert watched.brief() == [*made, ("DELETED", "n07")]
        await make(api, path, "z")
        assert watched.brief() == [("ADDED", "z")]


async def test_a_client_that_falls_too_far_behind_is_let_go(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "MAX_OWED", 5)
    path = await api.maps("")
    async with api.watch(path) as watched:
        watched.congested = True
        for number in range(6):
            await make(api, path, f"n{number}")
        assert watched.done.is_set()
        assert watched.take() == []


async def test_over_a_connection_nothing_is_lost_to_a_slow_reader(api: Api) -> None:
    path = await api.maps("")
    listener = Server(api.app)
    port = await listener.start("127.0.0.1", 0, None)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    try:
        target = f"{path}?watch=1&resourceVersion={await revision(api, path)}"
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer test {ADMIN}\r\n\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        for number in range(60):
            body = {"metadata": {"name": f"n{number:02}"}, "data": {"k": "x" * 100_000}}
            await api.ok("POST", path, body)
        seen: list[str] = []
        async with asyncio.timeout(20):
            while len(seen) < 60:
                size = int(await reader.readline(), 16)
                event = json.loads((await reader.readexactly(size + 2))[:-2])
                seen.append(event["object"]["metadata"]["name"])
        assert seen == [f"n{number:02}" for number in range(60)]
    finally:
        writer.close()
        await listener.close(0.1)
