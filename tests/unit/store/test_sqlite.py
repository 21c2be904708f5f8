"""What the SQLite store adds to the contract: recovery, refusing what isn't a sound store, full disks, upkeep."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from kybern.process.clock import clock
from kybern.store import sqlite_file
from kybern.store.base import Compacted, Entry, Event, KeyExists, Mismatch, StoreUnavailable
from kybern.store.memory import Retention
from kybern.store.sqlite import SqliteStore

EAGER = Retention(events=10, interval=0.01)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "store.db")


async def fill(path: str, count: int = 50) -> list[Entry]:
    store = await SqliteStore.open(path)
    entries = [await store.create(f"/r/{n:03}", b"v%d " % n + b"x" * 2000) for n in range(count)]
    await store.close()
    return entries


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def digest(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


async def test_state_history_and_revisions_survive_a_restart(path: str) -> None:
    store = await SqliteStore.open(path)
    a1 = await store.create("/r/a", b"1")
    b1 = await store.create("/r/b", b"1")
    a2 = await store.update("/r/a", b"2", expect=a1.mod_revision)
    gone = await store.delete("/r/b")
    await store.close()
    store = await SqliteStore.open(path)
    assert await store.revision() == gone.mod_revision
    assert await store.get("/r/a") == a2
    assert await store.get("/r/b") is None
    assert (await store.list("/r/", revision=b1.mod_revision)).entries == [a1, b1]
    heard: list[Event] = []
    await store.watch("/r/", after=b1.mod_revision, on_events=heard.extend, on_lost=lambda error: None)
    assert heard == [Event(False, a2, a1), Event(True, gone, b1)]
    assert (await store.create("/r/c", b"1")).mod_revision == gone.mod_revision + 1
    await store.close()


async def test_compaction_survives_a_restart_and_shrinks_the_file(path: str) -> None:
    store = await SqliteStore.open(path, retention=EAGER)
    entry = await store.create("/r/a", b"x" * 3000)
    other = await store.create("/r/gone", b"x")
    await store.delete("/r/gone")
    for number in range(3000):
        entry = await store.update("/r/a", b"%04d" % number + b"x" * 3000, expect=entry.mod_revision)
        if number % 50 == 0:
            await asyncio.sleep(0.012)
    await eventually(lambda: store.model.compacted >= entry.mod_revision - 10 and not store._garbage)
    assert len(store.model.history) <= 10
    await store.close()
    assert os.path.getsize(path) < 3 << 20, "3000 records of 3 KB were needed for a moment only"
    store = await SqliteStore.open(path)
    assert await store.get("/r/a") == entry
    assert await store.get("/r/gone") is None
    with pytest.raises(Compacted):
        await store.get("/r/gone", revision=other.mod_revision)
    await store.close()


async def test_a_compaction_cut_short_brings_nothing_back(path: str) -> None:
    """Records before the compacted revision that were not deleted yet, in every state a crash can leave."""
    for kept in range(5):
        for leftover in Path(path).parent.glob("store.db*"):
            leftover.unlink()
        store = await SqliteStore.open(path)
        a1 = await store.create("/r/a", b"1")
        a2 = await store.update("/r/a", b"2", expect=a1.mod_revision)
        await store.delete("/r/a", expect=a2.mod_revision)
        last = await store.create("/r/b", b"1")
        garbage = store.model.compact(last.mod_revision)
        assert garbage == [1, 2, 3]
        store._file.discard(store.model.compacted, garbage[:kept])
        await store.close()
        store = await SqliteStore.open(path)
        assert [e.key for e in (await store.list("/r/")).entries] == ["/r/b"]
        assert await store.revision() == last.mod_revision
        await eventually(lambda: not store._garbage)  # noqa: B023
        await store.close()
        with sqlite3.connect(path) as reader:
            assert reader.execute("SELECT revision FROM log").fetchall() == [(last.mod_revision,)]
        reader.close()


async def test_leases_survive_a_restart(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await SqliteStore.open(path)
    short, long = await store.grant(100), await store.grant(10_000)
    await store.create("/r/short", b"1", lease=short)
    kept = await store.create("/r/long", b"1", lease=long)
    await store.close()
    now = clock.time()
    monkeypatch.setattr(clock, "now_fn", lambda: now + 1000)
    store = await SqliteStore.open(path)
    await eventually(lambda: list(store.leases) == [long])
    assert (await store.list("/r/")).entries == [kept]
    assert await store.grant(1) not in (short, long)
    await store.close()


async def test_one_server_per_file(path: str) -> None:
    store = await SqliteStore.open(path)
    with pytest.raises(StoreUnavailable, match=rf"in use by process {os.getpid()}; stop that"):
        await SqliteStore.open(path)
    await store.create("/r/a", b"1")
    await store.close()
    await (await SqliteStore.open(path)).close()


async def refused(path: str, match: str) -> None:
    """Opening fails with one line, and the file stays as it was."""
    before = digest(path)
    with pytest.raises(StoreUnavailable, match=match) as caught:
        await SqliteStore.open(path)
    assert "\n" not in str(caught.value)
    assert path in str(caught.value)
    assert digest(path) == before


async def test_a_file_of_something_else_is_refused(path: str) -> None:
    Path(path).write_text("apiVersion: v1\nkind: Config\n" * 20)
    await refused(path, "not a SQLite file")


async def test_another_programs_database_is_refused(path: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript("CREATE TABLE bookmarks (url TEXT); INSERT INTO bookmarks VALUES ('x');")
    connection.close()
    await refused(path, "another program's")


async def test_a_later_format_is_refused(path: str) -> None:
    await fill(path)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    await refused(path, "has format 2")


async def test_a_truncated_file_is_refused(path: str) -> None:
    await fill(path)
    os.truncate(path, os.path.getsize(path) // 2)
    await refused(path, "is damaged .*restore a backup")


async def test_a_changed_bit_in_a_value_is_noticed(path: str) -> None:
    await fill(path)
    content = bytearray(Path(path).read_bytes())
    at = content.index(b"v17 xxxxxxx") + 500
    content[at] ^= 1
    Path(path).write_bytes(content)
    await refused(path, "is damaged .revision 18 is not what was written")


async def test_overwritten_pages_are_noticed(path: str) -> None:
    await fill(path)
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(b"\xff" * 8192)
    await refused(path, "is damaged")


async def test_a_missing_record_is_noticed(path: str) -> None:
    await fill(path)
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM log WHERE revision = 20")
    connection.commit()
    connection.close()
    await refused(path, "revision 20 is missing")


async def test_a_missing_table_is_noticed(path: str) -> None:
    await fill(path)
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE lease")
    connection.close()
    await refused(path, "table lease")


async def test_a_log_without_its_file_is_refused(path: str) -> None:
    Path(path + "-wal").write_bytes(b"x" * 100)
    with pytest.raises(StoreUnavailable, match="is missing but"):
        await SqliteStore.open(path)
    assert not os.path.exists(path)


async def test_a_place_that_cannot_be_written_is_explained() -> None:
    with pytest.raises(StoreUnavailable, match=r"can.t lock /proc/nowhere/store\.db"):
        await SqliteStore.open("/proc/nowhere/store.db")


async def test_an_empty_file_becomes_a_store(path: str) -> None:
    Path(path).touch()
    await fill(path, 1)


async def test_a_torn_last_transaction_is_as_if_it_never_was(path: str) -> None:
    store = await SqliteStore.open(path)
    for number in range(20):
        await store.create(f"/r/{number}", b"x" * 2000)
    copy = path + ".copy"
    shutil.copy(path, copy)
    shutil.copy(path + "-wal", copy + "-wal")
    await store.close()
    os.truncate(copy + "-wal", os.path.getsize(copy + "-wal") - 100)
    store = await SqliteStore.open(copy)
    assert await store.revision() == 19
    assert await store.get("/r/19") is None
    assert await store.get("/r/18") is not None
    await store.close()


async def test_a_full_disk_fails_the_write_and_nothing_else(path: str) -> None:
    store = await SqliteStore.open(path)
    first = await store.create("/r/a", b"1")
    heard: list[Event] = []
    await store.watch("/r/", after=first.mod_revision, on_events=heard.extend, on_lost=lambda error: None)
    pages = store._file._pragma("page_count")
    store._file._connection.execute(f"PRAGMA max_page_count = {pages}")
    results = await asyncio.gather(
        store.create("/r/b", b"x" * 50_000),
        store.create("/r/b", b"y" * 50_000),
        store.update("/r/a", b"x" * 50_000, expect=first.mod_revision),
        return_exceptions=True,
    )
    for result in results:
        assert isinstance(result, StoreUnavailable)
        assert "no space left" in str(result)
    assert await store.get("/r/a") == first
    assert await store.get("/r/b") is None
    assert await store.revision() == first.mod_revision
    assert heard == []
    store._file._connection.execute("PRAGMA max_page_count = 1000000")
    second = await store.create("/r/b", b"x" * 50_000)
    assert second.mod_revision == first.mod_revision + 1
    assert heard == [Event(False, second, None)]
    await store.close()
    store = await SqliteStore.open(path)
    assert (await store.list("/r/")).entries == [first, second]
    await store.close()


async def test_nothing_is_seen_before_it_is_on_disk(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await SqliteStore.open(path)
    heard: list[Event] = []
    await store.watch("/r/", after=0, on_events=heard.extend, on_lost=lambda error: None)
    held, append = asyncio.Event(), store._file.append
    loop = asyncio.get_running_loop()

    def slow(events: list[Event]) -> None:
        asyncio.run_coroutine_threadsafe(held.wait(), loop).result(30)
        append(events)

    monkeypatch.setattr(store._file, "append", slow)
    first = asyncio.ensure_future(store.create("/r/a", b"1"))
    again = asyncio.ensure_future(store.create("/r/a", b"2"))
    stale = asyncio.ensure_future(store.update("/r/b", b"2", expect=99))
    with pytest.raises(Mismatch):
        await stale
    for _ in range(20):
        await asyncio.sleep(0)
    assert not first.done()
    assert not again.done(), "a refusal may not tell of what isn't durable"
    assert await store.get("/r/a") is None
    assert await store.revision() == 0
    assert heard == []
    held.set()
    assert (await first).mod_revision == 1
    with pytest.raises(KeyExists):
        await again
    assert len(heard) == 1
    await store.close()


async def test_writers_share_commits(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = await SqliteStore.open(path)
    batches: list[int] = []
    append = store._file.append

    def counting(events: list[Event]) -> None:
        batches.append(len(events))
        append(events)

    monkeypatch.setattr(store._file, "append", counting)
    await asyncio.gather(*(store.create(f"/r/{n}", b"v") for n in range(2 * sqlite_file.BATCH + 5)))
    assert batches == [sqlite_file.BATCH, sqlite_file.BATCH, 5]
    await store.close()


async def test_the_write_ahead_log_stays_bounded(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "CHECKPOINT_BYTES", 100_000)
    store = await SqliteStore.open(path)
    for number in range(500):
        await store.create(f"/r/{number}", b"x" * 3000)
    assert os.path.getsize(path + "-wal") < 500_000
    await store.close()
    assert not os.path.exists(path + "-wal")


async def test_close_fails_waiting_writers_and_keeps_what_was_under_way(path: str) -> None:
    store = await SqliteStore.open(path)
    writes = [asyncio.ensure_future(store.create(f"/r/{n:03}", b"v")) for n in range(200)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await store.close()
    results = await asyncio.gather(*writes, return_exceptions=True)
    done = [r.key for r in results if isinstance(r, Entry)]
    assert len(done) + sum(isinstance(r, StoreUnavailable) for r in results) == 200
    store = await SqliteStore.open(path)
    assert [e.key for e in (await store.list("/r/")).entries] == done
    await store.close()
