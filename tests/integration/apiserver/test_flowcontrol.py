"""Flow schemas and priority levels as objects, and what they do to requests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from kybern.api.flowcontrol import bootstrap
from kybern.apiserver import bootstrap_flowcontrol, httplog
from kybern.apiserver.flowcontrol.control import FlowControl
from kybern.apiserver.flowcontrol.inflight import Inflight
from kybern.apiserver.request import Stream
from tests.integration.apiserver.inprocess import MERGE, TABLE, Api, Watched, serving

BASE = "/apis/flowcontrol.apiserver.k8s.io/v1"
SCHEMAS, LEVELS = f"{BASE}/flowschemas", f"{BASE}/prioritylevelconfigurations"
RULE = {
    "subjects": [{"kind": "User", "user": {"name": "slow"}}],
    "resourceRules": [
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": True}
    ],
}
NARROW = {"type": "Limited", "limited": {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}}}


@pytest.fixture
async def own() -> AsyncIterator[Api]:
    """A server of the test's own."""
    async with serving() as made:
        yield made


def flows(api: Api) -> FlowControl:
    assert isinstance(api.app.flows, FlowControl)
    return api.app.flows


async def until(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.005)


async def dangling(api: Api, name: str) -> dict[str, Any]:
    """The condition of a schema, once it has one."""
    async with asyncio.timeout(5):
        while True:
            found = (await api.ok("GET", f"{SCHEMAS}/{name}")).get("status") or {}
            for condition in found.get("conditions") or ():
                return dict(condition)
            await asyncio.sleep(0.01)


def schema(name: str, level: str, **spec: Any) -> dict[str, Any]:
    made = {"priorityLevelConfiguration": {"name": level}, "matchingPrecedence": 50, "rules": [RULE], **spec}
    return {"metadata": {"name": name}, "spec": made}


async def test_every_cluster_has_them_and_none_dangles(api: Api) -> None:
    async def conditions() -> list[str]:
        found = (await api.ok("GET", SCHEMAS))["items"]
        assert {obj["metadata"]["name"] for obj in found} >= {o["metadata"]["name"] for o in bootstrap.flow_schemas()}
        return [c["status"] for obj in found for c in (obj.get("status") or {}).get("conditions", ())]

    async with asyncio.timeout(5):
        while len(told := await conditions()) < len(bootstrap.flow_schemas()):
            await asyncio.sleep(0.01)
    assert set(told) == {"False"}
    rows = (await api.ok("GET", SCHEMAS, accept=TABLE))["rows"]
    assert ["probes", "exempt", "2", "<none>"] in [row["cells"][:4] for row in rows]
    rows = (await api.ok("GET", LEVELS, accept=TABLE))["rows"]
    assert ["workload-low", "Limited", "100", "128", "6", "50"] in [row["cells"][:6] for row in rows]


async def test_defaults(api: Api) -> None:
    queuing = {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {}}}}
    made = await api.ok("POST", LEVELS, {"metadata": {"name": "defaulted"}, "spec": queuing})
    assert made["spec"]["limited"] == {
        "nominalConcurrencyShares": 30,
        "lendablePercent": 0,
        "limitResponse": {"type": "Queue", "queuing": {"queues": 64, "handSize": 8, "queueLengthLimit": 50}},
    }
    spec = {"priorityLevelConfiguration": {"name": "defaulted"}}
    made = await api.ok("POST", SCHEMAS, {"metadata": {"name": "defaulted"}, "spec": spec})
    assert made["spec"]["matchingPrecedence"] == 1000


