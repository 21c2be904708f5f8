"""Creating, changing and deleting objects of any kind. Texts are upstream's."""

from __future__ import annotations

from typing import Any

import pytest

from kybern.store.base import Entry, TooLarge
from kybern.testing import builders
from tests.integration.apiserver.inprocess import MERGE, Api, query

pytestmark = pytest.mark.asyncio(loop_scope="module")

STALE = "the object has been modified; please apply your changes to the latest version and try again"


async def deployments(api: Api) -> str:
    """The path of a new namespace's Deployments, of which there is one, `web`."""
    path = f"/apis/apps/v1/namespaces/{await api.ns()}/deployments"
    await api.ok("POST", path, without_namespace(builders.deployment("web")))
    return path


def without_namespace(obj: Any) -> Any:
    return {**obj, "metadata": {k: v for k, v in obj["metadata"].items() if k != "namespace"}}


def meta(obj: Any, *fields: str) -> list[Any]:
    return [obj["metadata"].get(field) for field in fields]


async def test_names_are_generated(api: Api) -> None:
    path = await api.maps("")
    made = [await api.ok("POST", path, {"metadata": {"generateName": "job-"}}) for _ in range(3)]
    names = {one["metadata"]["name"] for one in made}
    assert len(names) == 3
    for name in names:
        assert name.startswith("job-") and len(name) == len("job-") + 5
        assert set(name[4:]) <= set("bcdfghjklmnpqrstvwxz2456789")
    assert made[0]["metadata"]["generateName"] == "job-"
    long = await api.ok("POST", path, {"metadata": {"generateName": "x" * 80}})
    assert len(long["metadata"]["name"]) == 63
    named = await api.ok("POST", path, {"metadata": {"generateName": "job-", "name": "chosen"}})
    assert named["metadata"]["name"] == "chosen"


async def test_what_the_server_fills_in(api: Api) -> None:
    path = await api.maps("")
    forged = {"uid": "mine", "creationTimestamp": "2000-01-01T00:00:00Z", "selfLink": "/x", "generation": 7}
    forged |= {"deletionTimestamp": "2000-01-01T00:00:00Z", "deletionGracePeriodSeconds": 5}
    made = await api.ok("POST", path, {"metadata": {"name": "a", **forged}})
    for field, value in forged.items():
        assert made["metadata"].get(field) != value, field
    assert made["metadata"]["resourceVersion"] == str(await api.store.revision())
    assert (await api.ask("POST", path, {"metadata": {"name": "b"}}))[0] == 201
    said = await api.why(409, "POST", path, {"metadata": {"name": "a"}})
    assert said == 'configmaps "a" already exists'


async def test_a_dry_run_of_any_verb_stores_nothing(api: Api) -> None:
    path, workloads = await api.maps("a b"), await deployments(api)
    before = await api.store.revision()
    dry, merge = "dryRun=All", {"kind": MERGE}
    made = await api.ok("POST", f"{path}?{dry}", {"metadata": {"name": "new"}})
    assert made["metadata"]["uid"] and "resourceVersion" not in made["metadata"]
    changed = await api.ok("PUT", f"{path}/a?{dry}", {"metadata": {"name": "a"}, "data": {"k": "v"}})
    assert changed["data"] == {"k": "v"}
    patched = await api.ok("PATCH", f"{path}/a?{dry}", {"data": {"k": "w"}}, **merge)
    assert patched["data"] == {"k": "w"}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}}
    for name in ("applied", "a"):
        config["metadata"] = {"name": name}
        target = f"{path}/{name}?{dry}&fieldManager=me"
        await api.ok("PATCH", target, config, kind="application/apply-patch+yaml")
    await api.ok("PATCH", f"{workloads}/web/status?{dry}", {"status": {"replicas": 3}}, **merge)
    scaled = await api.ok("PATCH", f"{workloads}/web/scale?{dry}", {"spec": {"replicas": 3}}, **merge)
    assert scaled["spec"]["replicas"] == 3
    assert (await api.ok("DELETE", f"{path}/a?{dry}"))["status"] == "Success"
    await api.ok("DELETE", f"{path}/a", {"dryRun": ["All"]})
    assert len((await api.ok("DELETE", f"{path}?{dry}"))["items"]) == 2
    await api.ok("POST", f"/api/v1/namespaces?{dry}", {"metadata": {"name": "never"}})
    await api.ok("DELETE", f"/api/v1/namespaces/{path.split('/')[4]}?{dry}")
    await api.refused(409, "POST", f"{path}?{dry}", {"metadata": {"name": "a"}})
    await api.refused(422, "POST", f"{path}?{dry}", {"metadata": {"name": "A"}})
    await api.refused(404, "PUT", f"{path}/none?{dry}", {"metadata": {"name": "none"}})
    assert await api.store.revision() == before


