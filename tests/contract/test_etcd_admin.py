"""`kybern etcd`, judged by etcd itself."""

from __future__ import annotations

import asyncio
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.contract.test_store import PODS
from tests.contract.test_store_etcd import running

from kybern.store import open_store
from kybern.store.base import Compacted, Entry, Store, StoreUnavailable
from kybern.store.etcd_client import EtcdClient
from kybern.store.etcd_compaction import Compactor
from kybern.testing.etcd import EtcdServers, free_ports


async def kybern(servers: EtcdServers | None, *args: str, code: int = 0) -> str:
    """Its output, or what it complains of."""
    command = [sys.executable, "-m", "kybern", "etcd", *args]
    if servers:
        command.insert(4, f"--etcd-servers={servers.location}")
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60)
    assert done.returncode == code, done.stderr
    return done.stderr if code else done.stdout


async def fill(store: Store) -> Entry:
    """Write until etcd has no more space; gives what is there then, for the write that it refuses may be done."""
    made = await store.create(PODS + "a", b"")
    with pytest.raises(StoreUnavailable, match="space exceeded"):
        for number in itertools.count():
            made = await store.update(PODS + "a", b"%d" % number * 20_000, expect=made.mod_revision)
    last = await store.get(PODS + "a")
    assert last is not None
    return last


async def test_a_snapshot_brings_everything_back(tmp_path: Path) -> None:
    file = tmp_path / "backups" / "one.db"
    file.parent.mkdir()
    (file.parent / "notes.txt").write_text("not a snapshot")
    async with running(tmp_path) as servers:
        store = await open_store(servers.location)
        made = [await store.create(f"{PODS}{number}", b"{}") for number in range(20)]
        assert "saved from http://127.0.0.1:" in await kybern(servers, "snapshot", "save", str(file))
        await store.create(PODS + "later", b"{}")
        listed = await kybern(None, "snapshot", "ls", str(file.parent))
        assert [line.split()[-1] for line in listed.splitlines()] == ["one.db"]
        said = await kybern(None, "snapshot", "status", str(file))
        assert re.match(rf"revision {made[-1].mod_revision}, \d+ entries, \d\.\d MiB, sound$", said)
        await store.close()
        assert "exists; stop its etcd" in await kybern(
            None, "snapshot", "restore", str(file), f"--data-dir={servers.data(0)}", code=1
        )

    restored = tmp_path / "restored"
    restored.mkdir()
    servers = EtcdServers(restored)
    try:
        await kybern(
            None, "snapshot", "restore", str(file), f"--data-dir={servers.data(0)}", "--name=m0",
            f"--initial-cluster=m0={servers.peers[0]}", f"--initial-advertise-peer-urls={servers.peers[0]}",
        )  # fmt: skip
        await servers.start_all()
        store = await open_store(servers.location)
        assert (await store.list(PODS)).entries == sorted(made, key=lambda entry: entry.key)
        await store.close()
    finally:
        servers.stop()


async def test_a_damaged_snapshot_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "one.db"
    async with running(tmp_path) as servers:
        await kybern(servers, "snapshot", "save", str(file))
        said = await kybern(servers, "snapshot", "save", "/proc/nowhere/one.db", code=1)
        assert said.startswith("kybern: can't write /proc/nowhere/one.db: ")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert await kybern(None, "snapshot", "ls", str(tmp_path)) == ""
    for arguments in (["status", str(file)], ["restore", str(file), f"--data-dir={tmp_path}/new"]):
        said = await kybern(None, "snapshot", *arguments, code=1)
        assert f"{file} is damaged, or no snapshot" in said
    assert not (tmp_path / "new").exists()


