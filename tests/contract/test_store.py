"""The contract of every store, run over each implementation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from kybern.store import open_store
from kybern.store.base import (
    Compacted,
    Event,
    FutureRevision,
    KeyExists,
    LeaseNotFound,
    Mismatch,
    Store,
    StoreError,
    StoreUnavailable,
    Watch,
)
from kybern.store.encryption import PLAIN, AesGcm, Cipher, KeyAway
from kybern.store.encryption_store import EncryptedStore
from kybern.testing.etcd import EtcdServers

PODS = "/registry/pods/"


class DistantKeys:
    """A cipher that reverses bytes; the key for each value has to be fetched before it can be opened."""

    def __init__(self) -> None:
        self.known: set[bytes] = set()

    def seal(self, value: bytes, context: bytes) -> bytes:
        return b"k8s:enc:" + value[::-1]

    def open(self, value: bytes, context: bytes) -> tuple[bytes, bool]:
        if value not in self.known:
            raise KeyAway(lambda: self.fetch(value))
        self.known.remove(value)
        return value[len(b"k8s:enc:") :][::-1], False

    async def fetch(self, value: bytes) -> None:
        await asyncio.sleep(0)
        self.known.add(value)


def above(opened: Store, kind: str) -> Store:
    """The store that the test sees, over the one that keeps."""
    ciphers: dict[str, Cipher] = {"encrypted": AesGcm(bytes(32)), "distant": DistantKeys(), "unlisted": PLAIN}
    return EncryptedStore(opened, lambda key: ciphers[kind]) if kind in ciphers else opened


@pytest.fixture(params=["memory", "sqlite", "etcd", "encrypted", "distant", "unlisted"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    servers = EtcdServers(tmp_path, flags=["--max-request-bytes=8388608"])
    if request.param == "etcd":
        await servers.start_all()
    file = str(tmp_path / "store.db")
    locations = {"sqlite": file, "encrypted": file, "etcd": servers.location}
    try:
        opened = above(await open_store(locations.get(request.param, "memory")), request.param)
        yield opened
        await opened.close()
    finally:
        servers.stop()


class Heard:
    """What a watch was told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.lost: list[StoreError] = []

    def on_events(self, events: Sequence[Event]) -> None:
        assert events, "an empty hand-over"
        self.events.extend(events)

    @property
    def brief(self) -> list[tuple[str, str, int]]:
        return [("-" if e.deleted else "+", e.entry.key, e.entry.mod_revision) for e in self.events]


async def watching(store: Store, prefix: str = PODS, after: int = 0) -> tuple[Heard, Watch]:
    heard = Heard()
    return heard, await store.watch(prefix, after=after, on_events=heard.on_events, on_lost=heard.lost.append)


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(30):
        while not await condition():
            await asyncio.sleep(0.01)


async def test_an_empty_store_has_nothing(store: Store) -> None:
    assert await store.get(PODS + "a") is None
    page = await store.list(PODS)
    assert page.entries == []
    assert page.remaining == 0
    assert page.revision == await store.revision()


async def test_create_then_get(store: Store) -> None:
    before = await store.revision()
    entry = await store.create(PODS + "a", b"1")
    assert (entry.key, entry.value, entry.lease) == (PODS + "a", b"1", 0)
    assert entry.create_revision == entry.mod_revision == before + 1
    assert await store.get(PODS + "a") == entry
    assert await store.revision() == before + 1


async def test_values_are_opaque_bytes(store: Store) -> None:
    for name, value in (("empty", b""), ("binary", bytes(range(256))), ("large", b"x" * (3 << 20))):
        await store.create(PODS + name, value)
        found = await store.get(PODS + name)
        assert found is not None
        assert found.value == value


async def test_create_of_an_existing_key(store: Store) -> None:
    entry = await store.create(PODS + "a", b"1")
    with pytest.raises(KeyExists):
        await store.create(PODS + "a", b"2")
    assert await store.get(PODS + "a") == entry
    assert await store.revision() == entry.mod_revision