@pytest.mark.parametrize(
    ("method", "kind"), [("POST", "CreateOptions"), ("PUT", "UpdateOptions"), ("DELETE", "DeleteOptions")]
)
async def test_dry_run_knows_one_value(api: Api, method: str, kind: str) -> None:
    path = await api.maps("a")
    target = path if method == "POST" else f"{path}/a"
    body = None if method == "DELETE" else {"metadata": {"name": "a"}}
    said = await api.why(422, method, f"{target}?dryRun=Some", body)
    assert said == f'{kind}.meta.k8s.io "" is invalid: dryRun: Unsupported value: ["Some"]: supported values: "All"'


async def test_updates_with_and_without_a_version(api: Api) -> None:
    path = await api.maps("a")
    first = await api.ok("GET", f"{path}/a")
    second = await api.ok("PUT", f"{path}/a", {**first, "data": {"k": "1"}})
    assert int(second["metadata"]["resourceVersion"]) > int(first["metadata"]["resourceVersion"])
    status = await api.refused(409, "PUT", f"{path}/a", {**first, "data": {"k": "2"}})
    assert status["message"] == f'Operation cannot be fulfilled on configmaps "a": {STALE}'
    assert (status["reason"], status["details"]) == ("Conflict", {"name": "a", "kind": "configmaps"})
    third = await api.ok("PUT", f"{path}/a", {"metadata": {"name": "a"}, "data": {"k": "3"}})
    assert meta(third, "uid", "creationTimestamp") == meta(first, "uid", "creationTimestamp")
    assert "labels" not in third["metadata"]
    same = await api.ok("PUT", f"{path}/a", third)
    assert same["metadata"]["resourceVersion"] == third["metadata"]["resourceVersion"]
    said = await api.why(404, "PUT", f"{path}/none", {"metadata": {"name": "none"}})
    assert said == 'configmaps "none" not found'


async def test_an_update_of_another_incarnation_conflicts(api: Api) -> None:
    path = await api.maps("a")
    now = await api.ok("GET", f"{path}/a")
    namespace = path.split("/")[4]
    said = await api.why(409, "PUT", f"{path}/a", {"metadata": {"name": "a", "uid": "other"}})
    assert said == (
        'Operation cannot be fulfilled on configmaps "a": StorageError: invalid object, Code: 4, Key: '
        f"/registry/configmaps/{namespace}/a, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in "
        f"precondition: other, UID in object meta: {now['metadata']['uid']}"
    )


async def test_kinds_that_must_be_updated_by_version_and_kinds_that_updates_create(api: Api) -> None:
    path = f"/apis/coordination.k8s.io/v1/namespaces/{await api.ns()}/leases"
    body = {"metadata": {"name": "l"}, "spec": {"holderIdentity": "me"}}
    assert (await api.ask("PUT", f"{path}/l", body))[0] == 201
    said = await api.why(422, "PUT", f"{path}/l", body)
    assert said == (
        'Lease.coordination.k8s.io "l" is invalid: metadata.resourceVersion: Invalid value: 0: '
        "must be specified for an update"
    )


async def test_a_patch_can_be_bound_to_a_version(api: Api) -> None:
    path = await api.maps("a")
    old = (await api.ok("GET", f"{path}/a"))["metadata"]["resourceVersion"]
    body = {"metadata": {"resourceVersion": old}, "data": {"k": "1"}}
    await api.ok("PATCH", f"{path}/a", body, kind=MERGE)
    said = await api.why(409, "PATCH", f"{path}/a", {**body, "data": {"k": "2"}}, kind=MERGE)
    assert said == f'Operation cannot be fulfilled on configmaps "a": {STALE}'


