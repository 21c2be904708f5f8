"""resourceVersion and resourceVersionMatch in all combinations, with and without limits, for get, list and watch.

The model below is upstream's table in words: API concepts, "Semantics for get and list" and "Semantics for watch".
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from tests.integration.apiserver.inprocess import Api, query

pytestmark = pytest.mark.asyncio(loop_scope="module")

MATCH = "resourceVersionMatch"
VERSIONS = (None, "", "0", "GONE", "OLD", "NOW", "FUTURE", "none", "-1", "99999999999999999999")
MATCHES = (None, "NotOlderThan", "Exact", "Newest")
LIMITS = (None, 1, 500)
INVALID = 'resourceVersion: Invalid value: "{}": strconv.ParseUint: parsing "{}": {}'
TOO_LARGE = "Timeout: Too large resource version: {}, current: {}"


class Past:
    """ConfigMaps a and b as of OLD, and c as of NOW; GONE is before the store's memory."""

    def __init__(self, api: Api, path: str, revisions: dict[str, int]) -> None:
        self.api, self.path, self.revisions = api, path, revisions

    def parameters(self, version: str | None, **more: Any) -> str:
        stands_for = self.revisions.get(version or "", version)
        given = {"resourceVersion": stands_for, **more}
        return query(**{name: value for name, value in given.items() if value is not None})


@pytest.fixture(scope="module")
async def past(api: Api) -> Past:
    path = await api.maps("a b")
    gone = await api.store.revision() - 1
    await api.ok("PUT", f"{path}/b", {"metadata": {"name": "b"}, "data": {"x": "y"}})
    old = await api.store.revision()
    await api.ok("POST", path, {"metadata": {"name": "c"}})
    await api.store.compact(old)
    now = await api.store.revision()
    return Past(api, path, {"GONE": gone, "OLD": old, "NOW": now, "FUTURE": now + 100})


def wrong_number(version: str | None) -> str:
    if version in ("none", "-1"):
        return INVALID.format(version, version, "invalid syntax")
    return INVALID.format(version, version, "value out of range") if version == VERSIONS[-1] else ""


def listing(version: str | None, match: str | None, limit: int | None) -> tuple[int, str]:
    """(code, names of the first page, or the complaint) of a list."""
    complaints = []
    if match and not version:
        complaints.append(f"{MATCH}: Forbidden: {MATCH} is forbidden unless resourceVersion is provided")
    if match == "Newest":
        complaints.append(f'{MATCH}: Unsupported value: "Newest": supported values: "", "Exact", "NotOlderThan"')
    if match == "Exact" and version == "0":
        complaints.append(f'{MATCH}: Forbidden: {MATCH} "exact" is forbidden for resourceVersion "0"')
    if complaints:
        said = complaints[0] if len(complaints) == 1 else f"[{', '.join(complaints)}]"
        return 422, f'ListOptions.meta.k8s.io "" is invalid: {said}'
    if said := wrong_number(version):
        return 400, f"invalid resource version: {said}"
    if version == "FUTURE":
        return 504, TOO_LARGE
    exact = match == "Exact" or (not match and limit and version not in (None, "", "0"))
    if exact and version == "GONE":
        return 410, "The resourceVersion for the provided list is too old."
    found = "ab" if exact and version == "OLD" else "abc"
    return 200, found if version == "0" or not limit else found[:limit]


@pytest.mark.parametrize(("version", "match", "limit"), itertools.product(VERSIONS, MATCHES, LIMITS))
async def test_lists(past: Past, version: str | None, match: str | None, limit: int | None) -> None:
    code, expected = listing(version, match, limit)
    asked = past.parameters(version, **{MATCH: match, "limit": limit})
    status, answer = await past.api.ask("GET", f"{past.path}?{asked}")
    assert status == code, answer
    if code == 504:
        expected = expected.format(past.revisions["FUTURE"], await past.api.store.revision())
    if code != 200:
        assert answer["message"] == expected
        return
    assert "".join(item["metadata"]["name"] for item in answer["items"]) == expected
    meta = answer["metadata"]
    exact = match == "Exact" or (not match and limit and version not in (None, "", "0"))
    shown = past.revisions[version] if exact and version else await past.api.store.revision()
    assert meta["resourceVersion"] == str(shown)
    rest = {"continue", "remainingItemCount"} & meta.keys()
    whole = 2 if exact and version == "OLD" else 3
    assert bool(rest) is (len(expected) < whole) and (not rest or meta["remainingItemCount"] == whole - len(expected))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["a", "none"])