async def test_members_are_replaced(tmp_path: Path) -> None:
    async with running(tmp_path, 3) as servers:
        store = await open_store(servers.location)
        made = await store.create(PODS + "a", b"1")
        assert [line.split()[1:3] for line in (await kybern(servers, "member", "list")).splitlines()] == [
            ["started", "m0"], ["started", "m1"], ["started", "m2"],
        ]  # fmt: skip
        servers.kill(2)
        client, peer = (f"http://127.0.0.1:{port}" for port in free_ports(2))
        said = await kybern(servers, "member", "replace", "m2", "m3", peer)
        assert "m2 is removed" in said
        flags = dict(flag.split("=", 1) for flag in said.splitlines()[-1].split())
        assert sorted(flags["--initial-cluster"].split(",")) == sorted(
            [f"m0={servers.peers[0]}", f"m1={servers.peers[1]}", f"m3={peer}"]
        )
        assert "expected" in await kybern(servers, "member", "list")
        servers.names[2], servers.clients[2], servers.peers[2] = "m3", client, peer
        servers.start(2, join=flags["--initial-cluster-state"])
        await servers.leader()
        alone = await open_store(client)
        assert await alone.get(PODS + "a") == made
        await alone.close()
        assert "no member 'm2'; there are m0, m1, m3" in await kybern(servers, "member", "remove", "m2", code=1)
        await store.close()


async def test_what_can_not_be_added_replaces_nobody(tmp_path: Path) -> None:
    async with running(tmp_path, 2) as servers:
        there = await kybern(servers, "member", "list")
        (port,) = free_ports(1)
        for name, peer, said in (
            ("m2", "nowhere", "'nowhere' is no peer URL; write it like https://10.0.0.3:2380"),
            ("m2", f"http://127.0.0.1:{port}/path", "is no peer URL"),
            ("m2", "http://127.0.0.1:65536", "is no peer URL"),
            ("m0", f"http://127.0.0.1:{port}", "there is a member m0 already; choose another name"),
            ("m2", servers.peers[0], f"{servers.peers[0]} is the peer URL of member m0 already"),
        ):
            for words in (["add"], ["replace", "m1"]):
                complaint = await kybern(servers, "member", *words, name, peer, code=1)
                assert said in complaint
                assert complaint.count("\n") == 1
        assert await kybern(servers, "member", "list") == there


async def test_a_full_database_is_mended_as_the_alarm_says(tmp_path: Path) -> None:
    async with running(tmp_path, flags=["--quota-backend-bytes=4000000"]) as servers:
        store = await open_store(servers.location)
        made = await fill(store)
        said = await kybern(servers, "alarm", "list")
        assert "NOSPACE: the database is as large as" in said
        for words in re.findall("`kybern etcd (.+?)`", said):
            await kybern(servers, *words.split())
        assert await kybern(servers, "alarm", "list") == ""
        await store.update(PODS + "a", b"1", expect=made.mod_revision)
        await store.close()


async def test_history_goes_also_while_the_database_is_full(tmp_path: Path) -> None:
    async with running(tmp_path, flags=["--quota-backend-bytes=4000000"]) as servers:
        store, client = await open_store(servers.location, compaction_interval=0), EtcdClient(servers.clients)
        compactor = Compactor(client, 0)
        assert await compactor.turn()
        made = await fill(store)
        assert await compactor.turn()
        assert await compactor.turn()
        with pytest.raises(Compacted):
            await store.get(PODS + "a", revision=made.mod_revision - 1)
        assert (await store.get(PODS + "a", revision=made.mod_revision)) == made
        await client.close()
        await store.close()


async def test_space_is_given_back_and_the_alarm_ended(tmp_path: Path) -> None:
    async with running(tmp_path, flags=["--quota-backend-bytes=4000000"]) as servers:
        store = await open_store(servers.location)
        made = await fill(store)
        assert "NOSPACE" in await kybern(servers, "alarm", "list")
        await store.compact(await store.revision())
        for _ in range(50):  # compaction goes on after its answer
            _, before, now = (await kybern(servers, "defrag")).replace(" before", "").rsplit(": ")[-1].partition(", ")
            if float(now.split()[0]) < 1:
                break
            await asyncio.sleep(0.1)
        assert before
        assert "NOSPACE disarmed" in await kybern(servers, "alarm", "disarm")
        assert await kybern(servers, "alarm", "list") == ""
        await store.update(PODS + "a", b"1", expect=made.mod_revision)
        await store.close()


async def test_an_etcd_that_is_not_there() -> None:
    said = await kybern(None, "--etcd-servers=http://127.0.0.1:9", "member", "list", code=1)
    assert said.startswith("kybern: etcd at http://127.0.0.1:9: failed to connect: ")
    assert said.count("\n") == 1