async def test_spec_and_status_are_written_apart(api: Api) -> None:
    path = await deployments(api)
    now = await api.ok("GET", f"{path}/web")
    assert "status" not in now or now["status"] == {}
    both = {**now, "spec": {**now["spec"], "replicas": 4}, "status": {"replicas": 2, "observedGeneration": 1}}
    main = await api.ok("PUT", f"{path}/web", both)
    assert main["spec"]["replicas"] == 4
    assert not (main.get("status") or {}).get("replicas")
    both["metadata"]["resourceVersion"] = main["metadata"]["resourceVersion"]
    status = await api.ok("PUT", f"{path}/web/status", {**both, "spec": {**now["spec"], "replicas": 9}})
    assert (status["spec"]["replicas"], status["status"]["replicas"]) == (4, 2)
    assert (await api.ok("GET", f"{path}/web/status")) == status
    patched = await api.ok("PATCH", f"{path}/web", {"status": {"replicas": 7}}, kind=MERGE)
    assert patched["status"]["replicas"] == 2
    assert patched["metadata"]["resourceVersion"] == status["metadata"]["resourceVersion"]
    created = without_namespace(builders.deployment("b")) | {"status": {"replicas": 5}}
    assert not (await api.ok("POST", path, created)).get("status")
    assert (await api.ask("PUT", (await api.maps("a")) + "/a/status", {}))[0] == 404


async def test_generation_counts_changes_of_the_spec(api: Api) -> None:
    path = await deployments(api)

    async def after(body: Any, part: str = "") -> int:
        done = await api.ok("PATCH", f"{path}/web{part}", body, kind=MERGE)
        return int(done["metadata"]["generation"])

    assert (await api.ok("GET", f"{path}/web"))["metadata"]["generation"] == 1
    assert await after({"metadata": {"labels": {"a": "b"}}}) == 1
    assert await after({"status": {"replicas": 1}}, "/status") == 1
    assert await after({"spec": {"paused": True}}) == 2
    assert await after({"spec": {"paused": True}}) == 2
    assert await after({"metadata": {"generation": 9, "finalizers": ["a.b/c"]}}) == 2
    gone = await api.ok("DELETE", f"{path}/web")
    assert gone["metadata"]["generation"] == 3
    maps = await api.maps("a")
    assert "generation" not in (await api.ok("GET", f"{maps}/a"))["metadata"]


async def test_deletion_waits_for_finalizers(api: Api) -> None:
    path = await api.maps("")
    await api.ok("POST", path, {"metadata": {"name": "a", "finalizers": ["a.b/c", "a.b/d"]}})
    first = await api.ok("DELETE", f"{path}/a")
    assert (first["kind"], first["metadata"]["deletionGracePeriodSeconds"]) == ("ConfigMap", 0)
    again = await api.ok("DELETE", f"{path}/a")
    assert meta(again, "deletionTimestamp", "resourceVersion") == meta(first, "deletionTimestamp", "resourceVersion")
    body = {"metadata": {"finalizers": ["a.b/c", "a.b/d", "a.b/new"]}}
    said = await api.why(422, "PATCH", f"{path}/a", body, kind=MERGE)
    assert said == (
        'ConfigMap "a" is invalid: metadata.finalizers: Forbidden: no new finalizers can be added if the object is '
        'being deleted, found new finalizers []string{"a.b/new"}'
    )
    await api.ok("PATCH", f"{path}/a", {"metadata": {"finalizers": ["a.b/c"]}}, kind=MERGE)
    said = await api.why(409, "POST", path, {"metadata": {"name": "a"}})
    assert said == 'object is being deleted: configmaps "a" already exists'
    async with api.watch(f"{path}?resourceVersion={await api.store.revision()}") as watched:
        last = await api.ok("PATCH", f"{path}/a", {"metadata": {"finalizers": None}}, kind=MERGE)
        assert watched.brief() == [("DELETED", "a")]
    assert last["metadata"]["name"] == "a"
    await api.refused(404, "GET", f"{path}/a")


