"""Every kind, in every version, keeps every field: created, read, replaced, patched, applied and deleted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kybern.api.resource import Resource
from kybern.api.scheme import builtin
from tests.integration.apiserver import filling
from tests.integration.apiserver.inprocess import MERGE, TABLE, Api, serving

NAMESPACE = "filled"
APPLY = "application/apply-patch+yaml"
WATCHED = frozenset({"APIService", "CustomResourceDefinition"})
"""Kinds whose status the server itself writes too."""


def _stored() -> list[tuple[Resource, str]]:
    """The kinds that are stored, in each version."""
    found = sorted(builtin(), key=lambda kind: (kind.group, kind.kind))
    return [(kind, v) for kind in found for v in type(kind).versions if {"create", "get"} <= set(kind.verbs)]


STORED = _stored()
MARK = {"example.com/label": "other"}


@pytest.fixture(scope="module")
async def api() -> AsyncIterator[Api]:
    """A server of all versions, with what filled objects refer to."""
    async with serving(**{"api/all": "true"}) as made:
        labels = {"resource.kubernetes.io/admin-access": "true"}
        await made.ok("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE, "labels": labels}})
        account = {"metadata": {"name": "filled"}}
        await made.ok("POST", f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", account)
        priority = {"metadata": {"name": "filled"}, "value": 1}
        await made.ok("POST", "/apis/scheduling.k8s.io/v1/priorityclasses", priority)
        runtime = {"metadata": {"name": "filled"}, "handler": "runc", "overhead": {"podFixed": {"cpu": "1"}}}
        await made.ok("POST", "/apis/node.k8s.io/v1/runtimeclasses", runtime)
        yield made


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("kind", "version"), STORED, ids=[f"{k.api_version(v)}-{k.kind}" for k, v in STORED])
async def test_keeps_every_field(api: Api, kind: Resource, version: str) -> None:
    definition = filling.by_kind()[(kind.group, version, kind.kind)]
    for variant in range(filling.variants(definition)):
        await _live(api, kind, version, named(kind, version, filling.filled(definition, variant), variant))


def test_every_kind_of_the_schema_is_here() -> None:
    """All that upstream lists, but for what nobody writes."""
    kinds, unwritten = filling.by_kind(), ("APIGroup", "ComponentStatus")
    listed = {one for one in kinds if (*one[:2], f"{one[2]}List") in kinds and one[2] not in unwritten}
    assert listed == {(kind.group, version, kind.kind) for kind, version in STORED}


def test_every_field_is_filled() -> None:
    """The objects above have, all together, every field that there is."""
    wanted, had = set[str](), set[str]()
    for kind, version in STORED:
        definition = filling.by_kind()[(kind.group, version, kind.kind)]
        wanted |= filling.named_fields(definition)
        for variant in range(filling.variants(definition)):
            obj = named(kind, version, filling.filled(definition, variant), variant)
            had |= filling.fields_of(obj, definition)
    assert sorted(wanted - had) == []


async def _live(api: Api, kind: Resource, version: str, obj: Any) -> None:
    """One object's life."""
    ignored = {"stringData"} if kind.status_at_creation or not kind.has_status else {"status", "stringData"}
    sent = {key: value for key, value in obj.items() if key not in ignored}
    created = await api.ok("POST", collection(kind, version), obj)
    path = f"{collection(kind, version)}/{obj['metadata']['name']}"
    _keeps(sent, created)
    if kind.kind not in WATCHED:
        assert await api.ok("GET", path) == created
    table = await api.ok("GET", path, accept=TABLE)
    assert len(table["rows"][0]["cells"]) == len(table["columnDefinitions"])
    if kind.has_status and "status" in obj:
        got = await _put(api, path, "/status", status=obj["status"], labels=MARK, spec=None)
        _keeps({**obj, "metadata": {**obj["metadata"], "labels": {}}}, got)
        labels = obj["metadata"]["labels"] if "labels" in kind.status_keeps else MARK
        assert labels.items() <= got["metadata"]["labels"].items()
        sent = sent if kind.kind in WATCHED else obj
    got = await _put(api, path, labels={**obj["metadata"]["labels"], "more": "put"})
    assert got["metadata"]["labels"]["more"] == "put"
    _keeps(sent, got)
    got = await api.ok("PATCH", path, {"metadata": {"labels": {"more": "patched"}}}, kind=MERGE)
    assert got["metadata"]["labels"]["more"] == "patched"
    _keeps(sent, got)
    applied = {**{key: sent[key] for key in sent if key != "status"}, "apiVersion": kind.api_version(version)}
    got = await api.ok("PATCH", f"{path}?fieldManager=filler&force=true", applied, kind=APPLY)
    _keeps(sent, got)
    assert "Apply" in [entry["operation"] for entry in got["metadata"]["managedFields"]]
    assert got["metadata"].get("generation") == created["metadata"].get("generation")
    await api.ok("PATCH", path, {"metadata": {"finalizers": None}}, kind=MERGE)
    await api.ok("DELETE", f"{path}?gracePeriodSeconds=0&propagationPolicy=Background")
    await _gone(api, kind, path)


