"""`kybern store migrate`: from a file to etcd and back, as the operator runs it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.contract.test_store import PODS, watching

from kybern.process.daemon import OperatorError
from kybern.store import open_store
from kybern.store.base import Compacted, Entry, Store, TooLarge
from kybern.store.command import location_of
from kybern.store.encryption import AesGcm, Prefixed
from kybern.store.encryption_store import EncryptedStore
from kybern.store.migrate import migrate
from kybern.testing.etcd import EtcdServers

COUNT = 1203
SECRET = Prefixed([(b"k8s:enc:aesgcm:v1:k:", AesGcm(bytes(32)))])


@pytest.fixture
async def servers(tmp_path: Path) -> AsyncIterator[EtcdServers]:
    made = EtcdServers(tmp_path)
    try:
        await made.start_all()
        yield made
    finally:
        made.stop()


async def fill(store: Store) -> dict[str, bytes]:
    """More than a page of keys, some of them with a history, and two that will expire."""
    for number in range(COUNT):
        entry = await store.create(f"{PODS}{number:05}", b"old" if number % 2 else b'{"kind":"Pod"}')
        if number % 2:
            await store.update(entry.key, b"%d" % number, expect=entry.mod_revision)
    gone = await store.create(PODS + "gone", b"")
    await store.delete(gone.key)
    lease = await store.grant(500)
    for name in ("a", "b"):
        await store.create(f"/registry/events/{name}", b"{}", lease=lease)
    return {entry.key: entry.value for entry in (await store.list("/registry/")).entries}


async def run(*args: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "kybern", "store", "migrate", *args]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=100)
    return done.returncode, done.stdout, done.stderr


async def check_taken_over(target: Store, held: dict[str, bytes], revision: int) -> None:
    entries = (await target.list("/registry/")).entries
    assert {entry.key: entry.value for entry in entries} == held
    assert min(entry.mod_revision for entry in entries) > revision
    with pytest.raises(Compacted):
        await watching(target, after=revision)
    leases = {entry.lease for entry in entries if entry.key.startswith("/registry/events/")}
    assert len(leases) == 1
    assert 400 < await target.remaining(leases.pop()) <= 500
    assert {entry.lease for entry in entries if entry.key.startswith(PODS)} == {0}
    made = await target.create(PODS + "new", b"1")
    assert made.mod_revision > max(entry.mod_revision for entry in entries)
    await target.delete(made.key)


async def test_to_etcd_and_back(servers: EtcdServers, tmp_path: Path) -> None:
    path, back = str(tmp_path / "store.db"), str(tmp_path / "back.db")
    source = await open_store(path)
    held = await fill(source)
    first = await source.revision()
    await source.close()

    code, out, errors = await run("--from", f"sqlite://{path}", "--to", servers.location, "--etcd-prefix=/k")
    assert (code, errors) == (0, "")
    assert f"{COUNT + 2} of {COUNT + 2} keys copied\n" in out
    middle = await open_store(servers.location, prefix="/k")
    await check_taken_over(middle, held, first)
    second = await middle.revision()
    await middle.close()

    code, _, errors = await run("--from", servers.location, "--to", back, "--etcd-prefix=/k")
    assert (code, errors) == (0, "")
    for _ in range(2):  # also after the file was opened anew
        last = await open_store(back)
        await check_taken_over(last, held, second)
        await last.close()


async def test_what_is_refused(servers: EtcdServers, tmp_path: Path) -> None:
    path = str(tmp_path / "store.db")
    source, target = await open_store(path), await open_store(servers.location)
    await source.create(PODS + "a", b"1")
    await target.create(PODS + "b", b"2")
    nowhere = str(tmp_path / "nowhere.db")
    pairs = {
        (path, servers.location): "is in use by process",
        (servers.location, path): "is in use by process",
        (nowhere, servers.location): f"{nowhere}: no such file",
        (path, path): "--from and --to are the same store",
        ("memory", path): "'memory' is no store to keep anything in",
        (path, "http://127.0.0.1:nine"): "is no endpoint of etcd",
    }
    for (old, new), said in pairs.items():
        if "in use" not in said:
            await source.close()
        code, _, errors = await run("--from", old, "--to", new)
        assert code == 1
        assert said in errors
        assert errors.startswith("kybern: ")
        assert errors.count("\n") == 1
    code, _, errors = await run("--from", path, "--to", servers.location)
    assert (code, errors.partition("already")[2]) == (1, f" holds 1 keys, {PODS}b first; name an empty one\n")
    assert [entry.value for entry in (await target.list("/registry/")).entries] == [b"2"]
    await target.close()


async def test_what_is_encrypted_for_its_key_keeps_its_key(servers: EtcdServers, tmp_path: Path) -> None:
    path = str(tmp_path / "store.db")
    source = EncryptedStore(await open_store(path), lambda key: SECRET)
    made = await source.create("/registry/secrets/default/a", b"open sesame")
    await source.close()
    code, _, errors = await run("--from", path, "--to", servers.location, "--etcd-prefix=/k")
    assert (code, errors.count("\n")) == (1, 1)
    assert "kybern: /registry/secrets/default/a is encrypted for its whole key" in errors
    inner = await open_store(servers.location, prefix="/k")
    assert await inner.revision() == 1
    await inner.close()
    code, _, errors = await run("--from", path, "--to", servers.location)
    assert (code, errors) == (0, "")
    target = EncryptedStore(await open_store(servers.location), lambda key: SECRET)
    found = await target.get(made.key)
    assert found is not None
    assert found.value == b"open sesame"
    await target.close()


async def test_a_source_that_changes_is_noticed() -> None:
    source, target = await open_store("memory"), Slow(await open_store("memory"))
    made = await source.create(PODS + "a", b"1")
    target.before_create = source.update(PODS + "a", b"2", expect=made.mod_revision)
    with pytest.raises(OperatorError, match="/registry/pods/a changed in the source meanwhile: stop what writes to it"):
        await migrate(source, target, lambda line: None)  # type: ignore[arg-type]


async def test_a_value_that_the_target_does_not_take(servers: EtcdServers) -> None:
    source, target = await open_store("memory"), await open_store(servers.location)
    await source.create(PODS + "a", b"x" * (2 << 20))
    with pytest.raises(OperatorError, match=r"pods/a has 2097152 bytes, more than .* empty it before you start again"):
        await migrate(source, target, lambda line: None)
    with pytest.raises(TooLarge):
        await target.create(PODS + "a", b"x" * (2 << 20))
    await target.close()


class Slow:
    """A store into which something happens before the first create."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def __getattr__(self, name: str) -> object:
        return getattr(self.store, name)

    async def create(self, key: str, value: bytes, *, lease: int = 0) -> Entry:
        await self.before_create
        return await self.store.create(key, value, lease=lease)


async def test_advance_is_where_the_next_write_begins(servers: EtcdServers) -> None:
    for location in ("memory", servers.location):
        store = await open_store(location)
        await store.advance(700)
        made = await store.create(PODS + "a", b"1")
        assert 700 < made.mod_revision < 720
        with pytest.raises(Compacted):
            await watching(store, after=690)
        await store.close()


def test_locations() -> None:
    assert location_of("sqlite:///var/lib/store.db") == location_of("/var/lib/store.db") == "/var/lib/store.db"
    assert location_of("https://a:2379,https://b:2379") == "https://a:2379,https://b:2379"