@pytest.mark.parametrize(
    ("path", "name", "spec", "said"),
    [
        (SCHEMAS, "x", {}, "spec.priorityLevelConfiguration.name: Required value: must reference a priority level"),
        (SCHEMAS, "x", {"matchingPrecedence": 1}, "only the schema named 'exempt' may have matchingPrecedence 1"),
        (SCHEMAS, "x", {"matchingPrecedence": 10001}, "must not be greater than 10000"),
        (SCHEMAS, "x", {"distinguisherMethod": {"type": "ByShoe"}}, 'supported values: "ByNamespace", "ByUser"'),
        (SCHEMAS, "x", {"rules": [{**RULE, "subjects": []}]}, "subjects must contain at least one value"),
        (SCHEMAS, "x", {"rules": [{"subjects": RULE["subjects"]}]},
         "at least one of resourceRules and nonResourceRules has to be non-empty"),
        (SCHEMAS, "x", {"rules": [{"subjects": [{"kind": "Group", "user": {"name": "u"}}],
                                   "nonResourceRules": [{"verbs": ["eat"], "nonResourceURLs": ["/a//b"]}]}]},
         "group is required when subject kind is 'Group'"),
        (LEVELS, "x", {"type": "Exempt"}, "type must be 'Exempt' if and only if name is 'exempt'"),
        (LEVELS, "x", {"type": "Limited"}, "spec.limited: Required value: must not be empty when type is Limited"),
        (LEVELS, "x", {"type": "Limited", "limited": {"lendablePercent": 101, "limitResponse": {"type": "Reject"}}},
         "must be between 0 and 100, inclusive"),
        (LEVELS, "x", {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {
            "queues": 10_000_000, "handSize": 9}}}}, "required entropy bits of deckSize 10000000 and handSize 9"),
        (LEVELS, "x", {"type": "Limited", "limited": {"limitResponse": {"type": "Queue", "queuing": {
            "queues": 4, "handSize": 5}}}}, "should not be greater than queues (4)"),
    ],
)  # fmt: skip
async def test_what_is_refused(api: Api, path: str, name: str, spec: dict[str, Any], said: str) -> None:
    assert said in await api.why(422, "POST", path, {"metadata": {"name": name}, "spec": spec})


async def test_mandatory_objects_keep_their_spec_but_for_what_exempt_lends(api: Api) -> None:
    why = await api.why(422, "PATCH", f"{SCHEMAS}/catch-all", {"spec": {"matchingPrecedence": 9999}}, kind=MERGE)
    assert "spec of 'catch-all' must equal the fixed value" in why
    why = await api.why(422, "PATCH", f"{LEVELS}/catch-all", {"spec": {"limited": {"lendablePercent": 3}}}, kind=MERGE)
    assert "spec of 'catch-all' must equal the fixed value" in why
    await api.ok("PATCH", f"{LEVELS}/exempt", {"spec": {"exempt": {"nominalConcurrencyShares": 7}}}, kind=MERGE)
    await until(lambda: flows(api).levels["exempt"].shares == 7)


async def test_maintenance_restores_what_is_ours_and_leaves_what_was_taken_over(own: Api) -> None:
    await own.ok("DELETE", f"{SCHEMAS}/catch-all")
    await own.ok("PATCH", f"{SCHEMAS}/probes", {"spec": {"matchingPrecedence": 3}}, kind=MERGE)
    note = {"metadata": {"annotations": {bootstrap.AUTOUPDATE: "false"}}, "spec": {"matchingPrecedence": 950}}
    await own.ok("PATCH", f"{SCHEMAS}/kube-scheduler", note, kind=MERGE)
    wanted = {obj["metadata"]["name"]: obj for obj in bootstrap.flow_schemas()}
    probes, mine = [await own.ok("GET", f"{SCHEMAS}/{name}") for name in ("probes", "kube-scheduler")]
    mended = bootstrap_flowcontrol.mend(probes, wanted["probes"])
    assert mended and mended["spec"]["matchingPrecedence"] == 2 and mended["metadata"]["generation"] == 3
    assert bootstrap_flowcontrol.mend(mine, wanted["kube-scheduler"]) is None
    # Though the object is gone, requests are sorted as if it were there.
    status, _ = await own.ask("GET", "/api/v1/namespaces", who="someone")
    assert status == 403


async def test_answers_name_their_schema_and_level(api: Api) -> None:
    response = await api.respond("GET", "/api/v1/namespaces/none", who="someone")
    headers = dict(response.headers)
    named = {obj["metadata"]["uid"] for obj in (await api.ok("GET", SCHEMAS))["items"]}
    assert headers["x-kubernetes-pf-flowschema-uid"] in named
    level = await api.ok("GET", f"{LEVELS}/global-default")
    assert headers["x-kubernetes-pf-prioritylevel-uid"] == level["metadata"]["uid"]