async def test_update_compares_the_revision(store: Store) -> None:
    made = await store.create(PODS + "a", b"1")
    changed = await store.update(PODS + "a", b"2", expect=made.mod_revision)
    assert changed.value == b"2"
    assert changed.create_revision == made.create_revision
    assert changed.mod_revision == made.mod_revision + 1
    with pytest.raises(Mismatch) as caught:
        await store.update(PODS + "a", b"3", expect=made.mod_revision)
    assert caught.value.current == changed
    with pytest.raises(Mismatch) as caught:
        await store.update(PODS + "b", b"3", expect=changed.mod_revision)
    assert caught.value.current is None
    assert await store.revision() == changed.mod_revision


async def test_delete(store: Store) -> None:
    made = await store.create(PODS + "a", b"1")
    with pytest.raises(Mismatch) as caught:
        await store.delete(PODS + "a", expect=made.mod_revision + 7)
    assert caught.value.current == made
    gone = await store.delete(PODS + "a", expect=made.mod_revision)
    assert (gone.key, gone.value, gone.create_revision) == (PODS + "a", b"1", made.create_revision)
    assert gone.mod_revision == made.mod_revision + 1
    assert await store.get(PODS + "a") is None
    with pytest.raises(Mismatch) as caught:
        await store.delete(PODS + "a")
    assert caught.value.current is None
    again = await store.create(PODS + "a", b"2")
    assert again.create_revision == again.mod_revision == gone.mod_revision + 1
    assert (await store.delete(PODS + "a")).value == b"2"


async def test_list_is_in_byte_order_and_within_the_prefix(store: Store) -> None:
    names = ["b", "a/x", "a-x", "a.x", "a", "é", "zz", "\U0001f600", "\uffee"]
    for name in names:
        await store.create(PODS + name, name.encode())
    await store.create("/registry/podsx/a", b"no")
    await store.create("/registry/pod", b"no")
    page = await store.list(PODS)
    assert [e.value for e in page.entries] == sorted(name.encode() for name in names)
    assert page.revision == await store.revision()
    assert [e.key for e in (await store.list(PODS + "a/")).entries] == [PODS + "a/x"]


async def test_list_in_pages(store: Store) -> None:
    for number in range(10):
        await store.create(f"{PODS}{number}", b"")
    first = await store.list(PODS, limit=4)
    assert [e.key[-1] for e in first.entries] == list("0123")
    assert first.remaining == 6
    second = await store.list(PODS, start=first.entries[-1].key + "\0", limit=4)
    assert [e.key[-1] for e in second.entries] == list("4567")
    assert second.remaining == 2
    third = await store.list(PODS, start=PODS + "8", limit=4)
    assert [e.key[-1] for e in third.entries] == list("89")
    assert third.remaining == 0
    beyond = await store.list(PODS, start=PODS + "zzz", limit=4)
    assert (beyond.entries, beyond.remaining) == ([], 0)


async def test_reads_of_the_past(store: Store) -> None:
    a1 = await store.create(PODS + "a", b"1")
    b1 = await store.create(PODS + "b", b"1")
    a2 = await store.update(PODS + "a", b"2", expect=a1.mod_revision)
    await store.delete(PODS + "b")
    c1 = await store.create(PODS + "c", b"1")
    assert await store.get(PODS + "a", revision=b1.mod_revision) == a1
    assert await store.get(PODS + "b", revision=a1.mod_revision) is None
    assert await store.get(PODS + "b", revision=a2.mod_revision) == b1
    assert await store.get(PODS + "c", revision=a2.mod_revision) is None
    page = await store.list(PODS, revision=a2.mod_revision)
    assert page == ([a2, b1], a2.mod_revision, 0)
    assert (await store.list(PODS, revision=b1.mod_revision, limit=1)) == ([a1], b1.mod_revision, 1)
    assert (await store.list(PODS, revision=c1.mod_revision)).entries == [a2, c1]


async def test_pages_of_one_revision_agree_while_writes_go_on(store: Store) -> None:
    for number in range(6):
        await store.create(f"{PODS}{number}", b"old")
    first = await store.list(PODS, limit=2)
    for entry in (await store.list(PODS)).entries:
        await store.delete(entry.key)
    await store.create(PODS + "35", b"new")
    rest = await store.list(PODS, start=first.entries[-1].key + "\0", limit=10, revision=first.revision)
    assert [(e.key[-1], e.value) for e in rest.entries] == [(n, b"old") for n in "2345"]