@pytest.mark.parametrize(
    ("options", "finalizers"),
    [
        ({}, None),
        ({"propagationPolicy": "Background"}, None),
        ({"propagationPolicy": "Foreground"}, ["foregroundDeletion"]),
        ({"propagationPolicy": "Orphan"}, ["orphan"]),
        ({"orphanDependents": True}, ["orphan"]),
        ({"orphanDependents": False}, None),
    ],
)
async def test_what_becomes_of_dependents(api: Api, options: Any, finalizers: list[str] | None) -> None:
    path = await deployments(api)
    query_options = {key: str(value).lower() if value in (True, False) else value for key, value in options.items()}
    for target, body in ((f"{path}/web", options), (f"{path}/web2?{query(**query_options)}", None)):
        if body is None:
            await api.ok("POST", path, without_namespace(builders.deployment("web2")))
        done = await api.ok("DELETE", target, body)
        if finalizers is None:
            assert (done["kind"], done["status"]) == ("Status", "Success")
        else:
            assert done["metadata"]["finalizers"] == finalizers
            assert done["metadata"]["deletionTimestamp"]


async def test_a_later_policy_replaces_the_earlier(api: Api) -> None:
    path = await deployments(api)
    await api.ok("DELETE", f"{path}/web", {"propagationPolicy": "Foreground"})
    done = await api.ok("DELETE", f"{path}/web", {"propagationPolicy": "Orphan"})
    assert done["metadata"]["finalizers"] == ["orphan"]
    await api.ok("DELETE", f"{path}/web", {"propagationPolicy": "Background"})
    await api.refused(404, "GET", f"{path}/web")


async def test_policies_that_contradict(api: Api) -> None:
    path = await api.maps("a")
    body = {"propagationPolicy": "Orphan", "orphanDependents": True}
    assert await api.why(422, "DELETE", f"{path}/a", body) == (
        'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Invalid value: "Orphan": orphanDependents and '
        "deletionPropagation cannot be both set"
    )


async def test_preconditions_of_deletion(api: Api) -> None:
    path = await api.maps("a")
    uid, version = meta(await api.ok("GET", f"{path}/a"), "uid", "resourceVersion")
    said = await api.why(409, "DELETE", f"{path}/a", {"preconditions": {"uid": "other"}})
    assert said == (
        f'Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (other) does not match the UID '
        f"in record ({uid}). The object might have been deleted and then recreated"
    )
    said = await api.why(409, "DELETE", f"{path}/a", {"preconditions": {"resourceVersion": "1"}})
    assert said == (
        f'Operation cannot be fulfilled on ConfigMap "a": the ResourceVersion in the precondition (1) does not match '
        f"the ResourceVersion in record ({version}). The object might have been modified"
    )
    done = await api.ok("DELETE", f"{path}/a", {"preconditions": {"uid": uid, "resourceVersion": version}})
    assert done["details"] == {"name": "a", "kind": "configmaps", "uid": uid}
    assert await api.why(404, "DELETE", f"{path}/a") == 'configmaps "a" not found'


async def test_collections_are_deleted_by_selector(api: Api) -> None:
    path, other = await api.maps("a b c d"), await api.maps("a")
    done = await api.ok("DELETE", f"{path}?{query(labelSelector='l in (a,b)')}")
    assert (done["kind"], [item["metadata"]["name"] for item in done["items"]]) == ("ConfigMapList", ["a", "b"])
    await api.ok("DELETE", f"{path}?{query(fieldSelector='metadata.name=c')}")
    left = await api.ok("GET", path)
    assert [item["metadata"]["name"] for item in left["items"]] == ["d"]
    await api.ok("PATCH", f"{path}/d", {"metadata": {"finalizers": ["a.b/c"]}}, kind=MERGE)
    await api.ok("DELETE", path)
    assert (await api.ok("GET", f"{path}/d"))["metadata"]["deletionTimestamp"]
    assert len((await api.ok("GET", other))["items"]) == 1
    assert (await api.ask("DELETE", "/api/v1/namespaces"))[0] == 405


FROZEN = "Forbidden: field is immutable when `immutable` is set"