async def test_a_full_level_answers_429_with_a_time_and_others_go_on(own: Api) -> None:
    await own.ok("POST", LEVELS, {"metadata": {"name": "narrow"}, "spec": NARROW})
    await own.ok("POST", SCHEMAS, schema("slow", "narrow"))
    await dangling(own, "slow")
    level = flows(own).levels["narrow"]
    held = asyncio.Event()
    permit = own.app.authorizers[0].authorize

    async def slowly(user: Any, info: Any) -> Any:
        await held.wait()
        return await permit(user, info)

    own.app.authorizers[0].authorize = slowly  # type: ignore[method-assign]
    first = [asyncio.ensure_future(own.respond("GET", "/api/v1/nodes", who="slow")) for _ in range(level.limit)]
    await until(lambda: level.executing == len(first))
    response = await own.respond("GET", "/api/v1/nodes", who="slow")
    headers = dict(response.headers)
    assert (response.status, response.body) == (429, b"Too many requests, please try again later.\n")
    assert headers["retry-after"] == "1" and headers["x-kubernetes-pf-prioritylevel-uid"] == level.uid
    held.set()
    assert {(await each).status for each in first} == {403}
    assert level.idle and level.seats_in_use == 0
    assert own.app.running == {False: 0, True: 0}
    page = own.app.telemetry.page().decode()
    wanted = 'rejected_requests_total{flow_schema="slow",priority_level="narrow",reason="concurrency-limit"} 1.0'
    assert wanted in page


async def test_a_schema_whose_level_is_missing_says_so_and_is_passed_over(own: Api) -> None:
    await own.ok("POST", SCHEMAS, schema("lost", "nowhere"))
    told = await dangling(own, "lost")
    assert (told["type"], told["status"], told["reason"]) == ("Dangling", "True", "NotFound")
    assert told["message"].endswith('object named "nowhere" but there is no such object')
    assert (await own.ask("GET", "/api/v1/nodes", who="slow"))[0] == 403


async def test_requests_are_logged_from_verbosity_three_on(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    await api.ok("GET", "/api/v1/nodes")
    assert not caplog.records
    with caplog.at_level(httplog.LEVEL):
        await api.ok("GET", "/api/v1/nodes?limit=1", user_agent="me/1")
    (record,) = [record for record in caplog.records if record.name == httplog.__name__]
    said = record.__dict__["kybern_fields"]
    assert (record.message, said["verb"], said["URI"], said["resp"]) == ("HTTP", "LIST", "/api/v1/nodes?limit=1", 200)
    assert (said["apf_pl"], said["apf_fs"]) == ("exempt", "exempt")
    assert said["userAgent"] == "me/1" and len(said["audit-ID"]) == 36 and said["latency"].endswith("ms")


async def test_dumps(api: Api) -> None:
    status, text = await api.ask("GET", "/debug/api_priority_and_fairness/dump_priority_levels")
    lines = text.splitlines()
    assert status == 200 and lines[0].split(",")[0] == "PriorityLevelName"
    assert any(line.startswith("workload-high,") for line in lines)
    status, text = await api.ask("GET", "/debug/api_priority_and_fairness/dump_queues")
    assert status == 200 and sum(line.startswith("workload-low,") for line in text.splitlines()) == 128
    status, text = await api.ask("GET", "/debug/api_priority_and_fairness/dump_requests?includeRequestDetails=1")
    assert status == 200 and text.rstrip().endswith("SubResource")


async def test_without_it_the_two_limits_hold_but_for_masters(own: Api) -> None:
    own.app.running[False] = 1
    own.app.flows = Inflight(own.app.running, 1, 1)
    response = await own.respond("GET", "/api/v1/nodes", who="someone")
    assert response.status == 429 and ("retry-after", "1") in response.headers
    assert (await own.respond("GET", "/api/v1/nodes")).status == 200
    assert (await own.respond("DELETE", "/api/v1/nodes/none")).status == 404


async def test_a_watch_keeps_its_seat_until_it_has_told_what_there_was(own: Api) -> None:
    path = await own.maps("a b")
    exempt = flows(own).levels["exempt"]

    async def watch() -> Stream:
        response = await own.respond("GET", f"{path}?watch=1")
        assert isinstance(response, Stream)
        return response

    slow = await watch()
    told = Watched(slow)
    told.congested = True
    slow.start(told)
    assert (exempt.executing, own.app.running[False], told.events) == (1, 1, [])
    told.congested = False
    slow.resumed()
    assert (exempt.executing, own.app.running[False]) == (0, 0)
    assert [name for _, name in told.brief()] == ["a", "b"]
    slow.closed()
    gone = await watch()
    assert exempt.executing == 1
    gone.closed()
    assert (exempt.executing, own.app.running[False]) == (0, 0)