def _keeps(sent: Any, got: Any) -> None:
    """Admission may add finalizers."""
    metadata = {key: value for key, value in sent["metadata"].items() if key != "finalizers"}
    lost = filling.lacking({**sent, "metadata": metadata}, got)
    assert set(sent["metadata"]["finalizers"]) <= set(got["metadata"]["finalizers"])
    assert not lost, "\n".join(lost)


async def _put(api: Api, path: str, subresource: str = "", **changed: Any) -> Any:
    """Replace the object, or its status, as it is now but for what changes."""
    async with asyncio.timeout(10):
        while True:
            now = await api.ok("GET", path + subresource)
            now["metadata"]["labels"] = changed.get("labels", now["metadata"]["labels"])
            now |= {key: value for key, value in changed.items() if key != "labels" and value is not None}
            if "spec" in changed:
                now.pop("spec", None)
            code, answer = await api.ask("PUT", path + subresource, now)
            if code != 409:
                assert code == 200, answer["message"]
                return answer


async def _gone(api: Api, kind: Resource, path: str) -> None:
    """The object goes, once what is left to do is done."""
    if kind.kind == "Namespace":
        left = await api.ok("GET", path)
        await api.ok("PUT", f"{path}/finalize", {**left, "spec": {"finalizers": []}})
    async with asyncio.timeout(10):
        while (await api.ask("GET", path))[0] != 404:
            await asyncio.sleep(0.01)


def collection(kind: Resource, version: str) -> str:
    base = f"/apis/{kind.group}/{version}" if kind.group else f"/api/{version}"
    return f"{base}/namespaces/{NAMESPACE}/{kind.plural}" if kind.namespaced else f"{base}/{kind.plural}"


def named(kind: Resource, version: str, obj: Any, variant: int) -> Any:
    metadata: dict[str, Any] = {
        "name": _name(kind, version, variant, obj),
        "labels": {"example.com/label": "value"},
        "annotations": {"example.com/annotation": "any Value"},
        "finalizers": ["example.com/hold"],
        "ownerReferences": [
            {"apiVersion": "v1", "kind": "Node", "name": "owner", "uid": "4ad1cb8f-1f8a-4b5e-9a33-d8a3b6a6a0b1",
             "controller": True, "blockOwnerDeletion": True}
        ],
    }  # fmt: skip
    return {**obj, "apiVersion": kind.api_version(version), "kind": kind.kind, "metadata": metadata}


def _name(kind: Resource, version: str, variant: int, obj: Any) -> str:
    """What it must be called, where a name means something."""
    plain = f"{version}-{variant}"
    match kind.kind:
        case "APIService":
            return f"{obj['spec']['version']}.{obj['spec']['group']}"
        case "ClusterTrustBundle":
            return f"{obj['spec']['signerName'].replace('/', ':')}:{plain}"
        case "CustomResourceDefinition":
            return f"{obj['spec']['names']['plural']}.{obj['spec']['group']}"
        case "IPAddress":
            return f"203.0.113.{len(version)}"
        case "StorageVersion":
            return "apps.deployments"
    return f"filled-{plain}"