async def test_reads_of_the_future(store: Store) -> None:
    entry = await store.create(PODS + "a", b"1")
    with pytest.raises(FutureRevision) as caught:
        await store.get(PODS + "a", revision=entry.mod_revision + 1)
    assert caught.value.current == entry.mod_revision
    with pytest.raises(FutureRevision):
        await store.list(PODS, revision=entry.mod_revision + 1)
    with pytest.raises(FutureRevision):
        await store.compact(entry.mod_revision + 1)


async def test_watch_hears_every_change_in_order(store: Store) -> None:
    heard, watch = await watching(store, after=await store.revision())
    a1 = await store.create(PODS + "a", b"1")
    await store.create("/registry/nodes/n", b"1")
    a2 = await store.update(PODS + "a", b"2", expect=a1.mod_revision)
    gone = await store.delete(PODS + "a")

    async def complete() -> bool:
        await watch.progress()
        return len(heard.events) == 3 and watch.revision >= gone.mod_revision

    await eventually(complete)
    assert heard.events == [Event(False, a1, None), Event(False, a2, a1), Event(True, gone, a2)]
    assert heard.events[2].entry.value == b"2"
    watch.cancel()
    watch.cancel()
    await store.create(PODS + "b", b"1")
    assert len(heard.events) == 3


async def test_watch_resumes_from_a_revision(store: Store) -> None:
    first = await store.create(PODS + "a", b"1")
    second = await store.create(PODS + "b", b"1")
    heard, _ = await watching(store, after=first.mod_revision)
    third = await store.create(PODS + "c", b"1")

    async def complete() -> bool:
        return len(heard.events) == 2

    await eventually(complete)
    assert [e.entry for e in heard.events] == [second, third]


async def test_a_watch_that_begins_in_the_past_has_heard_all_after_progress(store: Store) -> None:
    # Large values: it takes a while until all are told.
    entries = [await store.create(f"{PODS}{number:03}", b"x" * 100_000) for number in range(60)]
    heard, watch = await watching(store, after=entries[0].mod_revision)
    await watch.progress()
    assert [event.entry.key for event in heard.events] == [entry.key for entry in entries[1:]]
    assert watch.revision >= entries[-1].mod_revision


async def test_watch_from_a_revision_to_come(store: Store) -> None:
    now = await store.revision()
    heard, _ = await watching(store, after=now + 1)
    await store.create(PODS + "a", b"1")
    second = await store.create(PODS + "b", b"1")

    async def complete() -> bool:
        return bool(heard.events)

    await eventually(complete)
    assert [e.entry for e in heard.events] == [second]


async def test_watches_do_not_disturb_each_other(store: Store) -> None:
    everything, _ = await watching(store, "/registry/")
    below, _ = await watching(store, PODS + "ns/")

    def broken(events: Sequence[Event]) -> None:
        raise RuntimeError("a watcher's own mistake")

    await store.watch(PODS, after=0, on_events=broken, on_lost=lambda error: None)
    await store.create(PODS + "ns/a", b"1")
    await store.create(PODS + "other/a", b"1")

    async def complete() -> bool:
        return len(everything.events) == 2 and len(below.events) == 1

    await eventually(complete)
    assert below.brief == [("+", PODS + "ns/a", everything.events[0].entry.mod_revision)]


async def test_a_watch_may_cancel_another_from_its_callback(store: Store) -> None:
    late, victim = await watching(store)
    heard = Heard()

    def on_events(events: Sequence[Event]) -> None:
        heard.on_events(events)
        victim.cancel()

    await store.watch(PODS, after=0, on_events=on_events, on_lost=heard.lost.append)
    await store.create(PODS + "a", b"1")
    await store.create(PODS + "b", b"1")

    async def complete() -> bool:
        return len(heard.events) == 2

    await eventually(complete)
    assert len(late.events) <= 1


