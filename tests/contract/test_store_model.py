"""Any sequence of operations, compared with the plainest model there is: a copy of everything for each revision."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kybern.store import open_store
from kybern.store.base import Compacted, Entry, Event, KeyExists, Mismatch

KEYS = ["/r/a", "/r/a/b", "/r/a-b", "/r/b", "/s/a"]
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
    """One sequence against one store."""

    def __init__(self, location: str) -> None:
        self.location = location
        self.plain = Plain()
        self.heard: list[tuple[int, list[Event]]] = []

    async def play(self, operations: Sequence[tuple[str, int, int]]) -> None:
        self.store = await open_store(self.location)
        for number, (what, which, amount) in enumerate(operations):
            await getattr(self, what)(KEYS[which], amount, b"%d" % number)
        await self.compare()
        await self.store.close()

    async def create(self, key: str, amount: int, value: bytes) -> None:
        if key in self.plain.now:
            with pytest.raises(KeyExists):
                await self.store.create(key, value)
            return
        entry = await self.store.create(key, value)
        assert entry == Entry(key, value, len(self.plain.past), len(self.plain.past))
        self.plain.put(entry)

    async def update(self, key: str, amount: int, value: bytes) -> None:
        current = self.plain.now.get(key)
        if current is None:
            with pytest.raises(Mismatch):
                await self.store.update(key, value, expect=1)
            return
        entry = await self.store.update(key, value, expect=current.mod_revision)
        assert entry == Entry(key, value, current.create_revision, len(self.plain.past))
        self.plain.put(entry)

    async def delete(self, key: str, amount: int, value: bytes) -> None:
        current = self.plain.now.get(key)
        if current is None:
            with pytest.raises(Mismatch):
                await self.store.delete(key)
            return
        entry = await self.store.delete(key)
        assert entry == Entry(key, current.value, current.create_revision, len(self.plain.past))
        self.plain.put(entry, deleted=True)

    async def stale(self, key: str, amount: int, value: bytes) -> None:
        current = self.plain.now.get(key)
        with pytest.raises(Mismatch) as caught:
            await self.store.update(key, value, expect=1000)
        assert caught.value.current == current

    async def compact(self, key: str, amount: int, value: bytes) -> None:
        revision = max(1, (len(self.plain.past) - 1) * amount // 100)
        if len(self.plain.past) > 1:
            await self.store.compact(revision)
            self.plain.compacted = max(self.plain.compacted, revision - 1)

    async def watch(self, key: str, amount: int, value: bytes) -> None:
        after, heard = (len(self.plain.past) - 1) * amount // 100, list[Event]()
        try:
            await self.store.watch("/r/", after=after, on_events=heard.extend, on_lost=lambda error: None)
        except Compacted:
            assert after < self.plain.compacted
        else:
            assert after >= self.plain.compacted
            self.heard.append((after, heard))

    async def reopen(self, key: str, amount: int, value: bytes) -> None:
        if self.location == "memory":
            return
        self.check_heard()
        self.heard.clear()
        await self.store.close()
        self.store = await open_store(self.location)

    def check_heard(self) -> None:
        for after, heard in self.heard:
            expected = [e for e in self.plain.events if e.entry.mod_revision > after and e.entry.key.startswith("/r/")]
            assert heard == expected

    async def compare(self) -> None:
        self.check_heard()
        assert await self.store.revision() == len(self.plain.past) - 1
        for revision in range(len(self.plain.past)):
            if 0 < revision <= self.plain.compacted:
                with pytest.raises(Compacted):
                    await self.store.list("/r/", revision=revision)
                continue
            then = self.plain.past[revision or -1]
            expected = [then[key] for key in sorted(then) if key.startswith("/r/")]
            page = await self.store.list("/r/", revision=revision)
            assert page.entries == expected
            first = await self.store.list("/r/", limit=2, revision=revision)
            assert (first.entries, first.remaining) == (expected[:2], max(0, len(expected) - 2))
            for key in KEYS:
                assert await self.store.get(key, revision=revision) == then.get(key)


@settings(max_examples=100, deadline=None)
@given(st.lists(OPERATION, min_size=10, max_size=40))
def test_memory_does_what_the_plain_model_does(operations: list[tuple[str, int, int]]) -> None:
    asyncio.run(Run("memory").play(operations))


@settings(max_examples=25, deadline=None)
@given(st.lists(OPERATION, min_size=10, max_size=40))
def test_sqlite_does_what_the_plain_model_does(operations: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(Run(f"{directory}/store.db").play(operations))
