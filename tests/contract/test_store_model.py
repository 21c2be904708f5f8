"""Any sequence of operations, compared with the plainest model there is: a copy of everything for each revision."""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kybern.store import open_store
from kybern.store.base import Compacted, Entry, Event, KeyExists, Mismatch, StoreError, Watch
from kybern.testing.etcd import EtcdServers

KEYS = ["/registry/r/a", "/registry/r/a/b", "/registry/r/a-b", "/registry/r/b", "/registry/s/a"]
WATCHED = "/registry/r/"
OPERATION = st.tuples(
    st.sampled_from(["create", "update", "update", "delete", "stale", "compact", "watch", "reopen"]),
    st.integers(0, len(KEYS) - 1),
    st.integers(0, 100),
)


class Plain:
    """A copy of everything for each revision."""

    def __init__(self) -> None:
        self.past: list[dict[str, Entry]] = [{}]
        self.compacted = 0
        self.events: list[Event] = []

    @property
    def now(self) -> dict[str, Entry]:
        return self.past[-1]

    def put(self, entry: Entry, *, deleted: bool = False) -> None:
        assert entry.mod_revision == len(self.past)
        self.events.append(Event(deleted, entry, self.now.get(entry.key)))
        after = dict(self.now)
        after.pop(entry.key, None)
        if not deleted:
            after[entry.key] = entry
        self.past.append(after)


class Run:
    """One sequence against one store, in etcd below `prefix`: revisions count from where etcd was at the start."""

    def __init__(self, location: str, prefix: str = "/registry") -> None:
        self.location, self.prefix = location, prefix
        self.plain = Plain()
        self.heard: list[tuple[int, list[Event], list[StoreError], Watch]] = []
        self.start = 0

    async def open(self) -> None:
        self.store = await open_store(self.location, prefix=self.prefix)

    async def play(self, operations: Sequence[tuple[str, int, int]]) -> None:
        await self.open()
        self.start = await self.store.revision()
        for number, (what, which, amount) in enumerate(operations):
            await getattr(self, what)(KEYS[which], amount, b"%d" % number)
        await self.compare()
        await self.store.close()

    async def create(self, key: str, amount: int, value: bytes) -> None:
        if key in self.plain.now:
            with pytest.raises(KeyExists):
                await self.store.create(key, value)
            return
        entry = self.ours(await self.store.create(key, value))
        assert entry == Entry(key, value, len(self.plain.past), len(self.plain.past))
        self.plain.put(entry)

    async def update(self, key: str, amount: int, value: bytes) -> None:
        current = self.plain.now.get(key)
        if current is None:
            with pytest.raises(Mismatch):
                await self.store.update(key, value, expect=1)
            return
        entry = self.ours(await self.store.update(key, value, expect=self.theirs(current.mod_revision)))
        assert entry == Entry(key, value, current.create_revision, len(self.plain.past))
        self.plain.put(entry)

    async def delete(self, key: str, amount: int, value: bytes) -> None:
        current = self.plain.now.get(key)
        if current is None:
            with pytest.raises(Mismatch):
                await self.store.delete(key)
            return
        entry = self.ours(await self.store.delete(key))
        assert entry == Entry(key, current.value, current.create_revision, len(self.plain.past))
        self.plain.put(entry, deleted=True)

    async def stale(self, key: str, amount: int, value: bytes) -> None:
        current = self.plain.now.get(key)
        with pytest.raises(Mismatch) as caught:
            await self.store.update(key, value, expect=1_000_000_000)
        found = caught.value.current
        assert (found and self.ours(found)) == current

    async def compact(self, key: str, amount: int, value: bytes) -> None:
        revision = max(1, (len(self.plain.past) - 1) * amount // 100)
        if len(self.plain.past) > 1:
            await self.store.compact(self.theirs(revision))
            self.plain.compacted = max(self.plain.compacted, revision - 1)

    async def watch(self, key: str, amount: int, value: bytes) -> None:
        after = (len(self.plain.past) - 1) * amount // 100
        heard, lost = list[Event](), list[StoreError]()
        try:
            watch = await self.store.watch(
                WATCHED, after=self.start + after, on_events=heard.extend, on_lost=lost.append
            )
        except Compacted:
            # etcd no longer knows what the oldest revision that it keeps has changed or deleted.
            assert after < self.plain.compacted + ("://" in self.location)
        else:
            assert after >= self.plain.compacted
            self.heard.append((after, heard, lost, watch))

    async def reopen(self, key: str, amount: int, value: bytes) -> None:
        if self.location == "memory":
            return
        await self.check_heard()
        self.heard.clear()
        await self.store.close()
        await self.open()

    async def check_heard(self) -> None:
        latest = await self.store.revision()
        for after, heard, lost, watch in self.heard:
            while watch.revision < latest and not lost:
                await asyncio.sleep(0.005)
            expected = [
                e for e in self.plain.events if e.entry.mod_revision > after and e.entry.key.startswith(WATCHED)
            ]
            if lost:  # compacted away while etcd still told the past
                assert isinstance(lost[0], Compacted)
                assert "://" in self.location
                assert after <= self.plain.compacted
                assert [self.ours_of(event) for event in heard] == expected[: len(heard)]
                continue
            assert [self.ours_of(event) for event in heard] == expected

    def theirs(self, revision: int) -> int:
        return revision + self.start

    def ours(self, entry: Entry) -> Entry:
        shift = self.start
        return replace(entry, create_revision=entry.create_revision - shift, mod_revision=entry.mod_revision - shift)

    def ours_of(self, event: Event) -> Event:
        return Event(event.deleted, self.ours(event.entry), event.previous and self.ours(event.previous))

    async def compare(self) -> None:
        await self.check_heard()
        assert await self.store.revision() == self.theirs(len(self.plain.past) - 1)
        for revision in range(len(self.plain.past)):
            asked = revision and self.theirs(revision)
            if 0 < revision <= self.plain.compacted:
                with pytest.raises(Compacted):
                    await self.store.list(WATCHED, revision=asked)
                continue
            then = self.plain.past[revision or -1]
            expected = [then[key] for key in sorted(then) if key.startswith(WATCHED)]
            page = await self.store.list(WATCHED, revision=asked)
            assert list(map(self.ours, page.entries)) == expected
            first = await self.store.list(WATCHED, limit=2, revision=asked)
            assert (list(map(self.ours, first.entries)), first.remaining) == (expected[:2], max(0, len(expected) - 2))
            for key in KEYS:
                found = await self.store.get(key, revision=asked)
                assert (found and self.ours(found)) == then.get(key)


@settings(max_examples=100, deadline=None)
@given(st.lists(OPERATION, min_size=10, max_size=40))
def test_memory_does_what_the_plain_model_does(operations: list[tuple[str, int, int]]) -> None:
    asyncio.run(Run("memory").play(operations))


@settings(max_examples=25, deadline=None)
@given(st.lists(OPERATION, min_size=10, max_size=40))
def test_sqlite_does_what_the_plain_model_does(operations: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(Run(f"{directory}/store.db").play(operations))


@pytest.mark.timeout(300)
def test_etcd_does_what_the_plain_model_does(tmp_path: Path) -> None:
    servers, count = EtcdServers(tmp_path), itertools.count()

    @settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(OPERATION, min_size=10, max_size=30))
    def check(operations: list[tuple[str, int, int]]) -> None:
        runner.run(Run(servers.location, f"/example-{next(count)}").play(operations))

    with asyncio.Runner() as runner:  # gRPC binds itself to one loop
        try:
            runner.run(servers.start_all())
            check()
        finally:
            servers.stop()