async def test_compaction(store: Store) -> None:
    a1 = await store.create(PODS + "a", b"1")
    a2 = await store.update(PODS + "a", b"2", expect=a1.mod_revision)
    b1 = await store.create(PODS + "b", b"1")
    a3 = await store.update(PODS + "a", b"3", expect=a2.mod_revision)
    await store.compact(b1.mod_revision)
    await store.compact(a1.mod_revision)
    with pytest.raises(Compacted) as caught:
        await store.get(PODS + "a", revision=a2.mod_revision)
    assert caught.value.compacted == a2.mod_revision
    with pytest.raises(Compacted):
        await store.list(PODS, revision=a1.mod_revision)
    with pytest.raises(Compacted):
        await watching(store, after=a1.mod_revision)
    assert (await store.list(PODS, revision=b1.mod_revision)).entries == [a2, b1]
    assert (await store.list(PODS)).entries == [a3, b1]
    heard, _ = await watching(store, after=a2.mod_revision)

    async def complete() -> bool:
        return len(heard.events) == 2

    await eventually(complete)
    assert [e.entry for e in heard.events] == [b1, a3]


async def test_a_lease_deletes_its_keys(store: Store) -> None:
    lease = await store.grant(0.2)
    longer = await store.grant(600)
    heard, _ = await watching(store)
    bound = await store.create(PODS + "bound", b"1", lease=lease)
    freed = await store.create(PODS + "freed", b"1", lease=lease)
    moved = await store.create(PODS + "moved", b"1", lease=lease)
    await store.update(PODS + "freed", b"2", expect=freed.mod_revision)
    await store.update(PODS + "moved", b"2", expect=moved.mod_revision, lease=longer)
    assert bound.lease == lease

    async def gone() -> bool:
        return await store.get(PODS + "bound") is None and bool(heard.events) and heard.events[-1].deleted

    await eventually(gone)
    assert [e.key for e in (await store.list(PODS)).entries] == [PODS + "freed", PODS + "moved"]
    assert heard.brief[-1][:2] == ("-", PODS + "bound")

    async def refused() -> bool:
        try:
            await store.create(PODS + "late", b"1", lease=lease)
        except LeaseNotFound:
            return True
        await store.delete(PODS + "late")
        return False

    await eventually(refused)


async def test_concurrent_writers_of_one_key_take_turns(store: Store) -> None:
    made = await store.create(PODS + "n", b"0")

    async def increment() -> None:
        current = made
        while True:
            try:
                await store.update(PODS + "n", b"%d" % (int(current.value) + 1), expect=current.mod_revision)
            except Mismatch as conflict:
                assert conflict.current is not None
                current = conflict.current
            else:
                return

    await asyncio.gather(*(increment() for _ in range(20)))
    final = await store.get(PODS + "n")
    assert final is not None
    assert final.value == b"20"
    assert final.mod_revision == made.mod_revision + 20


async def test_concurrent_writers_of_many_keys_get_revisions_of_their_own(store: Store) -> None:
    heard, _ = await watching(store)
    before = await store.revision()
    entries = await asyncio.gather(*(store.create(f"{PODS}{n:03}", b"v") for n in range(200)))
    assert sorted(e.mod_revision for e in entries) == list(range(before + 1, before + 201))

    async def complete() -> bool:
        return len(heard.events) == 200

    await eventually(complete)
    assert [e.entry.mod_revision for e in heard.events] == list(range(before + 1, before + 201))


async def test_of_concurrent_creates_one_wins(store: Store) -> None:
    results = await asyncio.gather(*(store.create(PODS + "a", b"%d" % n) for n in range(10)), return_exceptions=True)
    assert sum(isinstance(r, KeyExists) for r in results) == 9
    winner = next(r for r in results if not isinstance(r, BaseException))
    assert await store.get(PODS + "a") == winner


async def test_a_cancelled_writer_leaves_the_store_whole(store: Store) -> None:
    task = asyncio.ensure_future(store.create(PODS + "a", b"1"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    after = await store.create(PODS + "b", b"1")
    found = await store.get(PODS + "a")
    assert found is None or found.mod_revision < after.mod_revision


async def test_a_closed_store_says_so(store: Store) -> None:
    heard, _ = await watching(store)
    await store.create(PODS + "a", b"1")
    await store.close()
    await store.close()
    assert [type(e) for e in heard.lost] == [StoreUnavailable]
    with pytest.raises(StoreUnavailable):
        await store.create(PODS + "b", b"1")
    with pytest.raises(StoreUnavailable):
        await store.get(PODS + "a")


async def test_it_says_how_large_it_is(store: Store) -> None:
    before = await store.size()
    await store.create(f"{PODS}a", b"x" * 1000)
    assert await store.size() >= max(before, 1000)