async def test_gets(past: Past, version: str | None, name: str) -> None:
    status, answer = await past.api.ask("GET", f"{past.path}/{name}?{past.parameters(version)}")
    if said := wrong_number(version):
        assert (status, answer["message"]) == (400, said)
    elif version == "FUTURE":
        now = await past.api.store.revision()
        assert (status, answer["message"]) == (504, TOO_LARGE.format(past.revisions["FUTURE"], now))
    else:
        assert status == (200 if name == "a" else 404)


@pytest.mark.parametrize("version", ["OLD", "NOW", "", "0"])
@pytest.mark.parametrize("match", [None, "Exact"])
async def test_tokens_and_revisions(past: Past, version: str, match: str | None) -> None:
    token = (await past.api.ok("GET", f"{past.path}?limit=1"))["metadata"]["continue"]
    asked = past.parameters(version, **{"continue": token, MATCH: match})
    status, answer = await past.api.ask("GET", f"{past.path}?{asked}")
    if match:
        assert (status, answer["reason"]) == (422, "Invalid")
    elif version in ("", "0"):
        assert status == 200 and [item["metadata"]["name"] for item in answer["items"]] == ["b", "c"]
    else:
        said = "specifying resource version is not allowed when using continue"
        assert (status, answer["message"]) == (400, said)


def watching(version: str | None, match: str | None, initial: str | None) -> tuple[int, list[str]]:
    """(code, what is told at once: names, BOOKMARK, or ERROR and its code) of a watch that takes bookmarks."""
    if (initial and match != "NotOlderThan") or (match and (not initial or match != "NotOlderThan")):
        return 422, []
    if wrong_number(version):
        return 400, []
    from_state = initial == "true" or (not initial and version in (None, "", "0"))
    if from_state:
        return 200, ["ERROR 504"] if version == "FUTURE" else ["a", "b", "c", "BOOKMARK"]
    if version == "GONE":
        return 200, ["b", "b", "c"]  # the server's own memory reaches back further than the store's
    return 200, ["c"] if version == "OLD" else []


@pytest.mark.parametrize(("version", "match", "initial"), itertools.product(VERSIONS, MATCHES, (None, "true", "false")))
async def test_watches(past: Past, version: str | None, match: str | None, initial: str | None) -> None:
    code, expected = watching(version, match, initial)
    asked = past.parameters(version, **{MATCH: match, "sendInitialEvents": initial, "allowWatchBookmarks": "true"})
    if code != 200:
        status, answer = await past.api.ask("GET", f"{past.path}?{asked}&watch=1")
        assert status == code, answer
        return
    async with past.api.watch(f"{past.path}?{asked}") as watched:
        told = []
        for event in watched.take():
            if event["type"] == "BOOKMARK":
                told.append("BOOKMARK")
                assert event["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
            elif event["type"] == "ERROR":
                told.append(f"ERROR {event['object']['code']}")
            else:
                told.append(event["object"]["metadata"]["name"])
    assert told == expected


async def test_a_watch_from_the_future_waits_for_it(api: Api) -> None:
    path = await api.maps("a")
    future = await api.store.revision() + 2
    async with api.watch(f"{path}?resourceVersion={future}") as watched:
        for name in "bcd":
            await api.ok("POST", path, {"metadata": {"name": name}})
        assert watched.brief() == [("ADDED", "d")]


async def test_a_token_goes_on_where_writes_have_been(api: Api) -> None:
    """Pages are of one moment whatever is written between them, and a limit may change on the way."""
    path = await api.maps("a b c d e")
    first = await api.ok("GET", f"{path}?limit=2")
    await api.ok("DELETE", f"{path}/c")
    await api.ok("POST", path, {"metadata": {"name": "bb"}})
    await api.ok("PUT", f"{path}/d", {"metadata": {"name": "d"}, "data": {"new": "1"}})
    token = first["metadata"]["continue"]
    rest = await api.ok("GET", f"{path}?{query(**{'continue': token})}")
    assert [(item["metadata"]["name"], item.get("data")) for item in rest["items"]] == [
        ("c", None), ("d", None), ("e", None),
    ]  # fmt: skip
    assert rest["metadata"] == {"resourceVersion": first["metadata"]["resourceVersion"]}
    one = await api.ok("GET", f"{path}?{query(**{'continue': token, 'limit': 1})}")
    assert one["metadata"]["remainingItemCount"] == 2
