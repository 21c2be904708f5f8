"""When syncs happen, with a backend that only notes them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable

import pytest

from kybern.proxy import proxier as module
from kybern.proxy.base import BackendError, Changed
from kybern.proxy.conntrack import Conntrack
from kybern.proxy.healthcheck import Health, ServiceHealth
from kybern.proxy.proxier import Proxier
from kybern.proxy.services import Services
from tests.unit.proxy.objects import NODE, endpoint, service, slice_of


class Noting:
    """A Backend."""

    def __init__(self) -> None:
        self.syncs: list[Changed] = []
        self.failures = 0
        self.there = True
        self.synced = asyncio.Event()
        self.addresses: tuple[str, ...] = ()

    async def check(self) -> None: ...

    async def sync(self, changed: Changed) -> int:
        self.syncs.append(dict(changed))
        if self.failures:
            self.failures -= 1
            raise BackendError("no")
        self.synced.set()
        return len(changed)

    async def verify(self) -> bool:
        return self.there

    def set_node_addresses(self, addresses: tuple[str, ...]) -> None:
        self.addresses = addresses

    async def cleanup(self) -> None: ...


class Forgetting(Conntrack):
    def __init__(self) -> None:
        super().__init__()
        self.flows: list[tuple[str, ...]] = []

    async def forget(self, flows: Iterable[tuple[str, ...]]) -> None:
        self.flows += flows


@pytest.fixture
def backend() -> Noting:
    return Noting()


@pytest.fixture
async def proxier(backend: Noting, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxier]:
    monkeypatch.setattr(module, "_FIRST_RETRY", 0.01)
    health = Health()
    made = Proxier(Services(NODE), backend, health, ServiceHealth("127.0.0.1", health), Forgetting())
    task = asyncio.ensure_future(made.run())
    await synced(backend)
    yield made
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def synced(backend: Noting) -> None:
    async with asyncio.timeout(10):
        await backend.synced.wait()
    backend.synced.clear()


async def test_it_syncs_at_the_start_though_nothing_is_there(proxier: Proxier, backend: Noting) -> None:
    assert backend.syncs == [{}]
    assert (await proxier.health.answer("/healthz"))[0] == 200


async def test_changes_told_together_are_applied_together(proxier: Proxier, backend: Noting) -> None:
    for name in ("a", "b", "c"):
        proxier.see_service(None, service(name))
        proxier.see_slice(None, slice_of(name, endpoint("10.1.0.1")))
    await synced(backend)
    assert [sorted(name for _, name in sync) for sync in backend.syncs] == [[], ["a", "b", "c"]]


async def test_after_a_failure_everything_is_applied_again(proxier: Proxier, backend: Noting) -> None:
    ports = [{"port": 53, "protocol": "UDP"}]
    published = [{"name": "", "port": 8080, "protocol": "UDP"}]
    one, two = (slice_of("web", endpoint(a), ports=published) for a in ("10.1.0.1", "10.1.0.2"))
    proxier.see_service(None, service(ports=ports))
    proxier.see_slice(None, one)
    await synced(backend)
    backend.failures = 2
    proxier.see_slice(one, two)
    await synced(backend)
    assert [list(sync) for sync in backend.syncs[-3:]] == [[("ns", "web")]] * 3
    await asyncio.sleep(0)
    assert [flow[-1] for flow in proxier._conntrack.flows] == ["10.1.0.1"]  # type: ignore[attr-defined]


async def test_a_table_taken_away_is_put_back(
    backend: Noting, proxier: Proxier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_VERIFY_SECONDS", 0.0)
    backend.there = False
    before = len(backend.syncs)
    proxier.changed()
    await synced(backend)
    await synced(backend)
    assert len(backend.syncs) >= before + 2


async def test_node_addresses_reach_the_backend(proxier: Proxier, backend: Noting) -> None:
    proxier.see_node_addresses(("10.0.0.1",))
    await synced(backend)
    assert backend.addresses == ("10.0.0.1",)
