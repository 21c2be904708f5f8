"""What only etcd does: members that fail, clients it doesn't know, limits, history that others forget."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import signal
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
from tests.contract.test_store import PODS, eventually, watching

from kybern.cluster.pki import Authority, Identity
from kybern.process.clock import monotonic
from kybern.store import open_store
from kybern.store._generated import etcd_pb2 as etcd
from kybern.store.base import Compacted, Event, KeyExists, Mismatch, Store, StoreUnavailable, TooLarge
from kybern.store.etcd_client import ALARM, EtcdClient, EtcdFailure, Tls
from kybern.store.etcd_compaction import Compactor
from kybern.testing.etcd import EtcdServers, free_ports


@contextlib.asynccontextmanager
async def running(directory: Path, members: int = 1, flags: Sequence[str] = ()) -> AsyncIterator[EtcdServers]:
    servers = EtcdServers(directory, members, flags=flags)
    try:
        await servers.start_all()
        yield servers
    finally:
        servers.stop()


def etcdctl(servers: EtcdServers, *args: str) -> str:
    command = ["etcdctl", f"--endpoints={servers.location}", *args]
    environment = {"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin:/usr/local/bin"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=30).stdout


class Writers:
    """Write to keys of their own as fast as they can, and remember what was acknowledged."""

    def __init__(self, store: Store) -> None:
        self.store, self.acknowledged = store, dict[str, bytes]()
        self.failed, self.going = 0, True

    async def write(self, number: int) -> None:
        serial = 0
        while self.going:
            serial += 1
            key = f"{PODS}{number}-{serial}"
            try:
                self.acknowledged[key] = (await self.store.create(key, b"%d" % serial)).value
            except StoreUnavailable:
                self.failed += 1
                await asyncio.sleep(0.05)


async def test_nothing_acknowledged_is_lost_with_the_leader(tmp_path: Path) -> None:
    async with running(tmp_path, 3) as servers:
        leader = await servers.leader()
        # The endpoint in use at first is the leader's: the one that fails.
        order = [servers.clients[leader], *(c for c in servers.clients if c != servers.clients[leader])]
        store = await open_store(",".join(order))
        heard, watch = await watching(store)
        writers = Writers(store)
        tasks = [asyncio.create_task(writers.write(number)) for number in range(8)]
        await until(lambda: len(writers.acknowledged) > 200)
        servers.kill(leader)
        at_the_failure = len(writers.acknowledged)
        await until(lambda: len(writers.acknowledged) > at_the_failure + 200)
        writers.going = False
        await asyncio.gather(*tasks)
        assert writers.failed
        stored = {entry.key: entry for entry in (await store.list(PODS)).entries}
        assert writers.acknowledged.items() <= {key: entry.value for key, entry in stored.items()}.items()
        await watch.progress()
        assert [event.entry for event in heard.events] == sorted(stored.values(), key=lambda e: e.mod_revision)
        assert not heard.lost
        servers.start(leader)
        await servers.leader()
        await store.close()
        # What the failed member missed it has caught up with.
        alone = await open_store(servers.clients[leader])
        assert {entry.key for entry in (await alone.list(PODS)).entries} == stored.keys()
        await alone.close()


async def test_a_member_that_freezes_is_left(tmp_path: Path) -> None:
    async with running(tmp_path, 3) as servers:
        leader = await servers.leader()
        order = [servers.clients[leader], *(c for c in servers.clients if c != servers.clients[leader])]
        store = await open_store(",".join(order))
        heard, watch = await watching(store)
        first = await store.create(PODS + "a", b"1")
        servers.processes[leader].send_signal(signal.SIGSTOP)

        async def written() -> bool:
            try:
                await store.create(PODS + "b", b"1")
            except StoreUnavailable:
                return False
            except KeyExists:  # by a try before
                pass
            return True

        await eventually(written)
        second = await store.get(PODS + "b")
        await until(lambda: len(heard.events) == 2)
        assert [event.entry for event in heard.events] == [first, second]
        await watch.progress()
        servers.processes[leader].send_signal(signal.SIGCONT)
        await store.close()


async def until(condition: object) -> None:
    async def met() -> bool:
        return bool(condition())  # type: ignore[operator]

    await eventually(met)


async def test_without_a_majority_calls_fail_in_time_and_go_on_after(tmp_path: Path) -> None:
    async with running(tmp_path, 3) as servers:
        store = await open_store(servers.location)
        heard, _ = await watching(store)
        await store.create(PODS + "a", b"1")
        for number in (1, 2):
            servers.kill(number)
        start = monotonic()
        failures = await asyncio.gather(store.create(PODS + "b", b"1"), store.get(PODS + "a"), return_exceptions=True)
        assert [type(failure) for failure in failures] == [EtcdFailure, EtcdFailure]
        assert monotonic() - start < 30
        for number in (1, 2):
            servers.start(number)
        await servers.leader()
        with contextlib.suppress(Mismatch):  # the create may have been carried out after all
            await store.delete(PODS + "b")
        last = await store.create(PODS + "c", b"1")
        await until(lambda: heard.events and heard.events[-1].entry == last)
        assert not heard.lost
        revisions = [event.entry.mod_revision for event in heard.events]
        assert revisions == sorted(set(revisions))
        await store.close()


async def test_a_watch_resumes_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as servers:
        store, other = await open_store(servers.location), await open_store(servers.location)
        heard, watch = await watching(store)
        late, _ = await watching(store, after=1)
        made = await other.create(PODS + "a", b"1")
        servers.kill(0)
        await until(store.problem)
        servers.start(0)
        await servers.leader()
        changed = await other.update(PODS + "a", b"2", expect=made.mod_revision)
        await watch.progress()
        assert watch.revision >= changed.mod_revision
        assert heard.events == late.events == [Event(False, made, None), Event(False, changed, made)]
        assert not store.problem()
        await store.close()
        await other.close()


@pytest.mark.parametrize("missed", [1, 10])
async def test_a_watch_that_missed_what_was_compacted_is_lost(tmp_path: Path, missed: int) -> None:
    async with running(tmp_path) as servers:
        store = await open_store(servers.location)
        heard, _ = await watching(store)
        made = await store.create(PODS + "a", b"1")
        known = servers.clients[0]
        servers.kill(0)
        await until(store.problem)
        # While it is away from this store, etcd goes on elsewhere and forgets.
        servers.clients[0] = f"http://127.0.0.1:{free_ports(1)[0]}"
        servers.start(0)
        await servers.leader()
        other = await open_store(servers.location)
        for number in range(missed - 1):
            made = await other.update(PODS + "a", b"%d" % number, expect=made.mod_revision)
        made = await other.delete(PODS + "a")  # of a deletion compacted to etcd keeps nothing
        await other.compact(made.mod_revision)
        await other.close()
        servers.kill(0)
        servers.clients[0] = known
        servers.start(0)
        await servers.leader()
        await until(lambda: heard.lost)
        assert isinstance(heard.lost[0], Compacted)
        assert heard.lost[0].compacted == made.mod_revision - 1
        with pytest.raises(Compacted):
            await watching(store, after=made.mod_revision - 1)
        again, _ = await watching(store, after=made.mod_revision)
        await store.create(PODS + "a", b"1")
        await until(lambda: again.events)
        assert again.brief == [("+", PODS + "a", made.mod_revision + 1)]
        await store.close()


async def test_a_watch_from_the_past_joins_the_others(tmp_path: Path) -> None:
    async with running(tmp_path) as servers:
        store, other = await open_store(servers.location), await open_store(servers.location)
        made = [await store.create(f"{PODS}{number:04}", b"1") for number in range(500)]
        going = Writers(other)
        task = asyncio.create_task(going.write(7))
        early, watch = await watching(store, after=made[99].mod_revision)
        assert watch.revision < made[-1].mod_revision
        await until(lambda: len(early.events) > 450)
        going.going = False
        await task
        await watch.progress()
        entries = [event.entry for event in early.events]
        assert entries[:400] == made[100:]
        assert [entry.key for entry in entries[400:]] == list(going.acknowledged)
        await store.close()
        await other.close()


async def test_other_peoples_keys_are_not_ours(tmp_path: Path) -> None:
    async with running(tmp_path) as servers:
        here = await open_store(servers.location, prefix="/here")
        there = await open_store(servers.location, prefix="/here-too/")
        heard, watch = await watching(here)
        made = await here.create(PODS + "a", b"1")
        await there.create(PODS + "a", b"2")
        etcdctl(servers, "put", "elsewhere", "x")
        assert (await here.list("/registry/")).entries == [made]
        await watch.progress()
        assert watch.revision == await here.revision()
        assert [event.entry for event in heard.events] == [made]
        assert etcdctl(servers, "get", "--prefix", "/", "--keys-only").split() == [
            "/here-too/pods/a",
            "/here/pods/a",
        ]
        await here.close()
        await there.close()


async def test_several_compactors_take_turns(tmp_path: Path) -> None:
    async with running(tmp_path) as servers:
        store = await open_store(servers.location, compaction_interval=0)
        client = EtcdClient(servers.clients)
        one, other = Compactor(client, 60), Compactor(client, 60)
        first = await store.create(PODS + "a", b"1")
        assert await one.turn()
        assert not await other.turn()
        second = await store.update(PODS + "a", b"2", expect=first.mod_revision)
        assert await store.get(PODS + "a", revision=first.mod_revision) == first
        assert await one.turn()
        with pytest.raises(Compacted):
            await store.get(PODS + "a", revision=first.mod_revision)
        assert await store.get(PODS + "a", revision=second.mod_revision) == second
        assert not await other.turn()
        assert await other.turn()
        assert not await one.turn()
        assert etcdctl(servers, "get", "compact_rev_key", "--print-value-only").strip().isdigit()
        await client.close()
        await store.close()


async def test_values_are_readable_with_etcdctl(tmp_path: Path) -> None:
    async with running(tmp_path) as servers:
        store = await open_store(servers.location)
        pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "web"}}
        await store.create(PODS + "default/web", json.dumps(pod).encode())
        shown = etcdctl(servers, "get", "--prefix", "/registry").splitlines()
        assert shown[0] == "/registry/pods/default/web"
        assert json.loads(shown[1]) == pod
        await store.close()


async def test_values_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    async with running(tmp_path) as servers:
        store = await open_store(servers.location)
        made = await store.create(PODS + "a", b"x" * (1 << 20))
        for size in (1_600_000, 3 << 20):  # etcd refuses the first, its gRPC server the second
            with pytest.raises(TooLarge, match="etcdserver: request is too large"):
                await store.create(PODS + "b", b"x" * size)
            with pytest.raises(TooLarge):
                await store.update(PODS + "a", b"x" * size, expect=made.mod_revision)
        assert (await store.list(PODS)).entries == [made]
        await store.close()


async def test_a_full_etcd_says_what_to_do(tmp_path: Path) -> None:
    async with running(tmp_path, flags=["--quota-backend-bytes=1000000"]) as servers:
        store = await open_store(servers.location)

        async def fill() -> None:
            for number in itertools.count():
                await store.create(f"{PODS}{number}", b"x" * 100_000)

        with pytest.raises(StoreUnavailable, match="space exceeded; `kybern etcd compact`, then `kybern etcd defrag`"):
            await asyncio.wait_for(fill(), 60)
        client = EtcdClient(servers.clients)
        alarms = await client.call(ALARM, etcd.AlarmRequest())
        assert [alarm.alarm for alarm in alarms.alarms] == [etcd.NOSPACE]
        await client.close()
        assert (await store.list(PODS)).entries
        await store.close()


async def test_only_clients_with_a_certificate_are_let_in(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path / "pki"), Authority(tmp_path / "other")
    ca = str(authority.certificate_path)
    served = map(str, authority.issue("member", Identity("etcd", names=("127.0.0.1",))))
    ours = list(map(str, authority.issue("client", Identity("apiserver"))))
    theirs = list(map(str, stranger.issue("client", Identity("apiserver"))))
    servers = EtcdServers(tmp_path, tls=Tls(ca, *served))
    try:
        await servers.start_all(Tls(ca, *ours))
        store = await open_store(servers.location, authority=ca, certificate=ours[0], key=ours[1])
        made = await store.create(PODS + "a", b"1")
        assert await store.get(PODS + "a") == made
        await store.close()
        refused, unknown = "it refuses the client certificate given, or wants one", "its certificate is not of the CA"
        for files, said in (
            ({"authority": ca}, refused),
            ({"authority": ca, "certificate": theirs[0], "key": theirs[1]}, refused),
            ({"authority": str(stranger.certificate_path), "certificate": ours[0], "key": ours[1]}, unknown),
            (
                {"authority": ca, "certificate": ours[0], "key": theirs[1]},
                "one is no PEM file, or the key is another's",
            ),
            ({"authority": ours[1]}, "one is no PEM file"),
        ):
            with pytest.raises(StoreUnavailable, match=said):
                await open_store(servers.location, **files)
    finally:
        servers.stop()


@pytest.mark.parametrize(
    ("location", "files", "said"),
    [
        ("http://", {}, "'http://' is no endpoint of etcd; write it like https://127.0.0.1:2379"),
        ("ftp://127.0.0.1:2379", {}, "is no endpoint of etcd"),
        ("http://127.0.0.1:x", {}, "is no endpoint of etcd"),
        ("https://127.0.0.1:2379", {"authority": "/nowhere/ca"}, "can't read /nowhere/ca: No such file"),
        ("https://127.0.0.1:2379", {"certificate": "/nowhere/crt"}, "certificate and key go together"),
        ("http://127.0.0.1:9", {}, "etcd at http://127.0.0.1:9: failed to connect: .*Connection refused"),
    ],
)
async def test_what_cannot_be_opened(location: str, files: dict[str, str], said: str) -> None:
    with pytest.raises(StoreUnavailable, match=said) as caught:
        await open_store(location, **files)
    assert "\n" not in str(caught.value)
