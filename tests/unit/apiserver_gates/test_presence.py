"""Several servers over one store are the endpoints of `kubernetes`, as long as they are there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from kybern.api.scheme import builtin
from kybern.apiserver import presence
from kybern.apiserver.app import App
from kybern.apiserver.bootstrap import Bootstrap
from kybern.apiserver.presence import Presence
from kybern.apiserver.registry import Registry
from kybern.store.memory import MemoryStore

SERVICE = ("10.96.0.1",)


@pytest.fixture
async def registry() -> AsyncIterator[Registry]:
    made = Registry(builtin(), MemoryStore())
    yield made
    await made.close()


async def start(registry: Registry, address: str) -> Presence:
    await Bootstrap(App(registry), address, 6443, SERVICE, alone=False).run()
    made = Presence(registry, address, 6443)
    await made.start()
    return made


async def addresses(registry: Registry) -> list[str]:
    """Those of the slice; the Endpoints must say the same."""
    found = []
    for group, plural in (("", "endpoints"), ("discovery.k8s.io", "endpointslices")):
        resource = registry.scheme.resource(group, plural)
        assert resource is not None
        obj = await registry.get(resource, "default", "kubernetes")
        if "subsets" in obj:
            found.append([address["ip"] for address in obj["subsets"][0]["addresses"]])
        else:
            found.append([endpoint["addresses"][0] for endpoint in obj["endpoints"]])
    assert found[0] == found[1]
    return found[0]


async def test_all_that_are_there_are_endpoints(registry: Registry) -> None:
    first, second = await start(registry, "10.0.0.2"), await start(registry, "10.0.0.1")
    assert await addresses(registry) == ["10.0.0.1", "10.0.0.2"]
    await first.stop()
    assert await addresses(registry) == ["10.0.0.1"]
    await second.stop()
    assert await addresses(registry) == ["10.0.0.1"], "the last one stays: there is nobody to take it away"


async def test_endpoints_that_somebody_deletes_come_back(registry: Registry) -> None:
    first = await start(registry, "10.0.0.1")
    for group, plural in (("", "endpoints"), ("discovery.k8s.io", "endpointslices")):
        resource = registry.scheme.resource(group, plural)
        assert resource is not None
        await registry.delete(resource, "default", "kubernetes")
    second = Presence(registry, "10.0.0.2", 6443)
    await second.start()
    assert await addresses(registry) == ["10.0.0.1", "10.0.0.2"]
    for each in (first, second):
        await each.stop()


async def test_one_that_is_lost_is_taken_away_by_the_others(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "TIME_TO_LIVE", 0.3)
    monkeypatch.setattr(presence, "RENEW_EVERY", 0.1)
    lost, stays = await start(registry, "10.0.0.1"), await start(registry, "10.0.0.2")
    assert lost._task is not None
    lost._task.cancel()
    for _ in range(100):
        if await addresses(registry) == ["10.0.0.2"]:
            break
        await asyncio.sleep(0.05)
    assert await addresses(registry) == ["10.0.0.2"]
    await stays.stop()
