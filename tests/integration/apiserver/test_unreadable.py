"""A value that another server wrote with a key that this one lacks: who watches starts over, and hears why."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kybern.api.scheme import builtin
from kybern.apiserver.app import App
from kybern.apiserver.gates import GateOptions, Gates
from kybern.apiserver.registry import Registry
from kybern.store.encryption import AesGcm, Prefixed
from kybern.store.encryption_store import EncryptedStore
from kybern.store.memory import MemoryStore
from tests.integration.apiserver.inprocess import Api, NamedUsers

MAPS = "/api/v1/namespaces/default/configmaps"
PLACE = "/registry/configmaps/"
OURS = (b"k8s:enc:aesgcm:v1:ours:", AesGcm(bytes(32)))
THEIRS = (b"k8s:enc:aesgcm:v1:theirs:", AesGcm(bytes(31) + b"2"))
WHY = "no matching prefix found"


class Both:
    """One store, seen by this server and by another that has both keys."""

    def __init__(self) -> None:
        self.inner = MemoryStore()
        self.store = EncryptedStore(self.inner, lambda key: Prefixed([OURS]))
        self.other = EncryptedStore(self.inner, lambda key: Prefixed([THEIRS, OURS]))

    async def rewrite(self, name: str, store: EncryptedStore) -> None:
        """Write a map again, as a server that sees this store would."""
        entry = await self.other.get(f"{PLACE}default/{name}")
        assert entry is not None
        await store.update(entry.key, entry.value, expect=entry.mod_revision)


@pytest.fixture
def both() -> Both:
    return Both()


@pytest.fixture
async def api(both: Both) -> AsyncIterator[Api]:
    app = App(Registry(builtin(), both.store, outdated=both.store.outdated))
    app.authenticators.append(NamedUsers())
    gates = Gates(app, GateOptions())
    await gates.start()
    yield Api(app, both.inner)
    await gates.stop()
    await app.registry.close()
    await both.store.close()


async def test_a_value_becomes_unreadable_and_readable_again(both: Both, api: Api) -> None:
    for name in ("a", "b"):
        await api.ok("POST", MAPS, {"metadata": {"name": name}})
    resource = builtin().resource("", "configmaps")
    assert resource is not None
    known: list[str] = []
    lister = api.app.registry.lister("", "configmaps")
    lister.on_change(lambda old, new: known.append(("+" if new else "-") + (new or old or {})["metadata"]["name"]))
    known.clear()
    async with api.watch(MAPS) as watched:
        watched.take()
        await both.rewrite("a", both.other)
        assert watched.done.is_set()
        assert watched.take() == []
    assert known == ["-a"] and lister.get("default", "a") is None
    listed = f'Internal error occurred: unable to transform key "{PLACE}default/a": {WHY}'
    assert await api.why(500, "GET", MAPS) == listed
    assert await api.why(500, "GET", f"{MAPS}?watch=1") == listed
    assert await api.why(500, "DELETE", MAPS) == listed
    assert await api.why(500, "GET", f"{MAPS}/a") == f"Internal error occurred: {WHY}"
    assert (await api.ok("GET", f"{MAPS}/b"))["metadata"]["name"] == "b"
    assert (await api.ok("GET", "/api/v1/namespaces/kube-system/configmaps"))["items"] is not None
    await both.rewrite("a", both.store)
    assert sorted(item["metadata"]["name"] for item in (await api.ok("GET", MAPS))["items"])[:2] == ["a", "b"]
    assert known[-1] == "+a"


async def test_an_unreadable_value_that_another_deletes_is_gone(both: Both, api: Api) -> None:
    await api.ok("POST", MAPS, {"metadata": {"name": "a"}})
    await both.rewrite("a", both.other)
    await api.refused(500, "GET", f"{MAPS}/a")
    await both.other.delete(f"{PLACE}default/a")
    await api.refused(404, "GET", f"{MAPS}/a")
    await api.ok("GET", MAPS)