@pytest.mark.parametrize("plural", ["configmaps", "secrets"])
async def test_immutable_data(api: Api, plural: str) -> None:
    path = (await api.maps("")).replace("configmaps", plural)
    kind = {"configmaps": "ConfigMap", "secrets": "Secret"}[plural]
    value = {"configmaps": "v", "secrets": "dg=="}[plural]
    await api.ok("POST", path, {"metadata": {"name": "a"}, "data": {"k": value}, "immutable": True})
    said = await api.why(422, "PATCH", f"{path}/a", {"data": {"k": None}}, kind=MERGE)
    assert said == f'{kind} "a" is invalid: data: {FROZEN}'
    said = await api.why(422, "PATCH", f"{path}/a", {"immutable": False}, kind=MERGE)
    assert said == f'{kind} "a" is invalid: immutable: {FROZEN}'
    await api.ok("PATCH", f"{path}/a", {"metadata": {"labels": {"a": "b"}}}, kind=MERGE)


async def test_immutable_fields(api: Api) -> None:
    path = await deployments(api)
    selector = {
        "spec": {"selector": {"matchLabels": {"app": "other"}}, "template": {"metadata": {"labels": {"app": "other"}}}}
    }
    said = await api.why(422, "PATCH", f"{path}/web", selector, kind=MERGE)
    assert said == (
        'Deployment.apps "web" is invalid: spec.selector: Invalid value: {"matchLabels":{"app":"other"}}: '
        "field is immutable"
    )
    secrets = path.replace("/apis/apps/v1", "/api/v1").replace("deployments", "secrets")
    await api.ok("POST", secrets, {"metadata": {"name": "s"}})
    said = await api.why(422, "PATCH", f"{secrets}/s", {"type": "a.b/c"}, kind=MERGE)
    assert said == 'Secret "s" is invalid: type: Invalid value: "a.b/c": field is immutable'
    said = await api.why(400, "PATCH", f"{secrets}/s", {"metadata": {"name": "t"}}, kind=MERGE)
    assert said == "the name of the object (t) does not match the name on the URL (s)"


async def test_a_namespace_ends_in_two_steps(api: Api) -> None:
    maps = await api.maps("a")
    name = maps.split("/")[4]
    path = f"/api/v1/namespaces/{name}"
    done = await api.ok("DELETE", path)
    assert (done["status"]["phase"], done["spec"]["finalizers"]) == ("Terminating", ["kubernetes"])
    assert await api.why(409, "DELETE", path) == (
        f'Operation cannot be fulfilled on namespaces "{name}": The system is ensuring all content is removed from '
        "this namespace.  Upon completion, this namespace will automatically be purged by the system."
    )
    status = await api.refused(403, "POST", maps, {"metadata": {"name": "b"}})
    assert status["message"] == (
        f'configmaps "b" is forbidden: unable to create new content in namespace {name} because it is being terminated'
    )
    why = f"namespace {name} is being terminated"
    cause = {"reason": "NamespaceTerminating", "message": why, "field": "metadata.namespace"}
    assert status["details"]["causes"] == [cause]
    kept = await api.ok("PUT", path, {"metadata": {"name": name}, "spec": {"finalizers": []}})
    assert kept["spec"]["finalizers"] == ["kubernetes"]
    await api.ok("PUT", f"{path}/finalize", {"metadata": {"name": name}, "spec": {"finalizers": []}})
    await api.refused(404, "GET", path)


async def test_what_is_too_large_with_its_owners_is_stored_without(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    create, update = api.store.create, api.store.update

    def fits(value: bytes) -> None:
        if b"managedFields" in value:
            raise TooLarge

    async def limited_create(key: str, value: bytes, **more: Any) -> Entry:
        fits(value)
        return await create(key, value, **more)

    async def limited_update(key: str, value: bytes, **more: Any) -> Entry:
        fits(value)
        return await update(key, value, **more)

    path = f"/api/v1/namespaces/{await api.ns()}/configmaps"
    before = await api.ok("POST", path, {"metadata": {"name": "before"}, "data": {"k": "v"}})
    monkeypatch.setattr(api.store, "create", limited_create)
    monkeypatch.setattr(api.store, "update", limited_update)
    made = await api.ok("POST", path, {"metadata": {"name": "x"}, "data": {"k": "v"}})
    changed = await api.ok("PUT", f"{path}/before", {**before, "data": {"k": "w"}})
    assert "managedFields" not in made["metadata"] and "managedFields" not in changed["metadata"]
    assert changed["data"] == {"k": "w"}
