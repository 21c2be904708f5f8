"""Custom kinds in several versions: what is stored, what each version shows, and webhooks that convert."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from kybern.apiserver.verbs.patch import APPLY
from tests.integration.apiserver.inprocess import MERGE, Api
from tests.integration.apiserver.outside import authority, listening
from tests.integration.apiserver.test_admission_webhooks import hooked, patch

pytestmark = pytest.mark.asyncio(loop_scope="module")
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
TEXT = {"type": "string"}


def schema(**spec: Any) -> dict[str, Any]:
    made = {"type": "object", "properties": {"spec": {"type": "object", "properties": spec}}}
    return {"openAPIV3Schema": made}


def version(name: str, storage: bool, **spec: Any) -> dict[str, Any]:
    return {"name": name, "served": True, "storage": storage, "schema": schema(**spec), "subresources": {"status": {}}}


def definition(group: str, *versions: dict[str, Any], **spec: Any) -> dict[str, Any]:
    names = {"plural": "hosts", "kind": "Host"}
    return {
        "metadata": {"name": f"hosts.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": list(versions), **spec},
    }


async def define(api: Api, crd: dict[str, Any]) -> None:
    await api.ok("POST", CRDS, crd)
    await until(lambda: api.app.registry.scheme.resource(crd["spec"]["group"], "hosts"), "the kind is served")


async def until(check: Callable[[], Any], what: str) -> None:
    for _ in range(500):
        if check():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"waited in vain: {what}")


async def raw(api: Api, group: str) -> dict[str, Any]:
    page = await api.store.list(f"/registry/{group}/hosts/")
    return {entry.key.rpartition("/")[2]: json.loads(entry.value) for entry in page.entries}


class Converter:
    """Makes `spec.host` and `spec.port` (v2) of `spec.hostPort` (v1), and back. `spoil` changes its answers."""

    def __init__(self) -> None:
        self.calls, self.broken, self.delay = 0, False, 0.0
        self.spoil: Callable[[dict[str, Any]], None] = lambda review: None

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.calls += 1
        await asyncio.sleep(self.delay)
        if self.broken:
            return web.Response(status=500, text="broken")
        review = await request.json()
        asked = review["request"]
        made = [self._converted(obj, asked["desiredAPIVersion"]) for obj in asked["objects"]]
        review["response"] = {"uid": asked["uid"], "result": {"status": "Success"}, "convertedObjects": made}
        self.spoil(review)
        return web.json_response(review)

    def _converted(self, obj: dict[str, Any], desired: str) -> dict[str, Any]:
        spec = obj.get("spec") or {}
        if desired.endswith("/v1"):
            made = {"hostPort": f"{spec.get('host', '')}:{spec.get('port', '')}"}
        else:
            made = dict(zip(("host", "port"), spec.get("hostPort", ":").split(":"), strict=True))
        labels = {**obj["metadata"].get("labels", {}), "by": "webhook"}
        return {**obj, "apiVersion": desired, "metadata": {**obj["metadata"], "labels": labels}, "spec": made}


V1, V2 = version("v1", True, hostPort=TEXT), version("v2", False, host=TEXT, port=TEXT)


@asynccontextmanager
async def converting(api: Api, group: str) -> AsyncIterator[tuple[Converter, str]]:
    """A kind with a conversion webhook; and the path of its objects up to the version, and after it."""
    converter = Converter()
    async with listening(converter.answer) as port:
        client = {"url": f"https://127.0.0.1:{port}/convert", "caBundle": authority().bundle}
        webhook = {"clientConfig": client, "conversionReviewVersions": ["v1"]}
        await define(api, definition(group, V1, V2, conversion={"strategy": "Webhook", "webhook": webhook}))
        try:
            yield converter, f"/namespaces/{await api.ns()}/hosts"
        finally:
            converter.broken, converter.spoil = False, lambda review: None
            await api.ok("DELETE", f"{CRDS}/hosts.{group}")
            await until(lambda: not api.app.registry.scheme.resource(group, "hosts"), "the kind is gone")


async def test_each_version_shows_and_stores_what_the_webhook_makes(api: Api) -> None:
    group = "convert.example.com"
    async with converting(api, group) as (converter, path):
        v1, v2 = f"/apis/{group}/v1{path}", f"/apis/{group}/v2{path}"
        async with api.watch(v1) as old, api.watch(v2) as new:
            await api.ok("POST", v1, {"metadata": {"name": "a"}, "spec": {"hostPort": "x:1"}})
            made = await api.ok("POST", v2, {"metadata": {"name": "b"}, "spec": {"host": "y", "port": "2", "no": "z"}})
            assert made["apiVersion"] == f"{group}/v2" and made["spec"] == {"host": "y", "port": "2"}
            assert made["metadata"]["labels"] == {"by": "webhook"}
            await api.ok("PATCH", f"{v2}/a", {"spec": {"port": "9"}}, kind=MERGE)
            await api.ok("DELETE", f"{v2}/b")
            await until(lambda: len(new.events) >= 4 and len(old.events) >= 4, "both watches are told of all")
        specs = [(e["type"], e["object"]["spec"]) for e in new.events if e["type"] != "BOOKMARK"]
        shown = {"host": "x", "port": "1"}, {"host": "y", "port": "2"}, {"host": "x", "port": "9"}
        assert specs == [("ADDED", shown[0]), ("ADDED", shown[1]), ("MODIFIED", shown[2]), ("DELETED", shown[1])]
        assert {e["object"]["apiVersion"] for e in old.events if e["type"] != "BOOKMARK"} == {f"{group}/v1"}
        kept = await raw(api, group)
        assert kept["a"]["apiVersion"] == f"{group}/v1" and kept["a"]["spec"] == {"hostPort": "x:9"}
        listed = await api.ok("GET", v1)
        assert [item["spec"] for item in listed["items"]] == [{"hostPort": "x:9"}]
        assert (await api.ok("GET", f"{v2}/a"))["spec"] == {"host": "x", "port": "9"}
        calls = converter.calls
        for _ in range(5):
            await api.ok("GET", v2)
        assert converter.calls == calls, "reads convert anew"
    page = api.app.telemetry.page().decode()
    base = "apiserver_crd_conversion_webhook_duration_seconds_count"
    count = "apiserver_conversion_webhook_request_total"
    assert f'{base}{{crd_name="hosts.{group}",from_version="{group}/v1",succeeded="true"' in page
    assert f'{count}{{failure_type="",result="success"}}' in page


async def test_a_slow_webhook_hides_no_write_and_changes_no_order(api: Api) -> None:
    group = "slow.example.com"
    async with converting(api, group) as (converter, path):
        v1, v2 = f"/apis/{group}/v1{path}", f"/apis/{group}/v2{path}"
        await api.ok("GET", v2)
        converter.delay = 0.05
        async with api.watch(v2) as new:
            for number in range(5):
                await api.ok("POST", v1, {"metadata": {"name": f"h{number}"}, "spec": {"hostPort": f"h:{number}"}})
            listed = await api.ok("GET", v2)
            assert [item["spec"]["port"] for item in listed["items"]] == ["0", "1", "2", "3", "4"]
            assert int(listed["metadata"]["resourceVersion"]) >= int(listed["items"][-1]["metadata"]["resourceVersion"])
            told = [event["object"]["spec"]["port"] for event in new.take() if event["type"] == "ADDED"]
            assert told == ["0", "1", "2", "3", "4"]
        made = await asyncio.gather(
            *(api.ok("PATCH", f"{v2}/h0", {"metadata": {"annotations": {str(n): "x"}}}, kind=MERGE) for n in range(4))
        )
        assert max(len(obj["metadata"]["annotations"]) for obj in made) == 4


async def test_a_dry_run_and_status_go_by_their_version_too(api: Api) -> None:
    group = "status.example.com"
    async with converting(api, group) as (_, path):
        v2 = f"/apis/{group}/v2{path}"
        dry = await api.ok("POST", f"{v2}?dryRun=All", {"metadata": {"name": "a"}, "spec": {"host": "x", "port": "1"}})
        assert dry["spec"] == {"host": "x", "port": "1"} and await raw(api, group) == {}
        config = {"apiVersion": f"{group}/v2", "kind": "Host", "metadata": {"name": "a"}, "spec": {"host": "h"}}
        apply = {"kind": "application/apply-patch+yaml"}
        made = await api.ok("PATCH", f"{v2}/a?fieldManager=m", config, **apply)
        assert made["metadata"]["managedFields"][0]["apiVersion"] == f"{group}/v2"
        table = await api.ok("GET", v2, accept="application/json;as=Table;v=v1;g=meta.k8s.io")
        assert table["rows"][0]["cells"][0] == "a"


SPOILED: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (lambda r: r["response"].update(uid="x"), 'failed: expected response.uid="'),
    (lambda r: r["response"]["result"].update(status="Failure", message="can't"), "failed: can't"),
    (lambda r: r["response"]["convertedObjects"].clear(), "returned 0 objects, expected 1"),
    (
        lambda r: r["response"]["convertedObjects"][0]["metadata"].update(name="other"),
        "returned invalid converted object at index 0: must have the same name: a != other",
    ),
    (
        lambda r: r["response"]["convertedObjects"][0].update(apiVersion="x/v9"),
        "returned invalid converted object at index 0: invalid groupVersion (expected spoiled",
    ),
    (
        lambda r: r["response"]["convertedObjects"][0]["metadata"].update(labels={"a": "b c"}),
        "returned invalid metadata in object at index 0: metadata.labels: Invalid value",
    ),
]


@pytest.mark.parametrize("index", range(len(SPOILED)))
async def test_an_answer_that_breaks_the_rules_is_refused(api: Api, index: int) -> None:
    group, (spoil, said) = f"spoiled{index}.example.com", SPOILED[index]
    async with converting(api, group) as (converter, path):
        await api.ok("POST", f"/apis/{group}/v1{path}", {"metadata": {"name": "a"}, "spec": {"hostPort": "x:1"}})
        converter.spoil = spoil
        status, answer = await api.ask("GET", f"/apis/{group}/v2{path}/a")
    assert status == 500 and answer["message"].startswith(f"conversion webhook for {group}/v1, Kind=Host {said}")


async def test_metadata_stays_what_it_was(api: Api) -> None:
    group = "meta.example.com"
    async with converting(api, group) as (converter, path):
        converter.spoil = lambda r: r["response"]["convertedObjects"][0]["metadata"].update(finalizers=["x/y"])
        await api.ok("POST", f"/apis/{group}/v1{path}", {"metadata": {"name": "a"}, "spec": {"hostPort": "x:1"}})
        found = await api.ok("GET", f"/apis/{group}/v2{path}/a")
        assert "finalizers" not in found["metadata"] and found["metadata"]["labels"] == {"by": "webhook"}


async def test_a_broken_webhook_is_a_500_until_it_is_well_again(api: Api) -> None:
    group = "broken.example.com"
    async with converting(api, group) as (converter, path):
        v1, v2 = f"/apis/{group}/v1{path}", f"/apis/{group}/v2{path}"
        await api.ok("POST", v1, {"metadata": {"name": "a"}, "spec": {"hostPort": "x:1"}})
        assert len((await api.ok("GET", v2))["items"]) == 1
        converter.broken = True
        await api.ok("POST", v1, {"metadata": {"name": "b"}, "spec": {"hostPort": "y:2"}})
        message = await api.why(500, "GET", v2)
        assert message.startswith(f"conversion webhook for {group}/v1, Kind=Host failed: an error on the server")
        assert len((await api.ok("GET", v1))["items"]) == 2
        converter.broken = False
        assert [item["spec"]["host"] for item in (await api.ok("GET", v2))["items"]] == ["x", "y"]


async def test_objects_stored_in_an_older_version_are_written_anew_by_an_update(api: Api) -> None:
    group = "migrate.example.com"
    old, new = version("v1beta1", True, a=TEXT), version("v1", False, a=TEXT, b={**TEXT, "default": "d"})
    await define(api, definition(group, old, new))
    name, path = f"hosts.{group}", f"/namespaces/{await api.ns()}/hosts"
    await api.ok("POST", f"/apis/{group}/v1beta1{path}", {"metadata": {"name": "x"}, "spec": {"a": "1"}})
    versions = [{**old, "storage": False}, {**new, "storage": True}]
    crd = await api.ok("PATCH", f"{CRDS}/{name}", {"spec": {"versions": versions}}, kind=MERGE)
    assert crd["status"]["storedVersions"] == ["v1beta1", "v1"]
    shown = await api.ok("GET", f"/apis/{group}/v1{path}/x")
    assert shown["apiVersion"] == f"{group}/v1" and shown["spec"] == {"a": "1", "b": "d"}
    assert (await api.ok("GET", f"/apis/{group}/v1beta1{path}/x"))["spec"] == {"a": "1"}
    assert (await raw(api, group))["x"]["apiVersion"] == f"{group}/v1beta1"
    await api.ok("PUT", f"/apis/{group}/v1{path}/x", shown)
    assert (await raw(api, group))["x"]["apiVersion"] == f"{group}/v1"
    status = {"status": {"storedVersions": ["v1beta1"]}}
    message = await api.why(422, "PATCH", f"{CRDS}/{name}/status", status, kind=MERGE)
    assert "must have the storage version v1" in message
    await api.ok("PATCH", f"{CRDS}/{name}/status", {"status": {"storedVersions": ["v1"]}}, kind=MERGE)
    await api.ok("PATCH", f"{CRDS}/{name}", {"spec": {"versions": versions[1:]}}, kind=MERGE)
    assert (await api.ok("GET", f"/apis/{group}/v1{path}/x"))["spec"]["a"] == "1"


async def test_admission_webhooks_see_the_version_they_want(api: Api) -> None:
    group = "admit.example.com"
    rule = {"apiGroups": [group], "apiVersions": ["v2"], "resources": ["hosts"], "operations": ["CREATE"]}

    def decide(asked: dict[str, Any]) -> dict[str, Any]:
        return patch({"op": "replace", "path": "/spec/port", "value": "99"})

    async with converting(api, group) as (_, path), hooked(api, decide, rule=rule) as hook:
        made = await api.ok("POST", f"/apis/{group}/v1{path}", {"metadata": {"name": "a"}, "spec": {"hostPort": "x:1"}})
    asked = hook.asked[0]
    assert asked["object"]["spec"] == {"host": "x", "port": "1"} and asked["kind"]["version"] == "v2"
    assert asked["requestKind"]["version"] == "v1" and made["spec"] == {"hostPort": "x:99"}


async def test_a_list_of_objects_stored_in_several_versions_is_of_one(api: Api) -> None:
    group = "mixed.example.com"
    async with converting(api, group) as (_, path):
        v1, v2 = f"/apis/{group}/v1{path}", f"/apis/{group}/v2{path}"
        await api.ok("POST", v1, {"metadata": {"name": "old"}, "spec": {"hostPort": "x:1"}})
        swapped = {"spec": {"versions": [{**V1, "storage": False}, {**V2, "storage": True}]}}
        await api.ok("PATCH", f"{CRDS}/hosts.{group}", swapped, kind=MERGE)
        await api.ok("POST", v2, {"metadata": {"name": "young"}, "spec": {"host": "y", "port": "2"}})
        kept = await raw(api, group)
        assert {name: obj["apiVersion"] for name, obj in kept.items()} == {"old": f"{group}/v1", "young": f"{group}/v2"}
        assert [one["spec"] for one in (await api.ok("GET", v1))["items"]] == [{"hostPort": "x:1"}, {"hostPort": "y:2"}]
        hosts = [{"host": "x", "port": "1"}, {"host": "y", "port": "2"}]
        assert [one["spec"] for one in (await api.ok("GET", v2))["items"]] == hosts


def owners(obj: Any) -> dict[str, Any]:
    """Manager -> (version, its fields of the spec)."""
    entries = obj["metadata"]["managedFields"]
    return {
        entry["manager"]: (entry["apiVersion"].rpartition("/")[2], set(entry["fieldsV1"].get("f:spec", {})) - {"."})
        for entry in entries
    }


async def test_ownership_is_followed_through_conversions(api: Api) -> None:
    group = "owned.example.com"
    async with converting(api, group) as (converter, path):
        v1, v2 = f"/apis/{group}/v1{path}/a", f"/apis/{group}/v2{path}/a"

        async def apply(target: str, who: str, spec: dict[str, Any], query: str = "", *, code: int = 200) -> Any:
            config = {"apiVersion": "/".join(target.split("/")[2:4]), "kind": "Host", "metadata": {"name": "a"}}
            asked = f"{target}?fieldManager={who}{query}"
            status, answer = await api.ask("PATCH", asked, {**config, "spec": spec}, kind=APPLY)
            assert status == code, answer
            return answer

        made = await apply(v1, "first", {"hostPort": "x:1"}, code=201)
        assert owners(made) == {"first": ("v1", {"f:hostPort"})}
        said = await apply(v2, "second", {"host": "y"}, code=409)
        [cause] = said["details"]["causes"]
        assert cause["field"] == ".spec.hostPort" and cause["message"] == 'conflict with "first"'
        taken = await apply(v2, "second", {"host": "y"}, "&force=true")
        assert taken["spec"] == {"host": "y", "port": "1"}
        assert owners(taken) == {"second": ("v2", {"f:host"})}
        # An update in v1 takes what it changes from who owns it in v2; the port is nobody's.
        changed = await api.ok("PATCH", f"{v1}?fieldManager=third", {"spec": {"hostPort": "y:2"}}, kind=MERGE)
        assert owners(changed) == {"second": ("v2", {"f:host"}), "third": ("v1", {"f:hostPort"})}
        changed = await api.ok("PATCH", f"{v1}?fieldManager=third", {"spec": {"hostPort": "z:2"}}, kind=MERGE)
        assert owners(changed) == {"third": ("v1", {"f:hostPort"})}
        # With everything in one version there is nothing to convert for it.
        await apply(v1, "fourth", {"hostPort": "z:2"})
        calls = converter.calls
        await apply(v1, "fourth", {"hostPort": "z:2"})
        assert converter.calls == calls


async def test_who_applies_in_another_version_gives_up_what_it_leaves_out(api: Api) -> None:
    group = "given.example.com"
    async with converting(api, group) as (_, path):
        v1, v2 = f"/apis/{group}/v1{path}/a", f"/apis/{group}/v2{path}/a"
        config: dict[str, Any] = {"kind": "Host", "metadata": {"name": "a"}}
        two = {**config, "apiVersion": f"{group}/v2"}
        await api.ok("PATCH", f"{v2}?fieldManager=m", {**two, "spec": {"host": "x", "port": "1"}}, kind=APPLY)
        await api.ok("PATCH", f"{v2}?fieldManager=other", {**two, "spec": {"host": "x"}}, kind=APPLY)
        left = await api.ok("PATCH", f"{v1}?fieldManager=m", {**config, "apiVersion": f"{group}/v1"}, kind=APPLY)
        assert left["spec"] == {"hostPort": "x:"}
        assert owners(left) == {"other": ("v2", {"f:host"})}


async def test_ownership_that_cannot_be_converted_is_forgotten_by_updates(api: Api) -> None:
    group = "lost.example.com"
    async with converting(api, group) as (converter, path):
        v1, v2 = f"/apis/{group}/v1{path}", f"/apis/{group}/v2{path}"
        await api.ok("POST", v2, {"metadata": {"name": "a"}, "spec": {"host": "x", "port": "1"}})
        await api.ok("GET", v1)
        converter.broken = True
        changed = await api.ok("PATCH", f"{v1}/a", {"spec": {"hostPort": "y:1"}}, kind=MERGE)
        assert changed["spec"] == {"hostPort": "y:1"} and "managedFields" not in changed["metadata"]
